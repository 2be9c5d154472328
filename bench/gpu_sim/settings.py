#!/usr/bin/env python3
"""settings.py CHECKOUT FOLDER [MULTIPROCESSORS]: the simulator's settings of an H200-like machine, or of a part of one, from
those of its H100. Memory channels and their L2 shrink with the multiprocessors; latencies and bandwidths of each stay.
docs/gpu-sim.md says where the numbers come from and that they are ours, not measurements of an H200."""
import pathlib
import re
import shutil
import sys

WHOLE = 132
L2_BYTES = 8 << 20  # at least; in each channel two slices of 64 sets
SETTINGS = {
    "gpgpu_memory_partition_indexing": "4",  # at random: 2 wants 16, 32 or 64 slices
    "gpgpu_clock_domains": "1980:3960:1980:2600",  # MHz of multiprocessors, interconnect, L2, memory
    "gpgpu_l2_rop_latency": "282",  # with the way there and back a load from L2 takes 290 cycles
    "gpgpu_l1_latency": "25",  # 29
    "gpgpu_smem_latency": "20",  # 26
    # no latency may be below its initiation interval; with SIM_BYPASS a result takes 3 cycles more
    "ptx_opcode_latency_int": "2,2,2,2,21,21",
    "ptx_opcode_initiation_int": "2,2,2,2,8,4",
    "ptx_opcode_latency_fp": "1,1,1,1,30",
    "ptx_opcode_initiation_fp": "1,1,1,1,4",
    "gpgpu_cache:dl1": "S:4:128:64,L:T:m:L:L,A:1024:8,32:0,64",  # 32 KB of misses on their way, 64 bytes filled a cycle
    "gpgpu_unified_l1d_size": "256",
    "gpgpu_shmem_option": "0,8,16,32,64,100,132,164,196,228",
    "gpgpu_shmem_size": "233472",
    "gpgpu_shmem_sizeDefault": "233472",
    "gpgpu_shmem_per_block": "232448",
    "gpgpu_kernel_launch_latency": "0",
    "gpgpu_ptx_force_max_capability": "90",
    "gpgpu_occupancy_sm_number": "90",
}


def main():
    if not 3 <= len(sys.argv) <= 4:
        raise SystemExit(__doc__)
    shipped = pathlib.Path(sys.argv[1]) / "configs/tested-cfgs/SM90_H100"
    multiprocessors = int(sys.argv[3]) if len(sys.argv) > 3 else WHOLE
    channels = max(2, round(80 * multiprocessors / WHOLE))
    ways = max(40, L2_BYTES // (channels * 2 * 64 * 128))
    settings = SETTINGS | {"gpgpu_n_clusters": str(multiprocessors), "gpgpu_n_mem": str(channels),
                           "gpgpu_cache:dl2": f"S:64:128:{ways},L:B:m:L:P,A:192:4,32:0,32"}
    shutil.copytree(shipped, sys.argv[2], dirs_exist_ok=True)
    file = pathlib.Path(sys.argv[2]) / "gpgpusim.config"
    text = file.read_text()
    for name, value in settings.items():
        text, found = re.subn(rf"^-{re.escape(name)}\s.*$", f"-{name} {value}", text, flags=re.M)
        if found != 1:
            raise SystemExit(f"{shipped}: {found} settings named {name}, expected one")
    file.write_text(text)


main()
