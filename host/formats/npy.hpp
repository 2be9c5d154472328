// NPY, NumPy's array file: a checked reader, a one-shot writer and an appender whose file reads correctly at any
// moment. Whatever a file's byte order and memory order are, arrays come out little-endian and in C order; half
// precision comes out as float32, texts as UTF-8 (or as the bytes they are). Pickled objects are refused. Format:
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace espalier {

enum class NpyType { b1, u1, u2, u4, u8, i1, i2, i4, i8, f4, f8, text };

/// Bytes of one item; 1 of a text, whose items are of any length.
std::size_t item_size(NpyType type);

struct NpyArray {
    NpyType type = NpyType::u1;
    std::vector<std::uint64_t> shape;  // empty: a scalar
    std::vector<std::uint8_t> data;    // the items, C order, little-endian
    std::vector<std::string> texts;    // the items of NpyType::text instead
    std::string digest;                // SHA-256 of the file, hex

    [[nodiscard]] std::uint64_t count() const {
        return type == NpyType::text ? texts.size() : data.size() / item_size(type);
    }
};

/// Reads a file (raw or gzip, told by content). Nothing is allocated from the header before it is checked.
/// Throws UserError (data) with file, offset, expected and found.
NpyArray read_npy(const std::filesystem::path& path);

class InputFile;
/// The same from an open file, to its end.
NpyArray read_npy(InputFile& file);

/// Calls `use(i, value)` for every item as the C++ type it has (a bool as std::uint8_t). Not for texts.
template <class Use>
void for_items(const NpyArray& array, Use&& use) {
    const auto walk = [&]<class Item>(Item item) {
        for (std::uint64_t i = 0; i < array.count(); ++i) {
            std::memcpy(&item, array.data.data() + i * sizeof item, sizeof item);
            use(i, item);
        }
    };
    switch (array.type) {
        case NpyType::b1:
        case NpyType::u1:
            return walk(std::uint8_t{});
        case NpyType::u2:
            return walk(std::uint16_t{});
        case NpyType::u4:
            return walk(std::uint32_t{});
        case NpyType::u8:
            return walk(std::uint64_t{});
        case NpyType::i1:
            return walk(std::int8_t{});
        case NpyType::i2:
            return walk(std::int16_t{});
        case NpyType::i4:
            return walk(std::int32_t{});
        case NpyType::i8:
            return walk(std::int64_t{});
        case NpyType::f4:
            return walk(float{});
        case NpyType::f8:
            return walk(double{});
        case NpyType::text:
            throw std::logic_error("an array of numbers");
    }
}

/// What stands before the items of an array of NumPy's type `descr` ("<f4"): magic, version, shape; a multiple of 64.
std::string npy_header(const std::string& descr, const std::vector<std::uint64_t>& shape);

/// Writes (or overwrites) a whole array. Throws UserError (io) with path and cause.
void write_npy(const std::filesystem::path& path, NpyType type, const std::vector<std::uint64_t>& shape,
               const void* items);

/// A growing array [rows][row_shape...]: every append writes the row, then the count in the fixed-width header.
class NpyAppender {
public:
    /// Creates (or overwrites) the file with 0 rows, or opens the file such an appender made, cut back to its first
    /// `bytes` bytes. Throws UserError (io) with path and cause, also if those cannot be the end of a row.
    NpyAppender(std::filesystem::path path, NpyType type, const std::vector<std::uint64_t>& row_shape,
                std::optional<std::uint64_t> bytes = {});
    NpyAppender(NpyAppender&& other) noexcept;
    NpyAppender& operator=(NpyAppender&& other) noexcept;
    ~NpyAppender();

    /// Appends one row of row_bytes() bytes. Throws UserError (io); the file then still reads as before the call.
    void append(const void* row);

    /// Waits until the contents are on the disk.
    void sync();

    [[nodiscard]] std::uint64_t rows() const { return rows_; }
    /// Size of the file.
    [[nodiscard]] std::uint64_t bytes() const { return header_bytes_ + rows_ * row_bytes_; }
    [[nodiscard]] std::size_t row_bytes() const { return row_bytes_; }
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    /// Writes the header with the present number of rows; returns 0 or the errno.
    int write_header();

    std::filesystem::path path_;
    NpyType type_;
    std::vector<std::uint64_t> shape_;  // rows, then the row's shape
    std::size_t row_bytes_ = 0;
    std::size_t header_bytes_ = 0;
    std::uint64_t rows_ = 0;
    int file_ = -1;
};

}  // namespace espalier
