#!/usr/bin/env bash
# Checks scripts/gpu_nightly on a machine without a GPU: nothing that needs one may come out as passed; with the module
# that runs the backend's sources on the CPU, its stages do all they do on a GPU, within their time.
# usage: tests/program/gpu_nightly_test.sh BUILD_FOLDER
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$1
if nvidia-smi >/dev/null 2>&1; then
    echo "there is a GPU here; this test is about machines without one"
    exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() { echo "gpu_nightly_test: $1" >&2; cat "$scratch"/*/summary.json >&2 || true; exit 1; }
nightly() { # BUILD OPTION... OUT STAGE...: its exit status in $code
    code=0
    ESPALIER_NIGHTLY_BUILD=$1 "$here/scripts/gpu_nightly" "${@:2}" >"$scratch/stdout" 2>"$scratch/stderr" || code=$?
}
status_is() { grep -q "\"stage\": \"$2\", \"status\": \"$3\"" "$scratch/$1/summary.json" || fail "$2 is not '$3'"; }

nightly "$build" "$scratch/stages" doctor tests probe bench train sanitizer
((code != 0)) || fail "stages that need a GPU passed without one"
for stage in doctor tests probe bench train sanitizer; do
    grep -q "\"stage\": \"$stage\", \"status\": \"\(failed\|not run\)\"" "$scratch/stages/summary.json" ||
        fail "$stage is neither failed nor not run"
    [ -f "$scratch/stages/$stage.log" ] || fail "$stage left no log"
done
status_is stages build 'not run'
grep -q '"all_passed": false' "$scratch/stages/summary.json" || fail "all_passed"
grep -q '"last_lines": ".*the CUDA backend cannot be used' "$scratch/stages/summary.json" ||
    fail "the end of a failed stage's log is not in the summary"
tar -tzf "$scratch/stages/results.tar.gz" >"$scratch/listed" # (a pipe that grep -q closes early would fail tar)
grep -q summary.json "$scratch/listed" || fail "no archive of the results"
if command -v python3 >/dev/null; then
    python3 -c 'import json, sys; assert len(json.load(open(sys.argv[1]))["stages"]) == 7' \
        "$scratch/stages/summary.json" || fail "summary.json is not JSON of seven stages"
fi

# Nothing was built there, and there is no time to.
nightly "$scratch/nowhere" "$scratch/nothing" tests train
((code != 0)) || fail "an empty build folder passed"
for stage in tests train; do status_is nothing $stage 'not run'; done

# What a stage of an earlier call found stands in the next summary; on another commit it does not.
sed 's/"stage": "tests", "status": "[a-z ]*"/"stage": "build", "status": "passed"/' "$scratch/nothing/tests.json" \
    >"$scratch/nothing/build.json"
nightly "$scratch/nowhere" "$scratch/nothing" train
status_is nothing build passed
sed -i 's/"commit": "[^"]*"/"commit": "another"/' "$scratch/nothing/build.json"
nightly "$scratch/nowhere" "$scratch/nothing" train
status_is nothing build 'not run'

nightly "$build" "$scratch/usage" sanitiser
((code == 2)) || fail "an unknown stage was taken"
nightly "$build" --minutes none "$scratch/usage" tests
((code == 2)) || fail "no number of minutes was taken"

# On a device the RBM is timed over as many samples as MNIST has, for which its goal is stated (a stand-in of the program
# says what it was asked).
mkdir "$scratch/asked"
cat >"$scratch/asked/espalier" <<'PROGRAM'
#!/bin/sh
echo "$*" >>"$(dirname "$0")/arguments"
echo '{"backend": "cuda"}'
PROGRAM
chmod +x "$scratch/asked/espalier"
(
    unset ESPALIER_MODULE_PATH
    nightly "$scratch/asked" "$scratch/training" train
    ((code == 0)) || fail "the train stage did not pass with a program that does all"
)
for batch in 10 128; do
    grep -q -- "set-rbm-mnist-500 .*--train-samples 60000 .*--batch $batch " "$scratch/asked/arguments" ||
        fail "the RBM by $batch is not of MNIST's 60,000 samples"
done

# The stages themselves, by the module that runs the backend's sources on the CPU; with ESPALIER_WHOLE_SCRIPT=1, as
# scripts/nightly has it, those too that take minutes there.
if [ -f "$build/cuda_on_host/libespalier_cuda.so" ]; then
    stages=(doctor train)
    if [ "${ESPALIER_WHOLE_SCRIPT-}" = 1 ]; then stages+=(tests bench); fi
    export ESPALIER_MODULE_PATH=$build/cuda_on_host ESPALIER_SHAPES=5
    nightly "$build" --minutes 9 "$scratch/host" "${stages[@]}"
    for stage in "${stages[@]}"; do status_is host $stage passed; done
    grep -q '"on_host": true' "$scratch/host/summary.json" || fail "the summary does not say that this was the CPU"
    tar -tzf "$scratch/host/results.tar.gz" >"$scratch/listed"
    for file in doctor-result.json train-result.json train-rbm-10.json; do
        grep -q "$file" "$scratch/listed" || fail "$file is not in the archive"
    done
    if [ "${ESPALIER_WHOLE_SCRIPT-}" = 1 ]; then # kept, and as a page for docs/results
        cp "$scratch/host/results.tar.gz" "$build/gpu-script-host-executed.tar.gz"
        python3 "$here/tests/program/gpu_script_table.py" "$scratch/host" "$build/gpu-script-host-executed.json" \
            >"$build/gpu-script-host-executed.md"
    fi
fi
echo "gpu_nightly_test: passed"
