# Packages that are a text, some links, or the words of a shell.
{ lib, self }:

let
  runCommand = name: environment: buildCommand:
    self.stdenv.mkDerivation ({
      inherit buildCommand name;
      passAsFile = [ "buildCommand" ] ++ environment.passAsFile or [ ];
    } // removeAttrs environment [ "passAsFile" ]);

  writeTextFile = { name, text, executable ? false, destination ? "" }:
    runCommand name { inherit destination text; passAsFile = [ "text" ]; } ''
      target=$out$destination
      mkdir -p "''${target%/*}"
      cp "$textPath" "$target"
      ${lib.optionalString executable ''chmod +x "$target"''}
    '';

  writeScriptBin = name: text: writeTextFile {
    inherit name text;
    executable = true;
    destination = "/bin/${name}";
  } // { meta.mainProgram = name; };

  script = text: "#!${self.bash}/bin/bash\n${text}\n";

  # What one path alone has is a link to it; a folder that several have, or one to write into, is a folder of links.
  buildEnv = { name, paths, postBuild ? "", ... }@given:
    runCommand name (removeAttrs given [ "name" "paths" "postBuild" ] // { inherit paths; }) ''
      source ${./link.sh}
      link $out $paths
      ${postBuild}
    '';

  mkShell =
    { name ? "nix-shell", packages ? [ ], inputsFrom ? [ ], buildInputs ? [ ], nativeBuildInputs ? [ ], shellHook ? "", ... }@given:
    let
      inputs = kind: lib.concatMap (package: package.${kind} or [ ]) inputsFrom;
      hooks = map (package: package.shellHook or "") inputsFrom ++ [ shellHook ];
    in
    self.stdenv.mkDerivation (removeAttrs given [ "packages" "inputsFrom" ] // {
      inherit name;
      buildInputs = buildInputs ++ inputs "buildInputs";
      nativeBuildInputs = packages ++ nativeBuildInputs ++ inputs "nativeBuildInputs";
      shellHook = lib.concatStringsSep "\n" (lib.filter (hook: hook != "") hooks);
      phases = "buildPhase";
      buildPhase = "export >$out";
      preferLocalBuild = true;
    });
in
{
  inherit buildEnv mkShell runCommand writeScriptBin writeTextFile;
  # As lndir does it: whoever adds a file adds it here.
  symlinkJoin = given: buildEnv (given // { onlyFiles = true; });
  writeText = name: text: writeTextFile { inherit name text; };
  writeShellScript = name: text: writeTextFile { inherit name; text = script text; executable = true; };
  writeShellScriptBin = name: text: writeScriptBin name (script text);
}
