# Made by `ci-envs init --pattern nix` from pyproject.toml; it is yours from here on.
{
  description = "The development shell of dewpoint";

  # Which commit of it is in flake.lock: `ci-envs lock` makes that, `ci-envs lock --upgrade` renews it.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.11";

  outputs =
    { nixpkgs, ... }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      forEachSystem = f: nixpkgs.lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
    in
    {
      devShells = forEachSystem (pkgs: {
        default = pkgs.mkShell {
          packages = [
            (pkgs.python312.withPackages (ps: [
              ps.click # click>=8.1 (pyproject.toml:11)
              ps.pytest # pytest>=8 (pyproject.toml:17)
            ]))
          ];

          # What is worked on is imported from its sources.
          shellHook = ''
            export PYTHONPATH=$PWD/src''${PYTHONPATH:+:$PYTHONPATH}
          '';
        };
      });
    };
}
