#!/usr/bin/env python3
"""Every kind of regression that cuda/costs.txt is there to show, made on purpose: kernel_costs.py must tell it from the
kernel without it. usage: kernel_costs_test.py NVCC"""
import subprocess
import sys
import tempfile
from pathlib import Path

import kernel_costs

# A sum over 8 edges of four samples a lane each, as the gather kernels have it.
SOURCE = """
__global__ void __launch_bounds__(THREADS) hot(const float4* x, const unsigned* other, float4* y, int count) {
    float4 sum = make_float4(0, 0, 0, 0);
#if LOCAL
    float lane[4] = {1, 2, 3, 4};
    lane[count & 3] = 0;  // an index that only the run knows
    sum.x = lane[threadIdx.x & 3];
#endif
    ROLLED for (int e = 0; e < count; e += 8) {
        float4 in[8];
#pragma unroll
        for (int u = 0; u < 8; ++u) {
            in[u] = x[other[e + u]];
            if (SERIAL) {
                sum.x = fmaf(2.0F, in[u].x, sum.x); sum.y = fmaf(2.0F, in[u].y, sum.y);
                sum.z = fmaf(2.0F, in[u].z, sum.z); sum.w = fmaf(2.0F, in[u].w, sum.w);
                __syncwarp();
            }
        }
        __syncwarp();
        if (SERIAL) continue;
#pragma unroll
        for (int u = 0; u < 8; ++u) {
            sum.x = fmaf(2.0F, in[u].x, sum.x); sum.y = fmaf(2.0F, in[u].y, sum.y);
            sum.z = fmaf(2.0F, in[u].z, sum.z); sum.w = fmaf(2.0F, in[u].w, sum.w);
            if (WASTE) sum.x = sum.x * 3.0F - float(e);
        }
    }
    y[threadIdx.x] = sum;
}
"""
GOOD = {"THREADS": 256, "LOCAL": 0, "ROLLED": "", "SERIAL": 0, "WASTE": 0}


def costs_of(nvcc, **changes):
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "hot.cu")
        source.write_text(SOURCE)
        defines = [f"-D{name}={value}" for name, value in (GOOD | changes).items()]
        made = subprocess.run([nvcc, "-std=c++20", "-O3", "-fmad=false", *defines, "-gencode", "arch=compute_90,code=sm_90",
                               "-cubin", "-Xptxas", "-v", "--keep", "--keep-dir", folder, "-o", f"{folder}/hot.cubin", source],
                              text=True, capture_output=True, check=True)
        ptx = Path(folder, "hot.ptx").read_text()
        lines, faults = kernel_costs.costs({90: ptx}, made.stderr)
        assert len(lines) == 1, lines
        name, static, held = lines[0].split(" | ")
        count, rolled, *loop = static.split()
        return {"rolled": int(rolled), "an edge": float(loop[2]), "in flight": int(loop[3]), "held": held, "faults": len(faults)}


def main():
    nvcc = sys.argv[1]
    good = costs_of(nvcc)
    assert good["faults"] == 0 and good["in flight"] == 8, good
    assert costs_of(nvcc, LOCAL=1)["faults"] == 1
    assert costs_of(nvcc, ROLLED='_Pragma("unroll 1")')["rolled"] == good["rolled"] + 1
    assert costs_of(nvcc, SERIAL=1)["in flight"] == 1
    assert costs_of(nvcc, WASTE=1)["an edge"] > good["an edge"]
    assert costs_of(nvcc, THREADS=96)["held"] != good["held"]  # 21 blocks of three warps
    assert kernel_costs.warps_held(90, 110, 0, 256) == (16, "registers")
    assert kernel_costs.warps_held(90, 32, 0, 256) == (64, "warps")
    assert kernel_costs.warps_held(75, 32, 40000, 256) == (8, "shared")
    print("kernel_costs_test: each regression was told from what is right:", good)


if __name__ == "__main__":
    main()
