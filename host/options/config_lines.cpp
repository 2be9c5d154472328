#include "host/options/config_lines.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "espalier/error.hpp"
#include "host/system/utf8.hpp"

namespace espalier {
namespace {

bool is_blank(char letter) { return letter == ' ' || letter == '\t' || letter == '\r'; }

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

std::optional<unsigned> hexadecimal(std::string_view digits, std::size_t count) {
    unsigned value = 0;
    const char* const end = digits.data() + count;
    if (digits.size() < count) return std::nullopt;
    const auto [stop, error] = std::from_chars(digits.data(), end, value, 16);
    return error == std::errc() && stop == end ? std::optional(value) : std::nullopt;
}

std::string utf8_character(unsigned code) {
    const auto tail = [&](unsigned shift) { return static_cast<char>(0x80U | ((code >> shift) & 0x3FU)); };
    if (code < 0x80) return {static_cast<char>(code)};
    if (code < 0x800) return {static_cast<char>(0xC0U | (code >> 6U)), tail(0)};
    return {static_cast<char>(0xE0U | (code >> 12U)), tail(6), tail(0)};
}

class ConfigReader {
public:
    ConfigReader(std::string_view text, const std::string& source) : text_(text), source_(source) {}

    std::vector<ConfigLine> lines() {
        std::vector<ConfigLine> lines;
        std::string section;
        for (; place_ < text_.size(); next_line()) {
            skip_blanks();
            if (at_end_of_line() || here() == '#' || here() == ';') continue;
            if (here() == '[') {
                section = section_name();
                lines.push_back({section, "", {}, line_});
                continue;
            }
            ConfigLine& line = lines.emplace_back(ConfigLine{section, key(), {}, line_});
            if (at_end_of_line() || here() == '#') {
                line.values = {"true"};  // a switch by its name alone
            } else {
                ++place_;
                line.values = values();
            }
        }
        return lines;
    }

private:
    [[noreturn]] void refuse(const std::string& what) const {
        throw UserError(ExitCode::usage, source_ + ": line " + std::to_string(line_) + ": " + what);
    }
    [[nodiscard]] char here() const { return place_ < text_.size() ? text_[place_] : '\n'; }
    [[nodiscard]] bool at_end_of_line() const { return here() == '\n'; }
    [[nodiscard]] bool at_comment() const {
        return here() == '#' && (place_ == 0 || is_blank(text_[place_ - 1]) || text_[place_ - 1] == '\n');
    }
    void skip_blanks() {
        while (!at_end_of_line() && is_blank(here())) ++place_;
    }
    void next_line() {
        place_ = std::min(text_.find('\n', place_), text_.size() - 1) + 1;
        ++line_;
    }

    std::string section_name() {
        const std::string_view rest = text_.substr(place_, text_.find('\n', place_) - place_);
        const std::size_t end = rest.find(']');
        const std::string_view after = trimmed(end == std::string_view::npos ? "" : rest.substr(end + 1));
        const std::string_view name = trimmed(rest.substr(1, end == std::string_view::npos ? end : end - 1));
        if (end == std::string_view::npos || name.empty() || name.front() == '[' || !(after.empty() || after[0] == '#')) {
            refuse("'" + std::string(trimmed(rest)) + "' is no section; expected [name]");
        }
        return std::string(without_quotes(name));
    }

    /// The words before the equals sign, which becomes the place; the end of the line or its comment without one.
    std::string key() {
        const std::size_t start = place_;
        while (!at_end_of_line() && here() != '=' && !at_comment()) ++place_;
        const std::string_view name = without_quotes(trimmed(text_.substr(start, place_ - start)));
        if (name.empty()) refuse("an equals sign without a name before it; expected name = value");
        return std::string(name);
    }

    static std::string_view without_quotes(std::string_view name) {
        const bool quoted = name.size() > 1 && name.front() == name.back() && (name[0] == '"' || name[0] == '\'');
        return quoted ? name.substr(1, name.size() - 2) : name;
    }

