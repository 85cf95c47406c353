# A Python among the inputs finds the packages that are others.
addPythonPath() {
    addToSearchPath PYTHONPATH "$1/@sitePackages@"
}

addEnvHooks "${hostOffset:-0}" addPythonPath
export PYTHONHASHSEED=0
export PYTHONNOUSERSITE=1
