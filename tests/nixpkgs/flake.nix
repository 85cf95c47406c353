{
  description = "A package set of nixpkgs' shape, for tests";

  outputs = { self }:
    let
      lib = import ./lib.nix;
      machine = builtins.fromJSON (builtins.readFile ./machine.json);
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs [ machine.system ] (system: import ./. { inherit system; });
    };
}
