# Installs the wheel $src, and makes its scripts find what it needs.
export PYTHONDONTWRITEBYTECODE=1
wheel=$(stripHash "$src")
cp "$src" "$wheel"
PYTHONPATH=$installer python3 -m installer --prefix "$out" "$wheel"

site=$out/$sitePackages
folders=$(for package in $out $modules; do printf "'%s', " "$package/$sitePackages"; done)
for script in "$out"/bin/*; do
    # The line behind the one that names the interpreter.
    if [ -f "$script" ]; then sed -i "1a import site; [site.addsitedir(folder) for folder in ($folders)]" "$script"; fi
done
for module in $imports; do PYTHONPATH=$site:${PYTHONPATH:-} python3 -c "import $module"; done
