# Images as archives that `docker load` takes.
{ lib, self }:

let
  makeImage = { name, tag ? null, contents ? [ ], copyToRoot ? contents, config ? { }, created ? "1970-01-01T00:00:01Z", maxLayers, ... }:
    let
      root = self.symlinkJoin {
        name = "${baseNameOf name}-root";
        paths = if builtins.isList copyToRoot then copyToRoot else [ copyToRoot ];
      };
      # Without a tag, one that changes with what is in the image.
      imageTag = if tag == null then builtins.substring 0 32 (baseNameOf root) else tag;
      # Whatever the image names is in its closure.
      told = self.writeText "${baseNameOf name}.json" (builtins.toJSON {
        inherit config created maxLayers root;
        name = "${name}:${imageTag}";
      });
    in
    self.runCommand "${baseNameOf name}.tar.gz"
      {
        exportReferencesGraph = [ "graph" told ];
        passthru = { inherit imageTag; imageName = name; };
      }
      "${self.python3}/bin/python3 ${./image.py} ${told} graph $out";
in
{
  buildImage = given: makeImage (given // { maxLayers = 1; });
  buildLayeredImage = given: makeImage ({ maxLayers = 100; } // given);
}
