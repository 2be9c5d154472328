#!/usr/bin/env bash
# cuda-toolkit 13.0.2 and 13.1.1 on PyPI, extra nvcc: the wheel of nvcc is pinned, the two it calls are not. nvidia-nvvm
# (cicc) and nvidia-cuda-crt come as the newest, whose PTX the pinned ptxas refuses, so nvcc compiles no kernel. From
# 13.2 on all three are pinned. Seen with nvidia-nvvm 13.5.37: "Unsupported .version 9.5; current version is '9.0'".
# With nvidia-nvvm and nvidia-cuda-crt asked for in nvcc's own release it compiles.
# Needs Python 3 with venv, a C++ compiler and about 1 GB in the temporary folder. Ends with 0 while it is so.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
echo '__global__ void kernel(float* x) { *x = 1; }' >"$scratch/kernel.cu"
python3 -m venv "$scratch/env"
install() { # FOLDER PACKAGE...
    "$scratch/env/bin/pip" -q --disable-pip-version-check install --no-compile --target "$@" >"$scratch/log" 2>&1 ||
        { cat "$scratch/log"; exit 1; }
}
compile() { # FOLDER
    chmod +x "$1"/nvidia/cu13/bin/* "$1"/nvidia/cu13/nvvm/bin/* 2>/dev/null || true
    "$1/nvidia/cu13/bin/nvcc" -arch=sm_90 -cubin -o "$scratch/kernel.cubin" "$scratch/kernel.cu"
}
version() { basename "$1"/nvidia_"$2"-*.dist-info .dist-info | sed 's/.*-//'; }

for release in 13.0.2 13.1.1; do
    install "$scratch/$release" "cuda-toolkit[nvcc,cccl,cudart]==$release"
    nvcc=$(version "$scratch/$release" cuda_nvcc) nvvm=$(version "$scratch/$release" nvvm)
    echo "cuda-toolkit $release: nvcc $nvcc, nvvm $nvvm"
    [ "${nvcc%.*}" != "${nvvm%.*}" ] || { echo "they are of one release now"; exit 1; }
    if compile "$scratch/$release" 2>"$scratch/said"; then echo "it compiles now"; exit 1; fi
    grep 'Unsupported .version' "$scratch/said"
    rm -rf "${scratch:?}/$release"
done

install "$scratch/pinned" "cuda-toolkit[nvcc,cccl,cudart]==13.0.2" "nvidia-nvvm==13.0.*" "nvidia-cuda-crt==13.0.*"
compile "$scratch/pinned"
echo "13.0.2 with nvidia-nvvm and nvidia-cuda-crt of 13.0: compiles"
