// The built-in data set: 28x28 images of ten classes with an active centre (rows and columns 6 to 21) and a margin that
// is 0 everywhere, for tests and demonstrations without files. Integers only, so every machine draws the same pixels;
// sample i is a pure function of (i, split) and labels take turns.
#pragma once

#include <cstdint>
#include <string>

#include "espalier/dataset.hpp"

namespace espalier {

inline constexpr Index synthetic_side = 28;
inline constexpr Index synthetic_margin = 6;
inline constexpr Index synthetic_classes = 10;
inline constexpr std::uint32_t synthetic_train_samples = 6000;
inline constexpr std::uint32_t synthetic_test_samples = 1000;

/// Any number of samples of the training or test split.
Split synthetic_split(bool test, std::uint32_t samples);

/// SHA-256 of the generator's parameters, hex.
std::string synthetic_digest();

}  // namespace espalier
