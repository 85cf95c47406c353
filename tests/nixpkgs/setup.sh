# What a build and a shell begin with: the programs and hooks of their inputs. `initialPath` and `shell` stand above.

export SHELL=$shell
export CONFIG_SHELL=$shell
# The first time that a zip file can tell.
export SOURCE_DATE_EPOCH=315532800

addToSearchPath() {
    [ ! -d "$2" ] || export "$1=${!1:+${!1}:}$2"
}

seenInputs=()
envHooks=()

addEnvHooks() {
    envHooks+=("$2")
}

# A package once, after what it propagates has been told of.
activatePackage() {
    local package=$1 seen other
    for seen in "${seenInputs[@]}"; do
        [ "$seen" != "$package" ] || return 0
    done
    seenInputs+=("$package")
    addToSearchPath PATH "$package/bin"
    addToSearchPath XDG_DATA_DIRS "$package/share"
    if [ -e "$package/nix-support/propagated-build-inputs" ]; then
        for other in $(<"$package/nix-support/propagated-build-inputs"); do activatePackage "$other"; done
    fi
    if [ -e "$package/nix-support/setup-hook" ]; then source "$package/nix-support/setup-hook"; fi
}

activateInputs() {
    local package hook
    PATH=
    for package in ${nativeBuildInputs:-} ${propagatedNativeBuildInputs:-} ${buildInputs:-} ${propagatedBuildInputs:-}; do
        activatePackage "$package"
    done
    for package in "${seenInputs[@]}"; do
        for hook in "${envHooks[@]}"; do "$hook" "$package"; done
    done
    for package in $initialPath; do addToSearchPath PATH "$package/bin"; done
    export PATH
}

# The name of a store path: what stands behind its hash.
stripHash() {
    local name=${1##*/}
    printf '%s\n' "${name:33}"
}

# Code under a name: a variable's text, else a function.
runHook() {
    if [ -n "${!1:-}" ]; then
        eval "${!1}"
    elif declare -F "$1" >/dev/null; then
        "$1"
    fi
}

unpackPhase() {
    [ -n "${src:-}" ] && [ -z "${dontUnpack:-}" ] || return 0
    if [ -d "$src" ]; then
        cp -r "$src" source
        chmod -R u+w source
    else
        mkdir source
        tar -xf "$src" -C source
    fi
    cd "source/${sourceRoot:-}"
}

# What whoever takes this package for an input gets with it.
fixupPhase() {
    if [ -n "${propagatedBuildInputs:-}" ]; then
        mkdir -p "$out/nix-support"
        printf '%s\n' "$propagatedBuildInputs" >"$out/nix-support/propagated-build-inputs"
    fi
    if [ -n "${setupHook:-}" ]; then
        mkdir -p "$out/nix-support"
        cp "$setupHook" "$out/nix-support/setup-hook"
    fi
}

genericBuild() {
    local phase
    if [ -n "${buildCommandPath:-}" ]; then
        source "$buildCommandPath"
        return
    elif [ -n "${buildCommand:-}" ]; then
        eval "$buildCommand"
        return
    fi
    for phase in ${phases:-unpackPhase patchPhase configurePhase buildPhase checkPhase installPhase fixupPhase}; do
        runHook "pre${phase^}"
        runHook "$phase"
        runHook "post${phase^}"
    done
}

activateInputs
