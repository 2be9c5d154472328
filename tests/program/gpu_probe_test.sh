#!/usr/bin/env bash
# Checks that gpu_probe prints no figure where there is no GPU, says so and ends with 6.
# usage: tests/program/gpu_probe_test.sh GPU_PROBE
set -euo pipefail
if nvidia-smi >/dev/null 2>&1; then
    echo "there is a GPU here; this test is about machines without one"
    exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Its libraries are found where the toolkit is in no configuration of the loader's.
readelf -d "$1" | grep -q 'R.*PATH.*/' || { echo "gpu_probe_test: it has no run path" >&2; exit 1; }
code=0
"$1" >"$scratch/out" 2>"$scratch/err" || code=$?
((code == 6)) || { echo "gpu_probe_test: exit status $code instead of 6" >&2; cat "$scratch/err" >&2; exit 1; }
[ ! -s "$scratch/out" ] || { echo "gpu_probe_test: it printed figures" >&2; exit 1; }
grep -q 'there is no CUDA device to measure' "$scratch/err"
