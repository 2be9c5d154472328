#!/usr/bin/env bash
# Selecting numbers by Highway's CompressStore with AVX2 costs a copy of 1,024 bytes for every eight of them: GCC 12 puts
# the function's table of 256 words, a local constexpr array, on the stack at every call (`rep movsq` of 128 quadwords;
# at -O2 and -O3). clang keeps it in read-only memory. Scans that should be bound by memory then take 2.5 ns a number:
# a magnitude cut of a million weights spent three quarters of its time on the copy. A table of static storage with
# TableLookupLanes does the same without.
# Seen with libhwy-dev 1.0.3-3+deb12u1 of Debian 12 and g++ 12.2.0. Needs Debian 12's package lists, g++ 12 and objdump.
# Ends with 0 while it is so.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
chmod 755 "$scratch"
(cd "$scratch" && apt-get download libhwy-dev=1.0.3-3+deb12u1 >log 2>&1) || { cat "$scratch/log"; exit 1; }
dpkg-deb -x "$scratch"/libhwy-dev_*.deb "$scratch/highway"
cat >"$scratch/select.cpp" <<'CPP'
#include <cstddef>
#include <cstdint>
#include <hwy/highway.h>
namespace hn = hwy::HWY_NAMESPACE;
std::size_t above(const std::uint32_t* from, std::size_t count, std::uint32_t least, std::uint32_t* to) {
    const hn::CappedTag<std::uint32_t, 8> d;
    std::size_t found = 0;
    for (std::size_t i = 0; i + 8 <= count; i += 8) {
        const auto v = hn::LoadU(d, from + i);
        found += hn::CompressStore(v, hn::Gt(v, hn::Set(d, least)), d, to + found);
    }
    return found;
}
CPP
compiler=g++
command -v g++-12 >/dev/null && compiler=g++-12
$compiler --version | head -1
for level in -O2 -O3; do
    $compiler -std=c++17 $level -mavx2 -mbmi -mbmi2 -mfma -mf16c -maes -mpclmul -isystem "$scratch/highway/usr/include" \
        -c -o "$scratch/select.o" "$scratch/select.cpp"
    objdump -d --no-show-raw-insn "$scratch/select.o" >"$scratch/code"
    grep -q 'rep movs' "$scratch/code" || { echo "$level: no copy now"; exit 1; }
    echo "$level: $(grep -o 'mov *\$0x80,%ecx' "$scratch/code" | head -1), then $(grep -o 'rep movsq.*' "$scratch/code" | head -1), within the loop"
done
