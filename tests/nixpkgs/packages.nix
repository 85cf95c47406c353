# Every package. `self` is the whole set, overlays and all; what is here asks it for the others.
{ config, lib, machine, self, system }:

let
  # Sources are files of the machine: `unpack` is for a NAR of it, which has the hash of the path that it becomes.
  fetchurl = { url ? builtins.head urls, urls ? [ url ], hash ? "", sha256 ? "", name ? baseNameOf url, ... }:
    import <nix/fetchurl.nix> { inherit hash name sha256 url; };
  fetchArchive = name: told:
    import <nix/fetchurl.nix> { inherit name; inherit (told) hash url; unpack = true; };

  stdenv = import ./stdenv.nix { inherit lib machine system; tools = fetchArchive "bootstrap-tools" machine.tools; };
  writers = import ./writers.nix { inherit lib self; };
  libraries = import ./libraries.nix { inherit fetchArchive lib machine self; };
  pythons = import ./python.nix { inherit fetchArchive lib machine self; };
in
{
  inherit config lib system fetchurl;
  inherit (stdenv) bash busybox patchelf stdenv;
  inherit (writers) buildEnv mkShell runCommand symlinkJoin writeScriptBin writeShellScript writeShellScriptBin writeText writeTextFile;
  inherit (libraries) glibc libraries;
  inherit (pythons) pythonInterpreters;

  pkgs = self;
  callPackage = lib.callPackageWith self;

  # There is no compiler in this set, so these are the same.
  stdenvNoCC = self.stdenv;
  mkShellNoCC = self.mkShell;
  runCommandLocal = self.runCommand;
  runCommandNoCC = self.runCommand;

  bashInteractive = self.bash;
  coreutils = self.busybox;
  findutils = self.busybox;
  gawk = self.busybox;
  gnugrep = self.busybox;
  gnused = self.busybox;
  gnutar = self.busybox;
  gzip = self.busybox;

  hello = self.writeTextFile {
    name = "hello-2.12.1";
    destination = "/bin/hello";
    executable = true;
    text = "#!${self.bash}/bin/bash\necho 'Hello, world!'\n";
  } // { pname = "hello"; version = "2.12.1"; meta.mainProgram = "hello"; };

  dockerTools = import ./docker-tools.nix { inherit lib self; };

  python3 = self.pythonInterpreters.${machine.python};
  python3Packages = self.python3.pkgs;
}
// pythons.named
