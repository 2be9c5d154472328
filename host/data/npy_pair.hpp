// Samples and labels as a pair of NPY files. Samples: [n][features], [n][height][width], [n][height][width][channels]
// or [n][channels][height][width] (channels at most 4), unsigned bytes or numbers; labels: [n] whole numbers from 0.
#pragma once

#include <filesystem>
#include <string>

#include "espalier/dataset.hpp"

namespace espalier {

struct NpySamples {
    Split split;
    Index height = 1, width = 0, channels = 1;
    std::string digest;  // SHA-256 over both files, hex
};

/// Images become planar (channel by channel). Throws UserError (data) with file, place, expected and found.
NpySamples read_npy_pair(const std::filesystem::path& samples, const std::filesystem::path& labels);

}  // namespace espalier
