# A package set of nixpkgs' shape, small enough to be made in seconds out of one machine's own files.
#
# What the machine has (tests/support/nix_packages.py) is told in machine.json beside this file, which is never
# committed: each of its files is a fixed-output derivation, so what is built here has one name wherever the file lies.
{ system ? builtins.currentSystem, config ? { }, overlays ? [ ], ... }:

let
  lib = import ./lib.nix;
  machine = builtins.fromJSON (builtins.readFile ./machine.json);
  packages = self: import ./packages.nix { inherit config lib machine self system; };
  overlaid = set: overlay: self: let super = set self; in super // overlay self super;
  self = builtins.foldl' overlaid packages overlays self;
in
assert lib.assertMsg (system == machine.system) "this package set is for ${machine.system}, not for ${system}";
self
