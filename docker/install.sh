#!/bin/sh
# Makes the virtual environment of an image, in its build stage: `install.sh dependencies FILE`, then `install.sh project`.
#
# Secrets that a build may mount, and that stay out of its layers: /run/secrets/pip, a pip configuration, and
# /run/secrets/ca, the certificates that it needs. TORCH_INDEX is the index that torch comes from besides the usual one,
# EXTRAS are further packages.
set -eu

venv=/opt/btard
here=$(cd "$(dirname "$0")" && pwd)
site() { "$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

if [ -f /run/secrets/pip ]; then export PIP_CONFIG_FILE=/run/secrets/pip; fi
if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi

# Bytecode is written by warm.py, for the modules that are imported at all.
install() {
    "$venv/bin/pip" install --quiet --no-cache-dir --no-compile --disable-pip-version-check --root-user-action ignore \
        -c "$here/../constraints.txt" "$@"
}

dependencies() {
    if [ ! -d "$venv" ]; then
        python3 -m venv "$venv"
        install setuptools wheel
    fi
    # shellcheck disable=SC2086 # EXTRAS are several words
    install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r "$here/$1" ${EXTRAS:-}
    strip_packages
}

# What these packages install for their own tests, or for compiling against them.
strip_packages() {
    cd "$(site)"
    rm -rf torch/include torch/test torch/share torch/lib/*_test.so torch/lib/*.a pyarrow/include pyarrow/*.a
    find torch/bin -type f ! -name torch_shm_manager -delete
    find scipy sympy pandas sklearn networkx pyarrow hivemind -type d -name tests -prune -exec rm -rf {} + 2>/dev/null || true
}

project() {
    install --no-build-isolation --no-deps "$here/.."
    # Nothing is installed in a running container; torch itself keeps setuptools.
    "$venv/bin/python" "$here/warm.py" "$1"
    "$venv/bin/pip" uninstall --quiet --yes --disable-pip-version-check --root-user-action ignore wheel pip
}

"$@"
