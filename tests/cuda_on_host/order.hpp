// The orders in which blocks and threads may run: as numbered, backwards, or shuffled by a seed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "block.hpp"

namespace cuda_on_host {

/// A small generator for orders: splitmix64.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {}
    std::size_t below(std::size_t bound) {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15U;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
        return static_cast<std::size_t>((z ^ (z >> 31)) % bound);
    }

private:
    std::uint64_t state_;
};

/// 0 .. count - 1 in that order.
template <class Number>
std::vector<Number> ordered(Number count, Order order, Random& random) {
    std::vector<Number> result(count);
    std::iota(result.begin(), result.end(), Number{0});
    if (order == Order::reverse) std::reverse(result.begin(), result.end());
    if (order == Order::shuffled) {
        for (std::size_t i = result.size(); i > 1; --i) std::swap(result[i - 1], result[random.below(i)]);
    }
    return result;
}

}  // namespace cuda_on_host
