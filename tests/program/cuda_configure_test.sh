#!/usr/bin/env bash
# Where nvcc does not suit the C++ compiler, knows an architecture no more or lacks a library's headers, the rest is
# configured all the same and it is said why the module is not built.
# usage: tests/program/cuda_configure_test.sh SOURCE_FOLDER CXX_COMPILER [NVCC]
set -euo pipefail
source=$1 compiler=$2 nvcc=${3-}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() { echo "cuda_configure_test: $1" >&2; cat "$scratch/log" >&2; exit 1; }
configure() { # OPTION...: as somebody without the tests would
    rm -rf "$scratch/build"
    cmake -S "$source" -B "$scratch/build" "-DCMAKE_CXX_COMPILER=$compiler" -DESPALIER_TESTS=OFF -DESPALIER_BENCH=OFF \
        "$@" >"$scratch/log" 2>&1
}
says() { grep -q "The CUDA module is not built: .*$1" "$scratch/log" || fail "it does not say: $1"; }

# An nvcc as it is beside too new a compiler.
mkdir "$scratch/bin"
cat >"$scratch/bin/nvcc" <<'NVCC'
#!/bin/sh
echo "host_config.h: error: -- unsupported GNU version! gcc versions later than 13 are not supported!" >&2
exit 1
NVCC
chmod +x "$scratch/bin/nvcc"
CUDA_PATH=$scratch PATH=$scratch/bin:$PATH configure || fail "an nvcc that fails ended the configuration"
says "was found and fails with the C++ compiler"
says "CMAKE_CUDA_HOST_COMPILER"
grep -q 'ESPALIER_CUDA_FAULT=.*was found and fails with.*CMAKE_CUDA_HOST_COMPILER' "$scratch/build/compile_commands.json" ||
    fail "the program is not told, or in part"

if [ -n "$nvcc" ]; then
    configure "-DCMAKE_CUDA_COMPILER=$nvcc" '-DESPALIER_CUDA_ARCHITECTURES=20;90' ||
        fail "an architecture of long ago ended the configuration"
    says "does not compile for 20 of ESPALIER_CUDA_ARCHITECTURES"

    # A Thrust that is not the toolkit's: the distribution's where it is installed, else the line of it that counts.
    mkdir -p "$scratch/distribution"
    if [ -e /usr/include/thrust/version.h ]; then
        ln -s /usr/include/thrust "$scratch/distribution/"
    else
        mkdir "$scratch/distribution/thrust"
        echo '#define THRUST_VERSION 101702' >"$scratch/distribution/thrust/version.h"
    fi
    configure "-DCMAKE_CUDA_COMPILER=$nvcc" "-DCMAKE_CUDA_FLAGS=-I$scratch/distribution" ||
        fail "another Thrust ended the configuration"
    says "nvcc finds no Thrust of its toolkit (CCCL 2.0 or later)"
    ! "$nvcc" -cubin -x cu "-I$scratch/distribution" "$source/cuda/calls/toolkit_thrust.hpp" -o "$scratch/cubin" 2>"$scratch/log" ||
        fail "the module's sources take another Thrust"
    grep -q "error.*nvcc is given a Thrust older than 2.0" "$scratch/log" || fail "the sources do not say which Thrust"

    # Where the toolkit's folders hold no headers of its libraries (CMake is kept from looking there), those are taken that
    # Python's packages bring.
    top=$("$source/scripts/toolkit_of" "$nvcc")
    header=$(find -L "$top" -maxdepth 4 -path '*/include/cublas_v2.h' 2>/dev/null | head -n 1)
    if [ -n "$header" ]; then
        elsewhere=$(dirname "$(readlink -f "$header")")
        blind="-DCMAKE_IGNORE_PATH=$elsewhere;/usr/local/include"
        for home in "$top" /usr/local/cuda; do blind+=";$home/include;$home/targets/x86_64-linux/include"; done
        configure "-DCMAKE_CUDA_COMPILER=$nvcc" "$blind" || fail "a toolkit in part ended the configuration"
        says "the toolkit lacks cublas_v2.h of cuBLAS or cusparse.h of cuSPARSE"
        mkdir -p "$scratch/python/nvidia"/{cublas,cusparse}/include
        ln -s "$elsewhere/cublas_v2.h" "$scratch/python/nvidia/cublas/include/"
        ln -s "$elsewhere/cusparse.h" "$scratch/python/nvidia/cusparse/include/"
        PYTHONPATH=$scratch/python configure "-DCMAKE_CUDA_COMPILER=$nvcc" "$blind" || fail "headers of Python's"
        ! grep -q "The CUDA module is not built" "$scratch/log" || fail "headers in Python's folders were not found"
        grep -q "$scratch/python/nvidia/cublas/include" "$scratch/build/compile_commands.json" ||
            fail "the module is not compiled with the headers of Python's folders"
    else
        echo "cuda_configure_test: headers in Python's folders are not tried: this toolkit has none of its own to take"
    fi
fi
configure -DESPALIER_CUDA=OFF || fail "without CUDA"
says "configured without"
echo "cuda_configure_test: passed"
