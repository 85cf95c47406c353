"""A package set of one file, for tests that need a derivation of a certain kind: programs are the machine's own."""

from __future__ import annotations

__all__ = ["SMALL", "small_shell"]

#: ``make NAME SCRIPT`` builds what a shell script says. The script goes on after its last program: nix takes a closed
#: standard error for the builder's end and kills what has not quite ended, which programs of coreutils close first.
SMALL = """\
{ system ? builtins.currentSystem }:
rec {
  makeWith = more: name: script: derivation ({
    inherit name system;
    builder = "/bin/bash";
    args = [ "-e" "-c" "PATH=/bin:/usr/bin\\n${script}\\n:" ];
  } // more);
  make = makeWith { };
  stdenv = make "stdenv-small" ''
    mkdir $out
    echo 'export PATH=/bin:/usr/bin; for each in $packages; do PATH=$each/bin:$PATH; done' > $out/setup
  '';
  mkShell = { packages ? [ ], ... }@given: derivation (given // {
    inherit packages stdenv system;
    name = "shell";
    outputs = [ "out" ];
    builder = "/bin/bash";
    args = [ "-c" "echo shell > $out; :" ];
  });
}
"""


def small_shell(packages: str, *, head: str = "") -> dict[str, str]:
    """The files of a project whose shell has these packages, an expression in which the set's names are known."""
    shell = f"let pkgs = import ./small.nix {{ }};{head} in with pkgs; mkShell {{ packages = [ {packages} ]; }}\n"
    return {"small.nix": SMALL, "shell.nix": shell}
