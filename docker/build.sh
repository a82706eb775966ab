#!/usr/bin/env bash
# Builds the images btard-coordinator and btard-peer with whichever of docker, podman and buildah works here, and prints
# their sizes. `docker/build.sh [coordinator|peer ...]`; by environment:
#
#   ENGINE       docker, podman or buildah, instead of the first that works
#   BASE         base image, python:3.11-slim-bookworm if not given
#   TORCH_INDEX  where the peer's torch comes from, besides the usual index; that of CPU wheels if not given. Where pip is
#                configured with an index or links of its own, none.
#   EXTRAS       packages to add
#   TAG          tag of the images, latest if not given
#   BUILD_FLAGS  further words for the engine
#
# This machine's pip configuration and certificates are lent to the build as secrets, which leave no trace in the images.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

works() {
    case $1 in
        buildah) buildah images >/dev/null 2>&1 ;;
        *) "$1" info >/dev/null 2>&1 ;;
    esac
}

find_engine() {
    local engine
    for engine in ${ENGINE:-docker podman buildah}; do
        if command -v "$engine" >/dev/null && works "$engine"; then
            echo "$engine"
            return
        fi
    done
    echo "none of ${ENGINE:-docker, podman and buildah} works here; install one, or start its daemon" >&2
    return 1
}

# Prints the file that configures pip here, if there is one.
pip_configuration() {
    local file
    for file in "${PIP_CONFIG_FILE:-}" "${XDG_CONFIG_HOME:-$HOME/.config}/pip/pip.conf" "$HOME/.pip/pip.conf" /etc/pip.conf; do
        if [[ -f $file && $file != /dev/null ]]; then
            echo "$file"
            return
        fi
    done
}

# Prints the flags that lend pip's configuration to a build, a word a line.
pip_flags() {
    local engine=$1 file certificates place
    file=$(pip_configuration)
    [[ -z $file ]] || printf '%s\n' --secret "id=pip,src=$file"
    certificates=${PIP_CERT:-${file:+$(sed -n 's/^ *cert *= *//p' "$file" | head -n 1)}}
    [[ ! -f $certificates ]] || printf '%s\n' --secret "id=ca,src=$certificates"
    # Folders of packages that the configuration names, an index with the folder beside it that it links to; docker's
    # builds cannot see them.
    if [[ -n $file && $engine != docker ]]; then
        { grep -oE '(file://|[ =])/[^ ]+' "$file" || true; } | sed -E 's#^file://(.*)/simple/?$#\1#; s#^file://|^[ =]##' |
            sort -u | while read -r place; do
            [[ ! -d $place ]] || printf '%s\n' --volume "$place:$place:ro"
        done
    fi
}

has_own_packages() {
    local file
    file=$(pip_configuration)
    [[ -n $file ]] && grep -qE '^ *(index-url|extra-index-url|find-links) *=' "$file"
}

size() {
    case $1 in
        # buildah tells sizes only as text, and another tag of the same image would be another line.
        buildah) buildah images --format '{{.Size}}' "$2" | head -n 1 ;;
        *) "$1" image inspect --format '{{.Size}}' "$2" | awk '{ printf "%.0f MB\n", $1 / 1e6 }' ;;
    esac
}

build() {
    local engine=$1 name=$2 image="btard-$2:${TAG:-latest}" flags=() began=$SECONDS
    mapfile -t flags < <(pip_flags "$engine")
    [[ -z ${BASE:-} ]] || flags+=(--build-arg "BASE=$BASE")
    [[ -z ${EXTRAS:-} ]] || flags+=(--build-arg "EXTRAS=$EXTRAS")
    if [[ -n ${TORCH_INDEX+given} && $name == peer ]]; then
        flags+=(--build-arg "TORCH_INDEX=$TORCH_INDEX")
    elif has_own_packages; then
        flags+=(--build-arg TORCH_INDEX=)
    fi
    # Without docker's format the health check would be left out.
    [[ $engine == docker ]] || flags+=(--format docker)
    local -a more=()
    read -ra more <<<"${BUILD_FLAGS:-}"
    "$engine" build --file "docker/$name.Dockerfile" --tag "$image" "${flags[@]}" "${more[@]}" .
    echo "$image: $(size "$engine" "$image"), built in $((SECONDS - began)) s"
}

main() {
    local engine name
    local -a names=("$@")
    [[ ${#names[@]} -gt 0 ]] || names=(coordinator peer)
    engine=$(find_engine)
    for name in "${names[@]}"; do
        [[ -f docker/$name.Dockerfile ]] || { echo "there is no image $name; there are coordinator and peer" >&2; return 2; }
        build "$engine" "$name"
    done
}

main "$@"
