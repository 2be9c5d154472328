#!/usr/bin/env bash
# The CUDA module shows one symbol, its entry, and needs no library of CUDA's to be opened.
# usage: tests/program/module_exports_test.sh MODULE
set -euo pipefail
exported=$(nm -D --defined-only "$1" | awk '{print $NF}')
if [ "$exported" != make_cuda_backend ]; then
    printf 'exported instead of make_cuda_backend alone:\n%s\n' "$exported" >&2
    exit 1
fi
needed=$(readelf -d "$1" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p')
if grep -q -e '^libcu' -e '^libnv' <<<"$needed"; then
    printf 'needs libraries that a machine without CUDA lacks:\n%s\n' "$needed" >&2
    exit 1
fi
