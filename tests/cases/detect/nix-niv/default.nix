let pkgs = import (import ./nix/sources.nix).nixpkgs { };
in {
  shell = pkgs.mkShellNoCC { };
}
