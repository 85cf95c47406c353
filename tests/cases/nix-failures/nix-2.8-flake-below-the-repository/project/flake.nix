{  outputs = { self, ... }@inputs: { devShells.x86_64-linux.default = derivation { name = "x"; system = "x86_64-linux"; builder = "/bin/bash"; args = [ "-c" "echo > $out" 
(1).x ]; }; }; }