#include "host/data/idx.hpp"

#include <algorithm>
#include <limits>

#include "host/formats/input_file.hpp"
#include "host/formats/npy_items.hpp"

namespace espalier {
namespace {

struct IdxType {
    std::uint8_t code;
    NpyType type;
};
constexpr IdxType idx_types[] = {{0x08, NpyType::u1}, {0x09, NpyType::i1}, {0x0b, NpyType::i2},
                                 {0x0c, NpyType::i4}, {0x0d, NpyType::f4}, {0x0e, NpyType::f8}};

/// Reads the first four bytes; returns the rank.
int read_magic(InputFile& file, int rank, NpyType& type) {
    std::uint8_t magic[4] = {};
    const std::size_t got = file.read_some(magic, sizeof magic);
    const std::string expected =
        rank == 0
            ? std::string("an IDX file (bytes 00 00 TYPE RANK)")
            : "an IDX file of " + std::to_string(rank) + " dimensions (bytes 00 00 08 0" + std::to_string(rank) + ")";
    if (got < sizeof magic || magic[0] != 0 || magic[1] != 0) file.refuse(0, expected, file.looks_like());
    const auto* found =
        std::find_if(std::begin(idx_types), std::end(idx_types), [&](const IdxType& e) { return e.code == magic[2]; });
    if (found == std::end(idx_types)) {
        file.refuse(2, "an item type (8, 9, 11, 12, 13 or 14)", "type " + std::to_string(magic[2]));
    }
    if (magic[3] == 0 || (rank != 0 && magic[3] != rank)) {
        file.refuse(3, rank == 0 ? "a number of dimensions" : std::to_string(rank) + " dimensions",
                    std::to_string(magic[3]) + " dimensions");
    }
    type = found->type;
    return magic[3];
}

std::uint32_t read_extent(InputFile& file) {
    std::uint8_t bytes[4] = {};
    file.read(bytes, sizeof bytes, "IDX extents");
    return (std::uint32_t{bytes[0]} << 24) | (std::uint32_t{bytes[1]} << 16) | (std::uint32_t{bytes[2]} << 8) |
           bytes[3];
}

}  // namespace

NpyArray read_idx(InputFile& file, int rank) {
    NpyArray array;
    rank = read_magic(file, rank, array.type);
    std::uint64_t bytes = item_size(array.type);
    for (int dimension = 0; dimension < rank; ++dimension) {
        const std::uint64_t start = file.offset();
        const std::uint32_t extent = read_extent(file);
        if (extent == 0) file.refuse(start, "a positive extent", "0");
        if (bytes > std::numeric_limits<std::uint64_t>::max() / extent) {
            file.refuse(start, "extents whose product fits 64 bits", std::to_string(extent));
        }
        bytes *= extent;
        array.shape.push_back(extent);
    }
    array.data = file.read_bytes(bytes, "items");
    file.expect_end();
    array.digest = file.digest();
    if (item_size(array.type) > 1) swap_bytes(array.data, item_size(array.type));
    return array;
}

NpyArray read_idx(const std::filesystem::path& path, int rank, const std::string& remedy) {
    InputFile file(path, remedy);
    return read_idx(file, rank);
}

}  // namespace espalier
