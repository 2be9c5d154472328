// Numbers as text and back, whatever the locale.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace espalier {

/// Shortest text that reads back as the same number; a bool is 0 or 1.
template <class Number>
std::string number_text(Number value) {
    std::array<char, 40> buffer{};
    char* const end = buffer.data() + buffer.size();
    if constexpr (std::is_same_v<Number, bool>) {
        return value ? "1" : "0";
    } else {
        return {buffer.data(), std::to_chars(buffer.data(), end, value).ptr};
    }
}

/// The number that the whole of `text` spells (a bool: 0, 1, false or true); none where it spells no number or one that
/// a Number cannot hold.
template <class Number>
std::optional<Number> number_from(std::string_view text) {
    if constexpr (std::is_same_v<Number, bool>) {
        if (text == "0" || text == "false") return false;
        if (text == "1" || text == "true") return true;
        return std::nullopt;
    } else {
        Number value{};
        const char* const text_end = text.data() + text.size();
        const auto [end, fault] = std::from_chars(text.data(), text_end, value);
        if (fault != std::errc{} || end != text_end) return std::nullopt;
        return value;
    }
}

/// "512 bytes", "1.50 GiB": the largest unit of which there is one, with so many decimals.
inline std::string bytes_text(std::uint64_t bytes, int decimals) {
    const char* const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    auto value = static_cast<double>(bytes);
    int unit = 0;
    for (; value >= 1024 && unit < 4; ++unit) value /= 1024;
    char text[32];
    std::snprintf(text, sizeof text, "%.*f %s", unit == 0 ? 0 : decimals, value, units[unit]);
    return text;
}

}  // namespace espalier
