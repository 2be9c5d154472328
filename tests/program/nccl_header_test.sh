#!/usr/bin/env bash
# What cuda/nccl/nccl_calls.hpp declares of NCCL is what NCCL's own header does: functions are declared anew after it, numbers
# compared. Skipped (77) where no nccl.h is installed.
# usage: tests/program/nccl_header_test.sh CXX CUDA_INCLUDE_FOLDER
set -euo pipefail
compiler=$1
include=$2
ours=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/cuda/nccl/nccl_calls.hpp
check() { "$compiler" -std=c++20 -fsyntax-only -isystem "$include" -x c++ -; }
if ! echo '#include <nccl.h>' | check 2>/dev/null; then
    echo "SKIPPED: there is no nccl.h in $include or where the compiler looks"
    exit 77
fi
numbers=$(sed -n 's/^ *\(nccl[A-Za-z0-9]* = [0-9]*\),\{0,1\}.*/\1/p; s/.*{ \(nccl[A-Za-z0-9]* = [0-9]*\) };/\1/p' "$ours")
functions=$(sed -n '/^ncclResult_t ncclGetVersion/,/^}  \/\/ extern/p' "$ours")
[ "$(wc -l <<<"$numbers")" -ge 9 ] && [ "$(grep -c '(' <<<"$functions")" -ge 13 ] || { echo "too little was found in $ours" >&2; exit 1; }
source() {
    printf '#include <cstddef>\n#include <nccl.h>\nstatic_assert(sizeof(ncclUniqueId) == 128);\nextern "C" {\n%s\n' "$functions"
    sed 's/\(.*\) = \(.*\)/static_assert(\1 == \2);/' <<<"$numbers"
}
source | check
# and a difference would be seen
if source | sed 's/int nranks, ncclUniqueId id/long nranks, ncclUniqueId id/' | check 2>/dev/null; then
    echo "another declaration is taken for the same" >&2
    exit 1
fi
