{ sources ? import ./npins }:
(import sources.nixpkgs { }).mkShell { }
