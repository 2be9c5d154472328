#include "host/system/utf8.hpp"

namespace espalier {
namespace {

unsigned byte_at(std::string_view text, std::size_t place) {
    return place < text.size() ? static_cast<unsigned char>(text[place]) : 0U;
}

/// Bytes of the character that begins at `place`, 0 if none does: neither overlong forms nor surrogates do
/// (Unicode, table 3-7).
std::size_t character_length(std::string_view text, std::size_t place) {
    const unsigned first = byte_at(text, place);
    if (first < 0x80) return 1;
    std::size_t length = 0;
    unsigned least = 0x80;
    unsigned most = 0xBF;  // of the second byte
    if (first >= 0xC2 && first <= 0xDF) {
        length = 2;
    } else if (first >= 0xE0 && first <= 0xEF) {
        length = 3;
        if (first == 0xE0) least = 0xA0;
        if (first == 0xED) most = 0x9F;
    } else if (first >= 0xF0 && first <= 0xF4) {
        length = 4;
        if (first == 0xF0) least = 0x90;
        if (first == 0xF4) most = 0x8F;
    } else {
        return 0;
    }
    for (std::size_t i = 1; i < length; ++i) {
        const unsigned next = byte_at(text, place + i);
        if (next < least || next > most) return 0;
        least = 0x80;
        most = 0xBF;
    }
    return length;
}

constexpr std::string_view digits = "0123456789abcdef";

template <class Json>
void escape_strings(Json& value) {
    if (value.is_string()) {
        value = valid_utf8(value.template get_ref<const std::string&>());
    } else if (value.is_object()) {
        Json escaped = Json::object();
        for (auto& [name, each] : value.items()) {
            escape_strings(each);
            escaped[valid_utf8(name)] = std::move(each);
        }
        value = std::move(escaped);
    } else if (value.is_array()) {
        for (Json& each : value) escape_strings(each);
    }
}

template <class Json>
std::string text_of_json(const Json& value, int indent) {
    try {
        return value.dump(indent);
    } catch (const nlohmann::json::type_error&) {  // its 316: a string is not UTF-8
        Json escaped = value;
        escape_strings(escaped);
        return escaped.dump(indent);
    }
}

}  // namespace

std::string valid_utf8(std::string_view bytes) {
    std::string text;
    for (std::size_t place = 0; place < bytes.size();) {
        const std::size_t length = character_length(bytes, place);
        if (length > 0) {
            text += bytes.substr(place, length);
            place += length;
        } else {
            const unsigned byte = byte_at(bytes, place++);
            text += {'\\', 'x', digits[byte / 16], digits[byte % 16]};
        }
    }
    return text;
}

std::string json_text(const nlohmann::json& value, int indent) { return text_of_json(value, indent); }
std::string json_text(const nlohmann::ordered_json& value, int indent) { return text_of_json(value, indent); }

}  // namespace espalier
