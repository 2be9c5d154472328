// Samples and labels as arrays (NPY, NPZ, IDX). Samples: [n][features], [n][height][width],
// [n][height][width][channels] or [n][channels][height][width] (channels at most 4), unsigned bytes or any numbers.
// Labels: [n] or [n][1] whole numbers of any type or texts, or [n][classes] one-hot.
#pragma once

#include <string>

#include "espalier/index.hpp"
#include "host/data/labels.hpp"
#include "host/formats/npy.hpp"

namespace espalier {

struct ArraySamples {
    std::vector<std::uint8_t> bytes;  // exactly one of bytes and floats
    std::vector<float> floats;
    std::uint64_t count = 0;
    Index height = 1, width = 0, channels = 1;
    bool table = false;  // [n][features]: columns, not pixels

    /// "28 x 28 x 1 bytes".
    [[nodiscard]] std::string shape_text() const;
};

/// Images become planar (channel by channel). `where` is the file (and member) in refusals.
/// Throws UserError (data) with file, place, expected and found.
ArraySamples samples_of(NpyArray array, const std::string& where);

/// Throws UserError (data) with file, index, expected and found; `samples`: how many labels there must be.
LabelTable labels_of(const NpyArray& array, std::uint64_t samples, const std::string& where);

}  // namespace espalier
