pkgs:
[ pkgs.python3 pkgs.uv pkgs.numpi ]
