#!/usr/bin/env bash
# The CUDA backend's evolution, run on the CPU, compiles (a) with the distribution's Thrust while the CUDA toolkit's headers
# lie in the compiler's default path, (b) with the toolkit's own Thrust beside them, (c) with that Thrust where there is
# no toolkit. cmake/host_thrust.cmake chooses between them.
# usage: tests/program/host_thrust_test.sh CXX_COMPILER
# Ends with 77 if neither Thrust is installed; a part that is not there is named.
set -euo pipefail
compiler=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
toolkit=${CUDA_PATH:-/usr/local/cuda}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$here"

options=(-x c++ -std=c++20 -fopenmp -fsyntax-only -w -DTHRUST_HOST_SYSTEM=THRUST_HOST_SYSTEM_CPP
    -DTHRUST_DEVICE_SYSTEM=THRUST_DEVICE_SYSTEM_OMP -Itests/cuda_on_host/runtime -Itests/cuda_on_host/libraries
    -Itests/cuda_on_host -Iinclude -I.)
without_cuda=(-include cmake/thrust_without_cuda.hpp)
# The compiler's own folders, but for those that hold a CUDA toolkit.
bare=(-nostdinc)
while read -r folder; do
    if [ ! -e "$folder/cuda_runtime_api.h" ]; then bare+=(-isystem "$folder"); fi
done < <("$compiler" -x c++ -E -v /dev/null 2>&1 | sed -n '/^#include <\.\.\.>/,/^End of/p' | grep '^ ' | tr -d ' ')

tried=0
compile() { # WHAT OPTION...
    echo "host_thrust_test: $1"
    tried=$((tried + 1))
    "$compiler" "${options[@]}" "${@:2}" cuda/evolve.cu 2>"$scratch/log" ||
        { head -n 20 "$scratch/log" >&2; echo "host_thrust_test: $1: does not compile" >&2; exit 1; }
}

if [ -e /usr/include/thrust/version.h ] && [ -e "$toolkit/include/cuda_runtime_api.h" ]; then
    compile "(a) the distribution's Thrust, the toolkit's headers in the default path" -idirafter "$toolkit/include"
else
    echo "host_thrust_test: (a) is not tried: no Thrust of the distribution, or no toolkit"
fi
if [ -d "$toolkit/include/cccl/thrust" ]; then
    compile "(b) the toolkit's Thrust, its headers in the default path" "${without_cuda[@]}" \
        -isystem "$toolkit/include/cccl" -idirafter "$toolkit/include"
    ln -s "$(readlink -f "$toolkit/include/cccl")" "$scratch/cccl"
    compile "(c) the toolkit's Thrust without the toolkit" "${without_cuda[@]}" -isystem "$scratch/cccl" "${bare[@]}"
else
    echo "host_thrust_test: (b) and (c) are not tried: no toolkit with a Thrust"
fi
((tried > 0)) || exit 77
echo "host_thrust_test: passed"
