#!/usr/bin/env bash
# What only a machine with a GPU can tell, in stages of under ten minutes: each writes OUT/STAGE.json and OUT/STAGE.log;
# OUT/summary.json holds them all, those of earlier calls on the same commit included. Needs no network: the packages of
# .offline.tar.gz, which scripts/carry_packages makes, are unpacked into .offline/ and found there.
# usage: tests/gpu_nightly.sh [--weekly] OUT [STAGE...]
#   stages: configure build tests sanitizer train bench probe; without any: all, in this order
#   --weekly: the sanitizer stage also looks for races in shared memory
# ESPALIER_NIGHTLY_BUILD: the build folder, build-gpu by default.
# Ends with 0 only if every stage that was asked for ran and passed; a stage that could not run did not pass.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
all=(configure build tests sanitizer train bench probe)
usage() { echo "usage: tests/gpu_nightly.sh [--weekly] OUT [STAGE...]; stages: ${all[*]}" >&2; exit 2; }

weekly=
if [ "${1-}" = --weekly ]; then weekly=1; shift; fi
(($# > 0)) && [[ $1 != -* ]] || usage
out=$1
shift
chosen=("$@")
((${#chosen[@]} > 0)) || chosen=("${all[@]}")
for stage in "${chosen[@]}"; do
    [[ " ${all[*]} " == *" $stage "* ]] || { echo "gpu_nightly: there is no stage '$stage'" >&2; usage; }
done
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 7
build=${ESPALIER_NIGHTLY_BUILD:-$here/build-gpu}
commit=$(git -C "$here" rev-parse HEAD 2>/dev/null || echo unknown)
if [ -n "$(git -C "$here" status --porcelain --untracked-files=no 2>/dev/null)" ]; then commit+=+changes; fi
limit=570 # seconds a stage

export ESPALIER_REQUIRE_GPU=1 # a GPU test that would be skipped fails
offline=$here/.offline/usr
find_libraries() {
    libraries=("$offline"/lib/*-linux-gnu)
    export LD_LIBRARY_PATH="${libraries[0]}:${libraries[0]}/openblas-openmp${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
}
if [ -d "$offline" ]; then find_libraries; fi

# ---- the stages: each prints what it does and returns 0 only if it did all of it

# Says why the stage cannot go on, and ends it.
refuse() { echo "$1" >"$out/$stage.reason"; echo "gpu_nightly: $1"; exit 1; }
need() { [ -x "$build/$1" ] || refuse "$build/$1 is not there; run the build stage"; }

stage_configure() {
    local architecture options=()
    architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d .)
    if [ "$here/.offline.tar.gz" -nt "$here/.offline" ]; then
        rm -rf "$here/.offline" "$here/.offline.new"
        mkdir "$here/.offline.new" && tar -xzf "$here/.offline.tar.gz" -C "$here/.offline.new" &&
            touch "$here/.offline.new" && mv "$here/.offline.new" "$here/.offline" || return 1
    fi
    if [ -d "$offline" ]; then
        find_libraries
        options+=("-DCMAKE_PREFIX_PATH=$offline"
            "-DOpenBLAS_DIR=${libraries[0]}/openblas-openmp/cmake/openblas")
    fi
    cmake -G Ninja -S "$here" -B "$build" -DCMAKE_BUILD_TYPE=Release -DESPALIER_TESTS=ON -DESPALIER_BENCH=ON \
        "-DESPALIER_CUDA_ARCHITECTURES=${architecture:-90}" ${options[@]+"${options[@]}"} || return 1
    # (grep reads to the end: a pipe closed early would fail what writes to it)
    cmake --build "$build" --target help | grep '^espalier_cuda:' >/dev/null ||
        refuse "the CUDA module would not be built: no nvcc, or a toolkit too old or in part; CMake says which above"
}

stage_build() {
    [ -f "$build/CMakeCache.txt" ] || refuse "$build is not configured; run the configure stage"
    cmake --build "$build"
}

# The tests that ran on the device's own backend; what a program without a GPU lacks or skips is no success.
gpu_tests='Gpu.*:*/cuda*:-*cuda_on_host*'

stage_tests() {
    need espalier_tests
    "$build/espalier_tests" --gtest_filter="$gpu_tests" --gtest_brief=1 "--gtest_output=json:$out/tests-result.json" ||
        return 1
    local run
    run=$(sed -n 's/^  "tests": \([0-9]*\),/\1/p' "$out/tests-result.json" | head -n 1)
    ((${run:-0} > 20)) || refuse "only ${run:-0} tests ran on the GPU"
    if grep -q '"result": "SKIPPED"' "$out/tests-result.json"; then refuse "tests on the GPU were skipped"; fi
}

stage_sanitizer() {
    need espalier_tests
    command -v compute-sanitizer >/dev/null || refuse "compute-sanitizer is not installed"
    local tools=(memcheck synccheck) tool
    if [ -n "$weekly" ]; then tools+=(racecheck); fi
    for tool in "${tools[@]}"; do
        echo "==== $tool"
        # Gpu.IsThere among them fails where there is none, so that no empty list passes.
        compute-sanitizer --tool "$tool" --error-exitcode 99 "$build/espalier_tests" --gtest_filter="$gpu_tests" \
            --gtest_brief=1 || return 1
    done
}

stage_train() {
    need espalier
    rm -rf "$out/run"
    "$build/espalier" train --dataset synthetic --layers 784-512-128-10 --epochs 3 --backend cuda --json \
        --out "$out/run" >"$out/train-result.json" || return 1
    grep -q '"backend": *"cuda"' "$out/train-result.json" || refuse "the run was not on the cuda backend"
    local batch # the goal is 5,000 epochs in five minutes: 0.06 seconds_per_epoch
    for batch in 10 128; do
        rm -rf "$out/run-rbm"
        "$build/espalier" train --recipe set-rbm-mnist-500 --dataset synthetic --epochs 10 --batch $batch \
            --backend cuda --json --out "$out/run-rbm" >"$out/train-rbm-$batch.json" || return 1
    done
}

stage_bench() {
    need product_bench
    "$build/product_bench" --benchmark_filter=cuda --benchmark_min_time=0.05 \
        --benchmark_out="$out/bench-product.json" --benchmark_out_format=json || return 1
    grep -q '"run_name"' "$out/bench-product.json" || refuse "product_bench has no benchmark of the cuda backend"
    if grep -q '"error_occurred": true' "$out/bench-product.json"; then refuse "a benchmark failed"; fi
}

stage_probe() {
    need gpu_probe
    "$build/gpu_probe" >"$out/probe-result.json"
}

# ---- running them

# json NAME STATUS REASON SECONDS STARTED
json() {
    local reason=${3//\\/\\\\}
    reason=${reason//\"/\\\"}
    printf '{"stage": "%s", "status": "%s", "reason": "%s", "seconds": %s, "started": "%s", "commit": "%s"}\n' \
        "$1" "$2" "$reason" "$4" "$5" "$commit"
}

# In a process of its own, which the time limit can end.
if [ -n "${ESPALIER_NIGHTLY_STAGE-}" ]; then
    stage=$ESPALIER_NIGHTLY_STAGE
    "stage_$stage"
    exit
fi

run_stage() {
    local stage=$1 started begin code=0 status=passed reason=
    started=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    begin=$SECONDS
    rm -f "$out/$stage.json" "$out/$stage.reason"
    echo "gpu_nightly: $stage" >&2
    ESPALIER_NIGHTLY_STAGE=$stage timeout --kill-after=10 "$limit" "$here/tests/gpu_nightly.sh" \
        ${weekly:+--weekly} "$out" "$stage" >"$out/$stage.log" 2>&1 </dev/null || code=$?
    if ((code != 0)); then
        status=failed
        reason="exit status $code"
        if ((code == 124 || code == 137)); then reason="ran past $limit seconds"; fi
        if [ -s "$out/$stage.reason" ]; then reason=$(head -n 1 "$out/$stage.reason"); fi
        case $reason in *' is not there; '* | *' is not configured; '*) status='not run' ;; esac
    fi
    rm -f "$out/$stage.reason"
    json "$stage" "$status" "$reason" "$((SECONDS - begin))" "$started" >"$out/$stage.json"
    echo "gpu_nightly: $stage $status${reason:+: $reason}" >&2
    [ "$status" = passed ]
}

failed=0
for stage in "${chosen[@]}"; do run_stage "$stage" || failed=1; done

# A stage of an earlier call counts if it saw this very commit.
{
    echo '{"stages": ['
    passed=true
    separator=
    for stage in "${all[@]}"; do
        printf '%s' "$separator"
        separator=,
        if [ -s "$out/$stage.json" ] && grep -qF "\"commit\": \"$commit\"" "$out/$stage.json"; then
            cat "$out/$stage.json"
            grep -q '"status": "passed"' "$out/$stage.json" || passed=false
        else
            json "$stage" 'not run' 'nobody asked for it on this commit' 0 ''
            passed=false
        fi
    done
    printf '], "all_passed": %s, "commit": "%s", "machine": "%s"}\n' "$passed" "$commit" \
        "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -n 1 | tr -d '"\\' ||
            true)"
} >"$out/summary.json"
cat "$out/summary.json"
exit $failed
