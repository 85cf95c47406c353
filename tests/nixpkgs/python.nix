# The machine's Pythons, and wheels as packages of each.
{ fetchArchive, lib, machine, self }:

let
  inherit (self) bash fetchurl glibc libraries patchelf stdenv;

  makeInterpreter = series: told:
    let
      executable = "python${series}";
      sitePackages = "lib/${executable}/site-packages";
      python = stdenv.mkDerivation {
        pname = "python3";
        inherit (told) version objects placeholder programs;
        inherit executable sitePackages;
        src = fetchArchive "python-${told.version}-source" told;
        nativeBuildInputs = [ patchelf ];
        runPath = lib.makeLibraryPath ([ glibc ] ++ map (name: libraries.${name}) told.needs);
        loader = "${glibc}/lib/${glibc.loader}";
        siteCustomize = ./sitecustomize.py;
        hook = ./python-hook.sh;
        buildCommand = ''
          cp -r $src $out
          chmod -R u+w $out
          cd $out
          grep -rlF "$placeholder" . | xargs -r sed -i "s|$placeholder|$out|g"
          [ -z "$objects" ] || patchelf --set-rpath "$out/lib:$runPath" $objects
          [ -z "$programs" ] || patchelf --set-interpreter $loader $programs
          mkdir -p $sitePackages nix-support
          cp $siteCustomize $sitePackages/sitecustomize.py
          sed "s|@sitePackages@|$sitePackages|" $hook > nix-support/setup-hook
          # All of it: a store that belongs to who runs Python would be written to. Its files are of the first second.
          find lib -name '*.py' -exec touch -d @1 {} +
          PYTHONHASHSEED=0 bin/$executable -B -m compileall -q --invalidation-mode timestamp lib/$executable
        '';
        passthru = {
          inherit executable sitePackages pkgs buildEnv withPackages;
          pythonVersion = series;
          interpreter = "${python}/bin/${executable}";
          implementation = "cpython";
          isPy3 = true;
        };
        meta.mainProgram = "python3";
      };
      pkgs = makePackages python;

      # An interpreter whose site-packages are those of several packages: wrappers tell it where it stands.
      buildEnv = { extraLibs ? [ ], ... }: self.buildEnv {
        name = "${python.name}-env";
        paths = [ python ] ++ closure extraLibs;
        inherit executable sitePackages;
        postBuild = "source ${./python-env.sh}";
        passthru = { inherit python; interpreter = "python3"; };
      };
      withPackages = choose: buildEnv { extraLibs = choose pkgs; };
    in
    python;

  # The packages with those that they need, each once.
  closure = packages: lib.unique (lib.concatMap (package: [ package ] ++ closure package.pythonModules) packages);

  makePackages = python:
    let
      # Its own wheel is what installs it and the others.
      installer = source machine.wheels.installer;
      source = told: fetchurl { inherit (told) hash url; };

      buildPythonPackage = { pname, version, src, dependencies ? [ ], propagatedBuildInputs ? dependencies, ... }@given:
        stdenv.mkDerivation (removeAttrs given [ "dependencies" "format" "pyproject" "pythonImportsCheck" ] // {
          name = "python${python.pythonVersion}-${pname}-${version}";
          nativeBuildInputs = [ python ] ++ given.nativeBuildInputs or [ ];
          propagatedBuildInputs = propagatedBuildInputs ++ [ python ];
          inherit installer;
          inherit (python) sitePackages;
          modules = closure propagatedBuildInputs;
          imports = given.pythonImportsCheck or [ ];
          dontUnpack = true;
          installPhase = "source ${./python-wheel.sh}";
          passthru = { pythonModule = python; pythonModules = propagatedBuildInputs; } // given.passthru or { };
        });

      fromWheel = name: told: buildPythonPackage {
        inherit (told) version;
        pname = name;
        src = source told;
        format = "wheel";
        dependencies = map (other: pkgs.${other}) told.needs;
      };
      pkgs = lib.mapAttrs fromWheel machine.wheels // { inherit buildPythonPackage python; };
    in
    pkgs;

  pythonInterpreters = lib.mapAttrs makeInterpreter machine.pythons;
  attribute = series: "python${lib.replaceStrings [ "." ] [ "" ] series}";
  each = f: lib.concatMap f (lib.attrNames machine.pythons);
in
{
  inherit pythonInterpreters;
  # python312 and python312Packages, for each of them.
  named = builtins.listToAttrs (each (series: [
    { name = attribute series; value = self.pythonInterpreters.${series}; }
    { name = "${attribute series}Packages"; value = self.pythonInterpreters.${series}.pkgs; }
  ]));
}
