# link TARGET SOURCE...
link() {
    local target=$1 name source
    local -a found
    shift
    mkdir -p "$target"
    while read -r name; do
        # What the parts need is not asked for again by whoever has the whole.
        [ "$name" != propagated-build-inputs ] || continue
        found=()
        for source in "$@"; do
            if [ -e "$source/$name" ]; then found+=("$source/$name"); fi
        done
        if [ -d "${found[0]}" ] && { [ ${#found[@]} -gt 1 ] || isWrittenInto "$name"; }; then
            link "$target/$name" "${found[@]}"
        else
            ln -s "${found[0]}" "$target/$name"
        fi
    done < <(for source in "$@"; do ls -A "$source"; done | sort -u)
}

# A link would lead into the package that it comes from.
isWrittenInto() {
    [ -n "${onlyFiles:-}" ] || [ "$1" = bin ] || [ "$1" = nix-support ]
}
