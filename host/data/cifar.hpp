// The binary version of CIFAR-10: records of one label byte and 3072 pixel bytes, the red, green and blue planes of a
// 32x32 image in turn, row by row.
// Format: https://www.cs.toronto.edu/~kriz/cifar.html (section "Binary version").
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "espalier/dataset.hpp"

namespace espalier {

/// Appends the records of one file (raw or gzip) to `split`; returns the SHA-256 of the decompressed file.
/// Throws UserError (data) with file, offset, expected and found.
std::string append_cifar(const std::filesystem::path& path, Split& split, const std::string& remedy = "");

class InputFile;
/// The same from an open file.
std::string append_cifar(InputFile& file, Split& split);

}  // namespace espalier
