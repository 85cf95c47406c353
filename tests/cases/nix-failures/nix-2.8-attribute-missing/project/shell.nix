let pkgs = { hello = 1; };
in derivation { name = "x"; system = builtins.currentSystem; builder = "/bin/bash"; args = [ "-c" "${pkgs.helo}" ]; }