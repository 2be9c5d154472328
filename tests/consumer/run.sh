#!/usr/bin/env bash
# Installs a build into a folder of its own and builds and runs, against it alone, the program of docs/library.md.
# usage: tests/consumer/run.sh BUILD_FOLDER
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(realpath "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() { echo "consumer: $1" >&2; exit 1; }

cmake --install "$build" --prefix "$scratch/prefix" >/dev/null
[ ! -e "$scratch/prefix/include/espalier/host" ] && [ ! -e "$scratch/prefix/include/espalier/common" ] ||
    fail "private headers are installed"
[ -f "$scratch/prefix/share/doc/espalier/LICENSE" ] || fail "no licence is installed"
# What is exported names no file of this machine and nothing empty.
for file in "$scratch"/prefix/lib*/cmake/espalier/espalier-targets*.cmake "$scratch"/prefix/lib*/*/cmake/espalier/espalier-targets*.cmake; do
    [ -f "$file" ] || continue
    targets=$file
    if grep -nE '"/|;/|LINK_ONLY:>|;;|PROPERTIES.*""' <(grep -vE '_IMPORT_CHECK|REALPATH|STREQUAL' "$file"); then
        fail "an absolute path or something empty in $(basename "$file")"
    fi
done
[ -n "${targets-}" ] || fail "no exported targets"

cmake -G Ninja -S "$here" -B "$scratch/consumer" -DCMAKE_PREFIX_PATH="$scratch/prefix" -DCMAKE_BUILD_TYPE=Release >"$scratch/log" ||
    { cat "$scratch/log" >&2; fail "the package is not found"; }
cmake --build "$scratch/consumer" >"$scratch/log" || { cat "$scratch/log" >&2; fail "it does not compile"; }
cd "$scratch"
consumer/consumer
# The program reads what the library's user saved.
prefix/bin/espalier evaluate net.safetensors --json
