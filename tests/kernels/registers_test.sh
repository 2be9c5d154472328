#!/usr/bin/env bash
# Compares what ptxas gives each kernel (registers, shared memory, stack, spills) with the table cuda/registers.txt.
# usage: tests/kernels/registers_test.sh NVCC [--update]
# The table belongs to one release of nvcc; with another one there is nothing to compare: exit code 77.
set -euo pipefail
nvcc=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
table=$root/cuda/registers.txt
architecture=sm_90
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

release=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\), V\([0-9.]*\).*/\2/p')
title="# nvcc $release, $architecture: registers, bytes of shared memory, of stack, of spills"
if [ "${2-}" != --update ] && [ "$(head -n 1 "$table")" != "$title" ]; then
    echo "The table is of '$(head -n 1 "$table")', here it would be '$title': nothing to compare."
    exit 77
fi

"$nvcc" -std=c++20 -O3 -fmad=false --expt-relaxed-constexpr -arch=$architecture -cubin -Xptxas -v \
    -I"$root" -I"$root/include" -o "$temporary/kernels.cubin" "$root/tests/kernels/compiled_kernels.cu" \
    2>"$temporary/log" || { cat "$temporary/log" >&2; exit 1; }
{
    echo "$title"
    awk '
        /Compiling entry function/ { name = $0; sub(/^[^\047]*\047/, "", name); sub(/\047.*/, "", name) }
        /bytes stack frame/ { stack = $1; spill = $5 + $9 }
        /Used [0-9]+ registers/ {
            registers = $0; sub(/.*Used /, "", registers); sub(/ .*/, "", registers)
            shared = 0
            if (match($0, /[0-9]+ bytes smem/)) { shared = substr($0, RSTART, RLENGTH); sub(/ .*/, "", shared) }
            printf "%s %d %d %d %d\n", name, registers, shared, stack, spill
        }' "$temporary/log" | c++filt | sed -E 's/^void //; s/espalier::cuda:://g; s/espalier:://g; s/\(.*\) ([0-9]+ [0-9]+ [0-9]+ [0-9]+)$/ \1/' |
        LC_ALL=C sort
} >"$temporary/table"

if [ "${2-}" = --update ]; then
    cp "$temporary/table" "$table"
    exit 0
fi
if ! diff "$table" "$temporary/table"; then
    echo "Kernels take other resources than $table says (left). If that is meant: $0 $nvcc --update" >&2
    exit 1
fi
[ "$(wc -l <"$table")" -gt 30 ] || { echo "$table holds too few kernels" >&2; exit 1; }
