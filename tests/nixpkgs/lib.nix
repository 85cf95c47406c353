# The part of nixpkgs' library that projects of tests, and these packages, ask for.
rec {
  version = "24.05.tests";
  trivial = { inherit version; release = "24.05"; };

  fakeHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
  systems.flakeExposed = [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ];

  assertMsg = condition: message: condition || throw message;

  optional = condition: value: if condition then [ value ] else [ ];
  optionals = condition: list: if condition then list else [ ];
  optionalString = condition: text: if condition then text else "";
  optionalAttrs = condition: set: if condition then set else { };

  inherit (builtins) attrNames attrValues concatLists concatMap concatStringsSep elem filter genList head mapAttrs replaceStrings;
  concatMapStringsSep = separator: f: list: concatStringsSep separator (map f list);
  genAttrs = names: f: builtins.listToAttrs (map (name: { inherit name; value = f name; }) names);
  filterAttrs = keeps: set: removeAttrs set (filter (name: !keeps name set.${name}) (attrNames set));
  unique = builtins.foldl' (found: one: if elem one found then found else found ++ [ one ]) [ ];

  getBin = package: package.bin or package;
  getLib = package: package.lib or package;
  getExe = package: "${getBin package}/bin/${package.meta.mainProgram or (builtins.parseDrvName package.name).name}";
  makeBinPath = concatMapStringsSep ":" (package: "${getBin package}/bin");
  makeLibraryPath = concatMapStringsSep ":" (package: "${getLib package}/lib");

  callPackageWith = set: file: given:
    let f = if builtins.isFunction file then file else import file;
    in f (builtins.intersectAttrs (builtins.functionArgs f) set // given);
}
