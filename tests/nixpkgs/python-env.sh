# Every program of an environment runs with its site-packages. Its folder is made anew: it may be a link to the only
# package that has one, which is not to be written into.
mv "$out/bin" linked
mkdir "$out/bin"
for program in linked/*; do
    target=$(readlink -f "$program")
    wrapper=$out/bin/${program##*/}
    cat >"$wrapper" <<WRAPPER
#!$shell
export NIX_PYTHONPREFIX=$out NIX_PYTHONEXECUTABLE=$out/bin/$executable NIX_PYTHONPATH=$out/$sitePackages
export PYTHONNOUSERSITE=1
exec -a "\$0" $target "\$@"
WRAPPER
    chmod +x "$wrapper"
done
