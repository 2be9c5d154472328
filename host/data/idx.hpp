// IDX, the format of the MNIST family: 00 00 TYPE RANK, RANK big-endian 32-bit extents, then the items, big-endian too.
// Types: 08 unsigned bytes, 09 signed bytes, 0B int16, 0C int32, 0D float32, 0E float64.
// Format: http://yann.lecun.com/exdb/mnist/ (section "The IDX file format").
#pragma once

#include <filesystem>
#include <string>

#include "host/formats/npy.hpp"

namespace espalier {

class InputFile;

/// Reads a file (raw or gzip, told by content) of `rank` dimensions, 0: of any; `remedy` ends every refusal.
/// Throws UserError (data) with file, offset, expected and found.
NpyArray read_idx(const std::filesystem::path& path, int rank, const std::string& remedy = "");
/// The same from an open file.
NpyArray read_idx(InputFile& file, int rank);

}  // namespace espalier
