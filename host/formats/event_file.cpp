#include "host/formats/event_file.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>

namespace espalier {
namespace {

// Fields of the messages, by name.
namespace event_field {
constexpr int wall_time = 1, step = 2, file_version = 3, summary = 5;
}
namespace value_field {
constexpr int tag = 1, simple_value = 2, image = 4, histo = 5;
}

constexpr std::array<std::uint32_t, 256> crc_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t crc = i;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0x82f63b78U : 0U);
        table[i] = crc;
    }
    return table;
}

/// A checksum of bytes that themselves hold checksums would be weak, so what is stored is turned and shifted.
std::uint32_t masked(std::uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8U; }

template <class Number>
std::string bytes_of(Number value) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
}

std::string varint(std::uint64_t value) {
    std::string bytes;
    for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
    return bytes + static_cast<char>(value);
}

enum class Wire { varint = 0, eight_bytes = 1, text = 2, four_bytes = 5 };
std::string key(int field, Wire wire) { return varint(static_cast<std::uint64_t>(field) << 3 | static_cast<unsigned>(wire)); }
std::string integer(int field, std::uint64_t value) { return key(field, Wire::varint) + varint(value); }
std::string real(int field, double value) { return key(field, Wire::eight_bytes) + bytes_of(value); }
std::string single(int field, float value) { return key(field, Wire::four_bytes) + bytes_of(value); }
std::string text(int field, std::string_view value) {
    return key(field, Wire::text) + varint(value.size()) + std::string(value);
}
std::string reals(int field, const std::vector<double>& values) {
    std::string packed;
    for (const double each : values) packed += bytes_of(each);
    return text(field, packed);
}

double now() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::uint64_t read_varint(std::string_view bytes, std::size_t& at) {
    std::uint64_t value = 0;
    for (unsigned shift = 0; at < bytes.size() && shift < 64; shift += 7) {
        const auto byte = static_cast<std::uint8_t>(bytes[at++]);
        value |= std::uint64_t{byte & 0x7fU} << shift;
        if (byte < 0x80) break;
    }
    return value;
}

/// The step of an event; 0 if it says none. Events of ours begin with wall_time and step.
std::uint64_t step_of(std::string_view event) {
    constexpr std::size_t after_time = 9;
    if (event.size() <= after_time || event[after_time] != static_cast<char>(event_field::step << 3)) return 0;
    std::size_t at = after_time + 1;
    return read_varint(event, at);
}

/// Bytes of the whole events at a file's start whose steps do not go beyond `last_step`.
std::uint64_t bytes_up_to(const std::filesystem::path& path, std::uint64_t last_step) {
    std::ifstream stream(path, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(stream)), {});
    constexpr std::size_t around = 16;
    std::size_t kept = 0;
    while (bytes.size() - kept >= around) {
        std::uint64_t length = 0;
        std::memcpy(&length, bytes.data() + kept, sizeof length);
        if (length > bytes.size() - kept - around) break;
        const std::string_view event(bytes.data() + kept + 12, length);
        std::uint32_t crc = 0;
        std::memcpy(&crc, event.data() + length, sizeof crc);
        if (crc != masked(crc32c(event)) || step_of(event) > last_step) break;
        kept += around + length;
    }
    return kept;
}

OutputFile opened(const std::filesystem::path& path, std::optional<std::uint64_t> last_step) {
    if (!last_step.has_value() || !std::filesystem::exists(path)) return OutputFile(path);
    return OutputFile::reopened(path, bytes_up_to(path, *last_step));
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
    static constexpr auto table = crc_table();
    std::uint32_t crc = 0xffffffffU;
    for (const char each : bytes) crc = table[(crc ^ static_cast<std::uint8_t>(each)) & 0xffU] ^ (crc >> 8);
    return ~crc;
}

EventFile::EventFile(const std::filesystem::path& path, std::optional<std::uint64_t> last_step)
    : file_(opened(path, last_step)) {
    if (file_.size() == 0) write(real(event_field::wall_time, now()) + text(event_field::file_version, "brain.Event:2"));
}

void EventFile::write(std::string_view event) {
    const std::string length = bytes_of(std::uint64_t{event.size()});
    file_.append(length + bytes_of(masked(crc32c(length))) + std::string(event) + bytes_of(masked(crc32c(event))));
}

void EventFile::scalar(const std::string& tag, double value) {
    summary_ += text(1, text(value_field::tag, tag) + single(value_field::simple_value, static_cast<float>(value)));
}

void EventFile::histogram(const std::string& tag, const std::vector<float>& values) {
    if (values.empty()) return;
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    const auto least = static_cast<double>(*low), largest = static_cast<double>(*high);
    constexpr std::size_t most = 64;
    const std::size_t count = largest > least ? most : 1;
    std::vector<double> limits(count), counts(count);
    const double length = (largest - least) / static_cast<double>(count);
    for (std::size_t i = 0; i < count; ++i) limits[i] = least + length * static_cast<double>(i + 1);
    limits.back() = largest;
    double sum = 0, squares = 0;
    for (const float each : values) {
        const auto value = static_cast<double>(each);
        const double place = length > 0 ? (value - least) / length : 0;
        counts[std::min(count - 1, static_cast<std::size_t>(place))] += 1;
        sum += value;
        squares += value * value;
    }
    const std::string histo = real(1, least) + real(2, largest) + real(3, static_cast<double>(values.size())) +
                              real(4, sum) + real(5, squares) + reals(6, limits) + reals(7, counts);
    summary_ += text(1, text(value_field::tag, tag) + text(value_field::histo, histo));
}

void EventFile::png(const std::string& tag, std::string_view bytes) {
    // Width and height stand in the first chunk, most significant byte first.
    const auto extent = [&](std::size_t at) {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<std::uint8_t>(bytes.at(at + i));
        return value;
    };
    constexpr std::uint64_t rgb = 3;
    const std::string image = integer(1, extent(20)) + integer(2, extent(16)) + integer(3, rgb) + text(4, bytes);
    summary_ += text(1, text(value_field::tag, tag) + text(value_field::image, image));
}

void EventFile::put(std::uint64_t step) {
    write(real(event_field::wall_time, now()) + integer(event_field::step, step) + text(event_field::summary, summary_));
    summary_.clear();
}

}  // namespace espalier
