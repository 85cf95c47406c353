# The machine's shared libraries, each a package of its own that finds those it needs by its run path.
{ fetchArchive, lib, machine, self }:

let
  # libssl.so.3 is libssl, 3.
  named = soname:
    let parts = builtins.match "(.*)\\.so\\.?(.*)" soname;
    in { pname = builtins.head parts; version = if builtins.elemAt parts 1 == "" then "0" else builtins.elemAt parts 1; };

  makeLibrary = soname: told: self.stdenv.mkDerivation (named soname // {
    src = fetchArchive "${soname}-source" told;
    nativeBuildInputs = [ self.patchelf ];
    runPath = lib.makeLibraryPath ([ self.glibc ] ++ map (name: self.libraries.${name}) told.needs);
    buildCommand = ''
      cp -r $src $out
      chmod -R u+w $out
      patchelf --set-rpath $runPath $out/lib/${soname}
    '';
  });
in
{
  libraries = lib.mapAttrs makeLibrary machine.libraries;

  # Patching the C library would break it, and it asks for nothing.
  glibc = self.stdenv.mkDerivation {
    pname = "glibc";
    inherit (machine.glibc) version;
    src = fetchArchive "glibc-source" machine.glibc;
    buildCommand = "cp -r $src $out";
    passthru.loader = machine.glibc.loader;
  };
}
