// What pruning does with all weights of a layer at once, many at a time with the widest instructions at hand.
#pragma once

#include <cstdint>

#include "espalier/common/evolution_steps.hpp"
#include "espalier/index.hpp"

namespace espalier {

/// Elements behind the last result that the functions below may overwrite.
constexpr EdgeIndex select_padding = 16;

/// How many of `count` weights have keys low .. high.
EdgeIndex count_keys_between(const float* weights, EdgeIndex count, std::uint32_t mask, std::uint32_t low,
                             std::uint32_t high);

/// Writes their keys, in the order of the weights, and returns how many.
EdgeIndex keys_between(const float* weights, EdgeIndex count, std::uint32_t mask, std::uint32_t low, std::uint32_t high,
                       std::uint32_t* keys);

/// Writes the slots begin .. end that go, ascending, and returns how many. Nothing is written from slots + end - begin
/// on.
EdgeIndex slots_cut(const detail::IsCut& cut, EdgeIndex begin, EdgeIndex end, EdgeIndex* slots);

/// Sets the bit of each of `count` weights, in whatever order, whose key alone says that it goes, and the weight to 0. What
/// a threshold's slots decide is left.
void clear_cut(const detail::IsCut& cut, float* weights, EdgeIndex count, std::uint64_t* bits);

}  // namespace espalier
