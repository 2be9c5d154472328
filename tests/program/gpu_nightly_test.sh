#!/usr/bin/env bash
# Checks scripts/gpu_nightly on a machine without a GPU: nothing that needs one may come out as passed.
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
fail() { echo "gpu_nightly_test: $1" >&2; cat "$scratch"/*/*.json >&2 || true; exit 1; }
nightly() { # BUILD OUT STAGE...: its exit status in $code
    code=0
    ESPALIER_NIGHTLY_BUILD=$1 "$here/scripts/gpu_nightly" "${@:2}" >"$scratch/stdout" 2>"$scratch/stderr" || code=$?
}
status_is() { grep -q "\"stage\": \"$2\", \"status\": \"$3\"" "$scratch/$1/summary.json" || fail "$2 is not '$3'"; }

nightly "$build" "$scratch/stages" tests sanitizer train bench probe
((code != 0)) || fail "stages that need a GPU passed without one"
for stage in tests sanitizer train bench probe; do
    grep -q "\"stage\": \"$stage\", \"status\": \"\(failed\|not run\)\"" "$scratch/stages/summary.json" ||
        fail "$stage is neither failed nor not run"
    [ -f "$scratch/stages/$stage.log" ] || fail "$stage left no log"
done
for stage in configure build; do status_is stages $stage 'not run'; done
grep -q '"all_passed": false' "$scratch/stages/summary.json" || fail "all_passed"
if command -v python3 >/dev/null; then
    python3 -c 'import json, sys; assert len(json.load(open(sys.argv[1]))["stages"]) == 7' \
        "$scratch/stages/summary.json" || fail "summary.json is not JSON of seven stages"
fi

# A configured folder is good if and only if the module would be built in it, as it would be in this one.
nightly "$scratch/fresh" "$scratch/configured" configure
if grep -q '^build espalier_cuda:' "$build/build.ninja"; then expected=passed; else expected=failed; fi
status_is configured configure $expected

# Nothing was built there: nothing can run.
nightly "$scratch/nowhere" "$scratch/nothing" build tests train
((code != 0)) || fail "an empty build folder passed"
for stage in build tests train; do status_is nothing $stage 'not run'; done

# What a stage of an earlier call found stands in the next summary; on another commit it does not.
sed 's/"status": "[a-z ]*"/"status": "passed"/' "$scratch/nothing/build.json" >"$scratch/build.json"
mv "$scratch/build.json" "$scratch/nothing/build.json"
nightly "$scratch/nowhere" "$scratch/nothing" train
status_is nothing build passed
sed -i 's/"commit": "[^"]*"/"commit": "another"/' "$scratch/nothing/build.json"
nightly "$scratch/nowhere" "$scratch/nothing" train
status_is nothing build 'not run'

nightly "$build" "$scratch/usage" sanitiser
((code == 2)) || fail "an unknown stage was taken"
echo "gpu_nightly_test: passed"
