# From static programs to a standard environment: what builds everything else.
{ lib, machine, system, tools }:

let
  # A build that has no standard environment yet.
  bare = name: script: derivation {
    inherit name system script;
    builder = "${tools}/bin/bash";
    args = [ "-e" "-c" "eval \"$script\"" ];
    PATH = "${tools}/bin";
  };
  package = pname: version: script: bare "${pname}-${version}" script // { inherit pname version; meta.mainProgram = pname; };

  bash = package "bash" machine.bash ''
    mkdir -p $out/bin
    cp ${tools}/bin/bash $out/bin/
    ln -s bash $out/bin/sh
  '';

  busybox = package "busybox" machine.busybox ''
    mkdir -p $out/bin
    cp ${tools}/bin/busybox $out/bin/
    for applet in $(busybox --list); do
      case $applet in
        # A shell is bash's to be.
        busybox | bash | sh | ash | hush | lash) ;;
        *) ln -s busybox $out/bin/$applet ;;
      esac
    done
  '';

  # It stands beside its libraries, and a loader among these: it can be run before there is anything to patch with it.
  patchelf = package "patchelf" machine.patchelf ''
    mkdir -p $out/bin $out/lib
    cp ${tools}/lib/* $out/lib/
    cp ${tools}/libexec/patchelf $out/lib/
    printf '#!%s/bin/bash\nexec %s/lib/%s --library-path %s/lib %s/lib/patchelf "$@"\n' \
      ${bash} $out ${machine.glibc.loader} $out $out > $out/bin/patchelf
    chmod +x $out/bin/patchelf
  '';

  environment = bare "stdenv-linux" ''
    mkdir -p $out
    printf 'initialPath="%s"\nshell=%s\n' "${busybox} ${bash}" ${bash}/bin/bash > $out/setup
    cat ${./setup.sh} >> $out/setup
  '';

  mkDerivation = given:
    let
      attributes = if builtins.isFunction given then given made else given;
      name = attributes.name or "${attributes.pname}-${attributes.version}";
      built = derivation (removeAttrs attributes [ "meta" "passthru" ] // {
        inherit name system;
        outputs = attributes.outputs or [ "out" ];
        stdenv = environment;
        builder = attributes.builder or "${bash}/bin/bash";
        args = attributes.args or [ "-e" ./builder.sh ];
      });
      changed = change: mkDerivation (attributes // (
        let first = change attributes; in if builtins.isFunction first then change made attributes else first
      ));
      made = built // {
        inherit name;
        meta = attributes.meta or { };
        overrideAttrs = changed;
        passthru = attributes.passthru or { };
      } // attributes.passthru or { };
    in
    made;
in
{
  inherit bash busybox patchelf;
  stdenv = environment // {
    inherit mkDerivation;
    shell = "${bash}/bin/bash";
    hostPlatform = { inherit system; isLinux = true; isDarwin = false; };
    isLinux = true;
    isDarwin = false;
  };
}
