#!/usr/bin/env bash
# CCCL of CUDA 12.9 (Thrust, CUB and libcu++ 2.8) keeps clang up to 19 from indexing packs as C++26 does, by
# `_CCCL_COMPILER(CLANG, <=, 19)`; but versions are compared together with their minor number, and every release of clang
# 19 is 19.1. So what that line was written for happens: to assign one cuda::std::tuple of two to another does not compile,
# nor does thrust::lower_bound, in CUDA or in plain C++. CCCL of 12.8 has no such branch; -U__cpp_pack_indexing is a way
# round. Seen with nvidia-cuda-cccl-cu12 12.9.27: "error: invalid index 1 for pack '_Ts' of size 1", with 12.8.90 nothing.
# Needs Python 3 with venv; clang 19.1.7 comes with ziglang 0.14.1. Ends with 0 while it is so.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export ZIG_GLOBAL_CACHE_DIR=$scratch/cache ZIG_LOCAL_CACHE_DIR=$scratch/cache
cat >"$scratch/assigns.cpp" <<'CPP'
#include <cuda/std/tuple>
int main() {
    cuda::std::tuple<int, long> one(1, 2), other(3, 4);
    one = other;
    return cuda::std::get<0>(one) - 3;
}
CPP
python3 -m venv "$scratch/env"
install() { # FOLDER PACKAGE
    "$scratch/env/bin/pip" -q --disable-pip-version-check install --no-deps --no-compile --target "$scratch/$1" "$2" >"$scratch/log" 2>&1 ||
        { cat "$scratch/log"; exit 1; }
}
compile() { # FOLDER OPTION...
    PYTHONPATH=$scratch/zig "$scratch/env/bin/python" -m ziglang c++ -std=c++20 "${@:2}" \
        -isystem "$scratch/$1/nvidia/cuda_cccl/include" -c -o "$scratch/assigns.o" "$scratch/assigns.cpp" 2>"$scratch/said"
}
install zig ziglang==0.14.1
install 12.8 nvidia-cuda-cccl-cu12==12.8.90
install 12.9 nvidia-cuda-cccl-cu12==12.9.27
PYTHONPATH=$scratch/zig "$scratch/env/bin/python" -m ziglang c++ --version | grep -o 'clang version 19.1[0-9.]*'

compile 12.8 || { cat "$scratch/said"; echo "12.8.90 does not compile now"; exit 1; }
echo "nvidia-cuda-cccl-cu12 12.8.90: compiles"
if compile 12.9; then echo "12.9.27 compiles now"; exit 1; fi
echo "nvidia-cuda-cccl-cu12 12.9.27: $(grep -o "error: invalid index 1 for pack.*" "$scratch/said")"
compile 12.9 -U__cpp_pack_indexing -Wno-builtin-macro-redefined
echo "12.9.27 with -U__cpp_pack_indexing: compiles"
