// IDX, the format of the MNIST family: 00 00 TYPE RANK, RANK big-endian 32-bit extents, then the items.
// Only unsigned bytes (type 08) occur in data sets and are read.
// Format: http://yann.lecun.com/exdb/mnist/ (section "The IDX file format").
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace espalier {

struct IdxArray {
    std::vector<std::uint32_t> shape;
    std::vector<std::uint8_t> items;
    std::string digest;  // SHA-256 of the decompressed file, hex
};

/// Reads a file (raw or gzip, told by content) of `rank` dimensions; `remedy` ends every refusal.
/// Throws UserError (data) with file, offset, expected and found.
IdxArray read_idx(const std::filesystem::path& path, int rank, const std::string& remedy = "");

}  // namespace espalier
