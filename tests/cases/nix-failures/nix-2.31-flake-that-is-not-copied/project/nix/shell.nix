{ pkgs }:
  pkg.mkShell { }
