// CSV of numbers: one sample a line, its label in one column, commas between. A first line that is not numeric is a
// header and skipped. Values must be finite, labels whole numbers from 0.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

#include "espalier/dataset.hpp"

namespace espalier {

/// Which column holds the label: a number from 1, or nothing for the last.
using LabelColumn = std::optional<std::size_t>;

struct CsvTable {
    Split split;  // floats and labels
    Index features = 0;
    std::string digest;  // SHA-256 of the decompressed file, hex
};

/// Reads a file (raw or gzip, told by content). Throws UserError (data) with file, line and column.
CsvTable read_csv(const std::filesystem::path& path, LabelColumn label);

}  // namespace espalier
