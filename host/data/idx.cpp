#include "host/data/idx.hpp"

#include <limits>

#include "host/formats/input_file.hpp"

namespace espalier {
namespace {

constexpr std::uint8_t unsigned_byte = 0x08;
constexpr std::uint64_t magic_bytes = 4;

void check_magic(InputFile& file, int rank) {
    std::uint8_t magic[magic_bytes] = {};
    const std::size_t got = file.read_some(magic, sizeof magic);
    const std::string expected =
        "an IDX file of " + std::to_string(rank) + " dimensions (bytes 00 00 08 0" + std::to_string(rank) + ")";
    if (got < sizeof magic || magic[0] != 0 || magic[1] != 0) file.refuse(0, expected, file.looks_like());
    if (magic[2] != unsigned_byte) {
        file.refuse(2, "item type 8 (unsigned bytes)", "type " + std::to_string(magic[2]));
    }
    if (magic[3] != rank) {
        file.refuse(3, std::to_string(rank) + " dimensions", std::to_string(magic[3]) + " dimensions");
    }
}

std::uint32_t read_extent(InputFile& file) {
    std::uint8_t bytes[4] = {};
    file.read(bytes, sizeof bytes, "IDX extents");
    return (std::uint32_t{bytes[0]} << 24) | (std::uint32_t{bytes[1]} << 16) | (std::uint32_t{bytes[2]} << 8) |
           bytes[3];
}

}  // namespace

IdxArray read_idx(const std::filesystem::path& path, int rank, const std::string& remedy) {
    InputFile file(path, remedy);
    check_magic(file, rank);
    IdxArray array;
    std::uint64_t items = 1;
    for (int dimension = 0; dimension < rank; ++dimension) {
        const std::uint64_t start = file.offset();
        const std::uint32_t extent = read_extent(file);
        if (extent == 0) file.refuse(start, "a positive extent", "0");
        if (items > std::numeric_limits<std::uint64_t>::max() / extent) {
            file.refuse(start, "extents whose product fits 64 bits", std::to_string(extent));
        }
        items *= extent;
        array.shape.push_back(extent);
    }
    array.items = file.read_bytes(items, "items");
    file.expect_end();
    array.digest = file.digest();
    return array;
}

}  // namespace espalier
