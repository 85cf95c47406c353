# What is needed beside the sources: a Python with two packages, and awk.
{
  # nixos-25.11 as it was on 2026-05-10. For a newer one change both:
  #   nix-prefetch-url --unpack https://github.com/NixOS/nixpkgs/archive/REV.tar.gz
  nixpkgs ? fetchTarball {
    url = "https://github.com/NixOS/nixpkgs/archive/8fd9daa3db09ced9700431c5b7ad0e8ba199b575.tar.gz";
    sha256 = "sha256-Ti+ZBvW6yrWWAg2szExVTwCd4qOJ3KlVr1tFHfyfi8Q=";
  },
  # Without these two it would read ~/.config/nixpkgs of whoever evaluates it.
  pkgs ? import nixpkgs {
    config = { };
    overlays = [ ];
  },
}:

pkgs.mkShell {
  packages = [
    (pkgs.python312.withPackages (ps: [
      ps.packaging
      ps.pytest
    ]))
    pkgs.gawk
  ];

  RELEASES = "releases.log";
}