    std::vector<std::string> values() {
        skip_blanks();
        if (here() == '[') return list();
        std::vector<std::pair<std::string, bool>> words;  // each with whether a comma stands before it
        bool any_comma = false;
        bool comma = false;
        while (skip_blanks(), !at_end_of_line() && !at_comment()) {
            if (here() == ',') {
                if (comma || words.empty()) words.emplace_back("", comma);
                comma = any_comma = true;
                ++place_;
                continue;
            }
            words.emplace_back(word(",", true), comma);
            comma = false;
        }
        std::vector<std::string> values;
        for (auto& [text, begins] : words) {
            if (any_comma && !begins && !values.empty()) {
                values.back() += " " + text;  // "a b, c": two values, the first of two words
            } else {
                values.push_back(std::move(text));
            }
        }
        if (values.empty()) values.emplace_back();
        return values;
    }

    /// [a, b], over several lines if need be.
    std::vector<std::string> list() {
        std::vector<std::string> values;
        const std::size_t begin = line_;
        ++place_;
        while (true) {
            skip_to_item(begin);
            if (here() == ']') break;
            values.push_back(word(",]", false));
            skip_to_item(begin);
            if (here() == ',') {
                ++place_;
            } else if (here() != ']') {
                refuse("expected a comma or ] after '" + values.back() + "'");
            }
        }
        ++place_;
        skip_blanks();
        if (!at_end_of_line() && !at_comment()) refuse("something follows the ] of a list");
        return values;
    }

    void skip_to_item(std::size_t begin) {
        while (true) {
            skip_blanks();
            if (!at_end_of_line() && !at_comment()) return;
            if (text_.find('\n', place_) == std::string_view::npos) {
                refuse("the list that begins in line " + std::to_string(begin) + " lacks its ]");
            }
            next_line();
        }
    }

    /// A string in quotes, or what stands before one of `ends`, a comment, the end of the line or, if told, a blank.
    std::string word(std::string_view ends, bool blank_ends) {
        const char quote = here();
        if (quote == '"' || quote == '\'') {
            ++place_;
            std::string text = quote == '"' ? escaped() : literal();
            ++place_;
            if (!at_end_of_line() && !is_blank(here()) && ends.find(here()) == std::string_view::npos) {
                refuse("something follows the closing quotation mark of '" + text + "'");
            }
            return text;
        }
        const std::size_t start = place_;
        while (!at_end_of_line() && ends.find(here()) == std::string_view::npos && !at_comment() &&
               !(blank_ends && is_blank(here()))) {
            ++place_;
        }
        return std::string(trimmed(text_.substr(start, place_ - start)));
    }

    std::string literal() {
        const std::size_t start = place_;
        while (here() != '\'') {
            if (at_end_of_line()) refuse("a string lacks its closing '");
            ++place_;
        }
        return std::string(text_.substr(start, place_ - start));
    }

    std::string escaped() {
        std::string text;
        while (here() != '"') {
            if (at_end_of_line()) refuse("a string lacks its closing \"");
            text += here() == '\\' ? escape() : std::string(1, here());
            ++place_;
        }
        return text;
    }

    /// What the backslash here and what follows stand for; the place becomes their last letter.
    std::string escape() {
        const std::string_view rest = text_.substr(place_ + 1);
        const char kind = rest.empty() ? '\n' : rest[0];
        const std::size_t digits = kind == 'x' ? 2 : kind == 'u' ? 4 : 0;
        if (digits > 0) {
            const auto code = hexadecimal(rest.substr(1), digits);
            if (!code) return "\\";
            place_ += 1 + digits;
            return digits == 2 ? std::string(1, static_cast<char>(*code)) : utf8_character(*code);
        }
        constexpr std::string_view kinds = "\"\\nt";
        const std::size_t found = kinds.find(kind);
        if (found == std::string_view::npos) return "\\";
        ++place_;
        return std::string(1, "\"\\\n\t"[found]);
    }

    std::string_view text_;
    const std::string& source_;
    std::size_t place_ = 0;
    std::size_t line_ = 1;
};

}  // namespace

std::vector<ConfigLine> read_config_lines(std::string_view text, const std::string& source) {
    return ConfigReader(text, source).lines();
}

std::string quoted_config_value(std::string_view value) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string escaped;
    for (const char letter : value) {
        const auto byte = static_cast<unsigned char>(letter);
        if (letter == '"' || letter == '\\') {
            escaped += {'\\', letter};
        } else if (byte < 0x20 || byte == 0x7F) {
            escaped += {'\\', 'u', '0', '0', digits[byte / 16], digits[byte % 16]};
        } else {
            escaped += letter;
        }
    }
    return '"' + valid_utf8(escaped) + '"';
}

}  // namespace espalier
