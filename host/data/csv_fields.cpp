#include "host/data/csv_fields.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>

namespace espalier {
namespace {

constexpr std::string_view blanks = " \t\r";

/// Bytes of the UTF-8 sequence at the start of `text`, 0 if there is none.
std::size_t utf8_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
    const std::size_t length = byte(0) < 0x80 ? 1 : byte(0) < 0xc2 ? 0 : byte(0) < 0xe0 ? 2 : byte(0) < 0xf0 ? 3 : 4;
    if (length == 0 || byte(0) > 0xf4 || text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return 0;
    }
    const std::uint8_t second = length > 2 ? byte(1) : 0;
    const bool bad = (byte(0) == 0xe0 && second < 0xa0) || (byte(0) == 0xed && second > 0x9f) ||
                     (byte(0) == 0xf0 && second < 0x90) || (byte(0) == 0xf4 && second > 0x8f);
    return bad ? 0 : length;
}

}  // namespace

std::string_view trimmed_field(std::string_view field) {
    const auto first = field.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    return field.substr(first, field.find_last_not_of(blanks) - first + 1);
}

std::optional<double> csv_number(std::string_view field) {
    if (field == "True" || field == "true" || field == "TRUE") return 1;
    if (field == "False" || field == "false" || field == "FALSE") return 0;
    if (field.starts_with('+') && !field.starts_with("+-")) field.remove_prefix(1);
    if (field.empty()) return std::nullopt;
    double value = 0;
    const auto [end, fault] = std::from_chars(field.data(), field.data() + field.size(), value);
    if (end != field.data() + field.size() || fault == std::errc::invalid_argument) return std::nullopt;
    if (fault != std::errc{}) value = std::strtod(std::string(field).c_str(), nullptr);  // out of range: 0 or infinite
    return value;
}

bool is_missing(std::string_view field) {
    constexpr std::string_view markers[] = {"",    "NA",  "N/A",  "n/a",  "na",   "#N/A", "<NA>",
                                            "NaN", "nan", "NAN", "-nan", "NULL", "null", "?"};
    return std::find(std::begin(markers), std::end(markers), field) != std::end(markers);
}

std::string as_utf8(std::string_view text) {
    bool valid = true;
    for (std::string_view rest = text; !rest.empty() && valid;) {
        const std::size_t length = utf8_length(rest);
        valid = length > 0;
        rest.remove_prefix(length);
    }
    if (valid) return std::string(text);
    std::string converted;
    for (const char each : text) {
        const auto byte = static_cast<std::uint8_t>(each);
        if (byte < 0x80) {
            converted += each;
        } else {
            converted += static_cast<char>(0xc0 | byte >> 6);
            converted += static_cast<char>(0x80 | (byte & 0x3f));
        }
    }
    return converted;
}

char find_separator(std::string_view line) {
    bool quoted = false;
    bool seen[3] = {};
    constexpr std::string_view candidates = "\t;,";
    for (const char each : line) {
        if (each == '"') quoted = !quoted;
        const auto which = candidates.find(each);
        if (!quoted && which != std::string_view::npos) seen[which] = true;
    }
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        if (seen[i]) return candidates[i];
    }
    return ' ';
}

bool QuoteWatch::goes_on(std::string_view line, char separator) {
    if (!inside_ && line.find('"') == std::string_view::npos) return false;
    bool at_start = !inside_;  // only blanks since the last separator
    for (std::size_t i = 0; i < line.size(); ++i) {
        const char each = line[i];
        if (inside_) {
            if (each != '"') continue;
            if (i + 1 < line.size() && line[i + 1] == '"') {
                ++i;
            } else {
                inside_ = false;
            }
        } else if (each == '"' && at_start) {
            inside_ = true;
            at_start = false;
        } else if (each == separator) {
            at_start = true;
        } else if (blanks.find(each) == std::string_view::npos) {
            at_start = false;
        }
    }
    return inside_;
}

std::string_view FieldSplitter::next(std::string_view& record, bool& more) {
    stray_ = false;
    const std::string_view separators = separator_ == ' ' ? std::string_view(" \t") : std::string_view(&separator_, 1);
    std::string_view field;
    std::size_t end = 0;
    const auto first = record.find_first_not_of(separator_ == '\t' ? " " : " \t");
    if (first != std::string_view::npos && record[first] == '"') {
        unquoted_.clear();
        std::size_t i = first + 1;
        for (; i < record.size(); ++i) {
            const bool doubled = record[i] == '"' && i + 1 < record.size() && record[i + 1] == '"';
            if (record[i] == '"' && !doubled) break;
            if (doubled) ++i;
            unquoted_ += record[i];
        }
        const std::size_t behind = std::min(i + 1, record.size());
        end = record.find_first_of(separators, behind);
        stray_ = !trimmed_field(record.substr(behind, end == std::string_view::npos ? end : end - behind)).empty();
        field = trimmed_field(unquoted_);
    } else {
        end = record.find_first_of(separators);
        field = trimmed_field(record.substr(0, end));
    }
    more = end != std::string_view::npos;
    record.remove_prefix(more ? end + 1 : record.size());
    if (separator_ == ' ') record = trimmed_field(record);
    return field;
}

}  // namespace espalier
