// Arrays of counts in a run folder: NPY files of signed numbers, so that the difference of two is what it says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include "host/formats/npy.hpp"

namespace espalier {

/// A growing array [rows][row_shape...], int16 where every count up to `largest` fits, else int32 or int64.
class CountFile {
public:
    /// Creates (or overwrites) the file, or goes on with the first `bytes` bytes of one; one that an earlier version
    /// began unsigned, in another width, stays as it is. Throws UserError (io).
    CountFile(const std::filesystem::path& path, const std::vector<std::uint64_t>& row_shape, std::uint64_t largest,
              std::optional<std::uint64_t> bytes = {});

    /// Appends one row, given in parts.
    void append(std::initializer_list<std::span<const std::uint32_t>> parts);

    [[nodiscard]] NpyAppender& file() { return file_; }

private:
    template <class Item>
    void append_as(std::initializer_list<std::span<const std::uint32_t>> parts);

    NpyType type_;
    NpyAppender file_;
};

/// True for the types a file of counts has, today's and those of earlier versions.
bool holds_counts(NpyType type);

/// Item `place` of such an array.
std::uint64_t count_at(const NpyArray& counts, std::size_t place);

}  // namespace espalier
