#include "host/formats/tar.hpp"

#include <algorithm>
#include <optional>
#include <string_view>

#include "host/formats/input_file.hpp"

namespace espalier {
namespace {

constexpr std::size_t tar_block = 512;

/// An octal field; nothing if it is none.
std::optional<std::uint64_t> octal(const char* field, std::size_t length) {
    std::uint64_t value = 0;
    bool digits = false;
    for (std::size_t i = 0; i < length && field[i] != '\0'; ++i) {
        if (field[i] == ' ' && !digits) continue;
        if (field[i] == ' ') break;
        if (field[i] < '0' || field[i] > '7') return std::nullopt;
        value = value << 3 | static_cast<std::uint64_t>(field[i] - '0');
        digits = true;
    }
    return digits ? std::optional(value) : std::nullopt;
}

std::string text_field(const char* field, std::size_t length) {
    const std::string_view whole(field, length);
    return std::string(whole.substr(0, whole.find('\0')));
}

/// The sum of a header's bytes, its own field counting as blanks.
std::uint64_t header_sum(const char (&header)[tar_block]) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < tar_block; ++i) {
        sum += i >= 148 && i < 156 ? std::uint64_t{' '} : static_cast<std::uint8_t>(header[i]);
    }
    return sum;
}

}  // namespace

TarMembers read_tar(const std::filesystem::path& path, const std::vector<std::string>& wanted,
                    const std::string& remedy) {
    InputFile file(path, remedy);
    TarMembers members;
    std::vector<char> skipped(std::size_t{1} << 16);
    for (;;) {
        const std::uint64_t place = file.offset();
        char header[tar_block] = {};
        file.read(header, sizeof header, "a TAR header");
        if (std::all_of(std::begin(header), std::end(header), [](char each) { return each == '\0'; })) break;
        const auto size = octal(header + 124, 12);
        const auto sum = octal(header + 148, 8);
        if (!sum || *sum != header_sum(header)) {
            file.refuse(place, "a TAR header with its checksum", place == 0 ? file.looks_like() : "something else");
        }
        if (!size) file.refuse(place + 124, "a member's size", "'" + text_field(header + 124, 12) + "'");
        const std::string prefix = text_field(header + 345, 155);
        const std::string name = (prefix.empty() ? "" : prefix + "/") + text_field(header, 100);
        const bool is_file = header[156] == '0' || header[156] == '\0';
        if (is_file && std::find(wanted.begin(), wanted.end(), name) != wanted.end()) {
            members[name] = file.read_bytes(*size, name);
        } else {
            for (std::uint64_t left = *size; left > 0;) {
                const std::size_t part = std::min<std::uint64_t>(left, skipped.size());
                file.read(skipped.data(), part, "a member");
                left -= part;
            }
        }
        const std::size_t padding = (tar_block - *size % tar_block) % tar_block;
        file.read(skipped.data(), padding, "padding");
    }
    while (file.read_some(skipped.data(), skipped.size()) > 0) {
    }
    file.expect_end();  // its checksum, if it is gzipped
    return members;
}

}  // namespace espalier
