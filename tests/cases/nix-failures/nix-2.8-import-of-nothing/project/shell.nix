{}:
import ./nix/none.nix