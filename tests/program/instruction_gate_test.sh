#!/bin/sh
# The gate itself: equal work passes, a kernel that does a tenth more trips it.
# Usage: instruction_gate_test.sh GATE PROGRAM. Exits 77 (skipped, aloud) where there is no valgrind.
set -eu
gate=$1
program=$2
command -v valgrind >/dev/null || { echo "SKIPPED: no valgrind on this machine"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
case="fused backward 512x128"
run() { "$gate" "$program" --baseline "$folder/baseline.json" --case "$case" "$@"; }
run --calls 10 --update
run --calls 10 || { echo "FAILED: the same work did not pass"; exit 1; }
if run --calls 11; then
    echo "FAILED: a tenth more work passed"
    exit 1
fi
echo "a tenth more work was caught"
