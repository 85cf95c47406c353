(import ./nix/compat.nix).shellNix
