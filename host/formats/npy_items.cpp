#include "host/formats/npy_items.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace espalier {
namespace {

float from_half(std::uint16_t half) {
    const int exponent = half >> 10 & 31;
    const int fraction = half & 1023;
    const float sign = (half & 0x8000) != 0 ? -1.0F : 1.0F;
    if (exponent == 31) {
        return sign * (fraction == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN());
    }
    return exponent == 0 ? sign * std::ldexp(static_cast<float>(fraction), -24)
                         : sign * std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
}

void append_utf8(std::uint32_t point, std::string& text) {
    if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) point = 0xfffd;
    const auto put = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
    if (point < 0x80) {
        put(point);
        return;
    }
    const int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;  // bytes behind the first
    put((more == 1 ? 0xc0U : more == 2 ? 0xe0U : 0xf0U) | point >> (6 * more));
    for (int i = more; i-- > 0;) put(0x80U | (point >> (6 * i) & 0x3fU));
}

}  // namespace

void swap_bytes(std::vector<std::uint8_t>& data, std::size_t bytes) {
    for (auto item = data.begin(); item != data.end(); item += static_cast<std::ptrdiff_t>(bytes)) {
        std::reverse(item, item + static_cast<std::ptrdiff_t>(bytes));
    }
}

void widen_halves(std::vector<std::uint8_t>& data) {
    std::vector<std::uint8_t> wide(2 * data.size());
    for (std::size_t i = 0; i < data.size(); i += 2) {
        const float value = from_half(static_cast<std::uint16_t>(data[i] | data[i + 1] << 8));
        std::memcpy(wide.data() + 2 * i, &value, sizeof value);
    }
    data = std::move(wide);
}

void reorder(const std::vector<std::uint64_t>& shape, std::size_t item, std::vector<std::uint8_t>& data) {
    if (data.empty() || shape.size() < 2) return;
    std::vector<std::uint64_t> strides(shape.size(), item);  // in the file, in bytes
    for (std::size_t d = 1; d < shape.size(); ++d) strides[d] = strides[d - 1] * shape[d - 1];
    std::vector<std::uint64_t> index(shape.size(), 0);
    std::vector<std::uint8_t> ordered(data.size());
    std::uint64_t from = 0;
    for (std::size_t to = 0; to < data.size(); to += item) {
        std::memcpy(ordered.data() + to, data.data() + from, item);
        for (std::size_t d = shape.size(); d-- > 0;) {
            from += strides[d];
            if (++index[d] < shape[d]) break;
            from -= strides[d] * shape[d];
            index[d] = 0;
        }
    }
    data = std::move(ordered);
}

std::vector<std::string> texts_of(const std::vector<std::uint8_t>& data, std::size_t item, bool unicode) {
    std::vector<std::string> texts;
    for (std::size_t start = 0; start < data.size(); start += item) {
        std::string text(data.begin() + static_cast<std::ptrdiff_t>(start),
                         data.begin() + static_cast<std::ptrdiff_t>(start + item));
        if (unicode) {
            std::vector<std::uint32_t> points(item / 4);
            std::memcpy(points.data(), text.data(), item);
            while (!points.empty() && points.back() == 0) points.pop_back();
            text.clear();
            for (const std::uint32_t point : points) append_utf8(point, text);
        } else {
            text.erase(text.find_last_not_of('\0') + 1);
        }
        texts.push_back(std::move(text));
    }
    return texts;
}

}  // namespace espalier
