# Every program of an environment runs with its site-packages.
for linked in "$out"/bin/*; do
    target=$(readlink -f "$linked")
    rm "$linked"
    cat >"$linked" <<WRAPPER
#!$shell
export NIX_PYTHONPREFIX=$out NIX_PYTHONEXECUTABLE=$out/bin/$executable NIX_PYTHONPATH=$out/$sitePackages
export PYTHONNOUSERSITE=1
exec -a "\$0" $target "\$@"
WRAPPER
    chmod +x "$linked"
done
