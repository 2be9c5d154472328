#!/usr/bin/env bash
# cuda-toolkit 13.5.0: `__mbarrier_test_wait_parity` of cuda_awbarrier_primitives.h compiles for compute capability 8.0, 8.6 and
# 8.9 without a warning, into `trap`: the kernel ends with an error where it waits. The instruction that it stands for,
# mbarrier.test_wait.parity, is there from 8.0 on (PTX ISA 7.1), and the same toolkit assembles it for these. The header's other
# wait, `__mbarrier_test_wait` with a token, is the instruction. Seen: trap for 80, 86, 89; mbarrier.test_wait.parity for 90.
# Needs Python 3 with venv, a C++ compiler and about 1 GB in the temporary folder. Ends with 0 while it is so.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/wait.cu" <<'END'
#include <cuda_awbarrier_primitives.h>
__global__ void by_header() {
    __shared__ __mbarrier_t barrier;
    if (threadIdx.x == 0) __mbarrier_init(&barrier, blockDim.x);
    __syncthreads();
#ifdef WITH_TOKEN
    const __mbarrier_token_t token = __mbarrier_arrive(&barrier);
    while (!__mbarrier_test_wait(&barrier, token)) {}
#else
    __mbarrier_arrive(&barrier);
    while (!__mbarrier_test_wait_parity(&barrier, false)) {}
#endif
}
END
cat >"$scratch/by_hand.cu" <<'END'
__global__ void by_hand(unsigned* out) {
    __shared__ unsigned long long barrier;
    unsigned done, at = static_cast<unsigned>(__cvta_generic_to_shared(&barrier));
    asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(at) : "memory");
    asm volatile("{.reg .pred p; mbarrier.test_wait.parity.shared.b64 p, [%1], 1; selp.b32 %0, 1, 0, p;}"
                 : "=r"(done) : "r"(at) : "memory");
    *out = done;
}
END
python3 -m venv "$scratch/env"
"$scratch/env/bin/pip" -q --disable-pip-version-check install --no-compile --target "$scratch/cuda" \
    "cuda-toolkit[nvcc,cccl,cudart]==13.5.0" >"$scratch/log" 2>&1 || { cat "$scratch/log"; exit 1; }
chmod +x "$scratch"/cuda/nvidia/cu13/bin/* "$scratch"/cuda/nvidia/cu13/nvvm/bin/* 2>/dev/null || true
nvcc=$scratch/cuda/nvidia/cu13/bin/nvcc
"$nvcc" --version | grep release
ptx() { # ARCHITECTURE DEFINE...: what the kernel is
    "$nvcc" -Werror all-warnings -arch="compute_$1" -ptx "${@:2}" -o "$scratch/wait.ptx" "$scratch/wait.cu"
    grep -oE '\btrap\b|mbarrier\.test_wait[a-z0-9.]*' "$scratch/wait.ptx" | sort -u | xargs
}
for each in 80 86 89; do
    parity=$(ptx "$each") token=$(ptx "$each" -DWITH_TOKEN)
    echo "compute_$each: by parity $parity; by token $token"
    [ "$parity" = trap ] || { echo "it waits now"; exit 1; }
    [[ $token == mbarrier.test_wait.* ]] || { echo "the other wait is none"; exit 1; }
    "$nvcc" -arch="sm_$each" -cubin -o "$scratch/by_hand.cubin" "$scratch/by_hand.cu"
done
echo "compute_90: by parity $(ptx 90)"
[[ $(ptx 90) == mbarrier.test_wait.parity* ]] || { echo "nor does it for 90"; exit 1; }
echo "ptxas assembles mbarrier.test_wait.parity for sm_80, sm_86 and sm_89"
