// Sorting numbers by their digits, lowest first.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <utility>

#include "espalier/index.hpp"

namespace espalier {

/// Sorts `count` keys, none above `largest`; `spare` has room for as many. Returns whichever of the two arrays then
/// holds them.
template <class Key>
Key* radix_sort(Key* keys, EdgeIndex count, std::uint64_t largest, Key* spare) {
    constexpr int max_bits = 10;  // of a digit: the places that it writes to stay in the cache
    const int width = static_cast<int>(std::bit_width(largest));
    const int digits = (width + max_bits - 1) / max_bits;
    for (int digit = 0; digit < digits; ++digit) {
        const int shift = width * digit / digits;
        const int bits = width * (digit + 1) / digits - shift;
        const Key mask = (Key{1} << bits) - 1;
        std::array<EdgeIndex, std::size_t{1} << max_bits> place{};
        for (EdgeIndex i = 0; i < count; ++i) ++place[(keys[i] >> shift) & mask];
        EdgeIndex sum = 0;
        for (EdgeIndex& each : place) sum += std::exchange(each, sum);
        for (EdgeIndex i = 0; i < count; ++i) spare[place[(keys[i] >> shift) & mask]++] = keys[i];
        std::swap(keys, spare);
    }
    return keys;
}

}  // namespace espalier
