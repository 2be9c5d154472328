#include "host/run/count_file.hpp"

#include <cstring>
#include <fstream>
#include <limits>
#include <string>

#include "espalier/error.hpp"

namespace espalier {
namespace {

NpyType signed_type(std::uint64_t largest) {
    if (largest <= std::uint64_t{std::numeric_limits<std::int16_t>::max()}) return NpyType::i2;
    return largest <= std::uint64_t{std::numeric_limits<std::int32_t>::max()} ? NpyType::i4 : NpyType::i8;
}

/// The type to go on with in a file that is there. Where only the sign differs, the counts so far read the same.
NpyType type_of_file(const std::filesystem::path& path, std::uint64_t largest) {
    std::string start(128, '\0');
    std::ifstream(path, std::ios::binary).read(start.data(), static_cast<std::streamsize>(start.size()));
    const NpyType wanted = signed_type(largest);
    for (const auto& [text, type] : {std::pair{"'<u2'", NpyType::u2}, std::pair{"'<u4'", NpyType::u4}}) {
        if (start.find(text) != std::string::npos && item_size(type) != item_size(wanted)) return type;
    }
    return wanted;
}

}  // namespace

CountFile::CountFile(const std::filesystem::path& path, const std::vector<std::uint64_t>& row_shape,
                     std::uint64_t largest, std::optional<std::uint64_t> bytes)
    : type_(bytes.has_value() ? type_of_file(path, largest) : signed_type(largest)),
      file_(path, type_, row_shape, bytes) {}

void CountFile::append(std::initializer_list<std::span<const std::uint32_t>> parts) {
    switch (item_size(type_)) {
        case 2:
            return append_as<std::uint16_t>(parts);  // counts that fit: a sign changes no bit
        case 4:
            return append_as<std::uint32_t>(parts);
        default:
            return append_as<std::uint64_t>(parts);
    }
}

template <class Item>
void CountFile::append_as(std::initializer_list<std::span<const std::uint32_t>> parts) {
    std::vector<Item> row;
    row.reserve(file_.row_bytes() / sizeof(Item));
    for (const auto part : parts) {
        for (const std::uint32_t count : part) row.push_back(static_cast<Item>(count));
    }
    expects(row.size() * sizeof(Item) == file_.row_bytes(), "a count for every place of a row");
    file_.append(row.data());
}

bool holds_counts(NpyType type) {
    switch (type) {
        case NpyType::u2:
        case NpyType::u4:
        case NpyType::i2:
        case NpyType::i4:
        case NpyType::i8:
            return true;
        default:
            return false;
    }
}

std::uint64_t count_at(const NpyArray& counts, std::size_t place) {
    std::uint64_t value = 0;
    const std::size_t size = item_size(counts.type);
    std::memcpy(&value, counts.data.data() + place * size, size);
    return value;
}

}  // namespace espalier
