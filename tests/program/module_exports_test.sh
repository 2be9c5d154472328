#!/usr/bin/env bash
# The CUDA module shows its three entries and no other symbol, and needs no library of CUDA's to be opened.
# usage: tests/program/module_exports_test.sh MODULE
set -euo pipefail
exported=$(nm -D --defined-only "$1" | awk '{print $NF}' | LC_ALL=C sort | tr '\n' ' ')
if [ "$exported" != 'describe_cuda_module make_cuda_backend make_cuda_product make_nccl_ranks ' ]; then
    printf 'exported instead of describe_cuda_module, make_cuda_backend, make_cuda_product and make_nccl_ranks alone:\n%s\n' "$exported" >&2
    exit 1
fi
needed=$(readelf -d "$1" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p')
if grep -q -e '^libcu' -e '^libnv' <<<"$needed"; then
    printf 'needs libraries that a machine without CUDA lacks:\n%s\n' "$needed" >&2
    exit 1
fi
