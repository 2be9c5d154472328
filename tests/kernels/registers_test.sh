#!/usr/bin/env bash
# Compiles every kernel for every architecture that the backend is for, and compares with tables what came of it:
#   cuda/registers.txt     what ptxas gives each kernel for sm_90: registers, shared memory, stack, spills
#   cuda/costs.txt         by kernel_costs.py: the loop it spends its time in, what a multiprocessor holds on each
#                          architecture; an array in local memory is an error
#   cuda/machine_code.txt  the same loop in machine code for sm_90, where NVIDIA's nvdisasm is in the path or NVDISASM names it
# usage: tests/kernels/registers_test.sh NVCC [--update]
# With CI=true spills, local memory and arithmetic in double are errors, for any architecture. The tables belong to one
# release of nvcc; with another one they are not compared: exit code 77 after everything compiled.
set -euo pipefail
nvcc=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
table=$root/cuda/registers.txt
disassembler=$(command -v "${NVDISASM:-nvdisasm}" || true)
architecture=sm_90
all=(75 80 86 89 90 100 120)
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

release=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\), V\([0-9.]*\).*/\2/p')
title="# nvcc $release, $architecture: registers, bytes of shared memory, of stack, of spills"
known=$("$nvcc" --list-gpu-arch | grep -o '[0-9]*')
code=()
for each in "${all[@]}"; do
    if grep -qx "$each" <<<"$known"; then
        code+=(-gencode "arch=compute_$each,code=sm_$each")
    else
        echo "sm_$each is not tried: nvcc $release does not know it"
    fi
done
strict=-warn-spills,-warn-lmem-usage,-warn-double-usage
if [ "${CI-}" = true ]; then strict+=,-Werror; fi
"$nvcc" -std=c++20 -O3 -fmad=false --expt-relaxed-constexpr "${code[@]}" -fatbin --threads 2 --keep --keep-dir "$temporary" -Xptxas "-v,$strict" \
    -I"$root" -I"$root/include" -o "$temporary/kernels.fatbin" "$root/tests/kernels/compiled_kernels.cu" \
    2>"$temporary/log" || { grep -E 'error|warning' "$temporary/log" | c++filt >&2; exit 1; }
grep -E 'warning' "$temporary/log" | c++filt || true # of ptxas, without CI
costs=("$root/tests/kernels/kernel_costs.py" "$temporary" "$temporary/log")
"${costs[@]}" >"$temporary/costs.txt"
made=(registers costs)
if [ -n "$disassembler" ]; then
    "${costs[@]}" "$disassembler" >"$temporary/machine_code.txt"
    made+=(machine_code)
else
    echo "cuda/machine_code.txt is not looked at: there is no nvdisasm"
fi

if [ "${2-}" != --update ] && [ "$(head -n 1 "$table")" != "$title" ]; then
    echo "All kernels compile. The table is of '$(head -n 1 "$table")', here it would be '$title': not compared."
    exit 77
fi
{
    echo "$title"
    awk -v architecture="'$architecture'" '
        /Compiling entry function/ { wanted = index($0, architecture); name = $0; sub(/^[^\047]*\047/, "", name); sub(/\047.*/, "", name) }
        /bytes stack frame/ { stack = $1; spill = $5 + $9 }
        /Used [0-9]+ registers/ && wanted {
            registers = $0; sub(/.*Used /, "", registers); sub(/ .*/, "", registers)
            shared = 0
            if (match($0, /[0-9]+ bytes smem/)) { shared = substr($0, RSTART, RLENGTH); sub(/ .*/, "", shared) }
            printf "%s %d %d %d %d\n", name, registers, shared, stack, spill
        }' "$temporary/log" | c++filt | sed -E 's/^void //; s/espalier::cuda:://g; s/espalier:://g; s/\(.*\) ([0-9]+ [0-9]+ [0-9]+ [0-9]+)$/ \1/' |
        LC_ALL=C sort
} >"$temporary/registers.txt"

if [ "${2-}" = --update ]; then
    for each in "${made[@]}"; do cp "$temporary/$each.txt" "$root/cuda/$each.txt"; done
    exit 0
fi
rc=0
for each in "${made[@]}"; do
    diff "$root/cuda/$each.txt" "$temporary/$each.txt" || rc=1
    [ "$(wc -l <"$root/cuda/$each.txt")" -gt 30 ] || { echo "cuda/$each.txt holds too few kernels" >&2; rc=1; }
done
if ((rc)); then echo "Kernels take other resources than the tables say (left). If that is meant: $0 $nvcc --update" >&2; fi
exit "$rc"
