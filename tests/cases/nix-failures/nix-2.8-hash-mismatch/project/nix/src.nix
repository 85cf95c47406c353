derivation { name = "src.tar.gz"; system = builtins.currentSystem; builder = "/bin/bash"; args = ["-c" "echo hello > $out"];
 outputHashMode = "flat"; outputHashAlgo = "sha256";
 outputHash = "0000000000000000000000000000000000000000000000000000"; }