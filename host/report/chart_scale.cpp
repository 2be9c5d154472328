#include "host/report/chart_scale.hpp"

#include <algorithm>
#include <limits>

namespace espalier {
namespace {

constexpr double tick_size = 10;

/// The smallest of 1, 2 and 5 times a power of ten that is at least `step`.
double nice_step(double step) {
    const double power = std::pow(10.0, std::floor(std::log10(step)));
    for (const double multiple : {1.0, 2.0, 5.0}) {
        if (multiple * power >= step * (1 - 1e-9)) return multiple * power;
    }
    return 10 * power;
}

std::vector<double> linear_values(const Scale& scale, bool whole, int most) {
    double step = nice_step((scale.high - scale.low) / most);
    if (whole) step = std::max(1.0, step);
    std::vector<double> values;
    for (double i = std::ceil(scale.low / step - 1e-9); i * step <= scale.high + 1e-9 * step; ++i) {
        values.push_back(i * step + 0.0);  // + 0: no -0
    }
    return values;
}

/// The given multiples of every `skip`th power of ten.
std::vector<double> decades(const Scale& scale, const std::vector<double>& multiples, int skip) {
    std::vector<double> values;
    const int first = static_cast<int>(std::floor(std::log10(scale.low)));
    const int last = static_cast<int>(std::floor(std::log10(scale.high)));
    for (int d = first; d <= last; ++d) {
        if (((d % skip) + skip) % skip != 0) continue;
        for (const double multiple : multiples) {
            const double value = multiple * std::pow(10.0, d);
            const bool apart = !scale.zero_at || value > *scale.zero_at * 2;
            if (apart && value >= scale.low * (1 - 1e-9) && value <= scale.high * (1 + 1e-9)) values.push_back(value);
        }
    }
    return values;
}

std::vector<Tick> named(const std::vector<double>& values) {
    std::vector<Tick> all;
    for (const double value : values) all.push_back({value, plain_number(value, 6)});
    return all;
}

bool texts_are_apart(const std::vector<Tick>& all, const Scale& scale, bool wide) {
    for (std::size_t i = 1; i < all.size(); ++i) {
        const double distance = std::abs(scale(all[i].value) - scale(all[i - 1].value));
        const double needed =
            wide ? (text_width(all[i].text, tick_size) + text_width(all[i - 1].text, tick_size)) / 2 + 8 : 15;
        if (distance < needed) return false;
    }
    return true;
}

}  // namespace

double text_width(const std::string& text, double size) {
    double width = 0;
    for (const char byte : text) {
        if ((static_cast<unsigned char>(byte) & 0xC0U) == 0x80U) continue;  // within a character
        const bool narrow = std::string_view("ijl.,:;'|! ()[]").find(byte) != std::string_view::npos;
        const bool broad = (byte >= 'A' && byte <= 'Z') || byte == 'm' || byte == 'w' || byte == '%';
        width += narrow ? 0.42 : broad ? 0.86 : 0.65;
    }
    return width * size;
}

Scale fitting_scale(const Chart& chart, bool of_x) {
    const Axis& axis = of_x ? chart.x : chart.y;
    Scale scale;
    scale.logarithmic = axis.logarithmic;
    scale.zero_at = axis.zero_at;
    if (!axis.names.empty()) {
        scale.low = static_cast<double>(axis.names.size()) - 0.5;
        scale.high = -0.5;
        return scale;
    }
    double low = std::numeric_limits<double>::infinity(), high = -low;
    const auto take = [&](double value) {
        if (!scale.holds(value)) return;
        if (value == 0 && scale.logarithmic) value = *scale.zero_at;
        low = std::min(low, value);
        high = std::max(high, value);
    };
    for (const Series& series : chart.series) {
        for (const double value : of_x ? series.x : series.y) take(value);
        if (series.along_x != of_x) continue;
        for (const double value : series.low) take(value);
        for (const double value : series.high) take(value);
    }
    const bool reference_is_x = !chart.y.names.empty();
    if (chart.reference && reference_is_x == of_x) take(*chart.reference);
    if (low > high) low = high = 1;
    if (axis.logarithmic) {
        const double room = of_x ? std::max(1.05, std::pow(high / low, 0.03)) : std::max(1.1, std::pow(high / low, 0.05));
        scale.low = low / room;
        scale.high = high * room;
        return scale;
    }
    if (low == high) {
        const double room = low == 0 ? 1 : 0.1 * std::abs(low);
        low -= room;
        high += room;
    }
    const double room = of_x && !reference_is_x ? 0 : 0.05 * (high - low);
    scale.low = low - room;
    scale.high = high + room;
    return scale;
}

std::vector<Tick> ticks(const Scale& scale, bool whole, bool wide) {
    if (scale.logarithmic) {
        for (const auto& [multiples, skip] : std::vector<std::pair<std::vector<double>, int>>{
                 {{1, 2, 5}, 1}, {{1, 3}, 1}, {{1}, 1}, {{1}, 2}, {{1}, 3}, {{1}, 5}, {{1}, 10}}) {
            std::vector<Tick> all = named(decades(scale, multiples, skip));
            if (scale.zero_at) all.insert(all.begin(), {0, "0"});
            if (all.size() >= 3 && texts_are_apart(all, scale, wide)) return all;
        }
    }
    std::vector<Tick> all;
    for (int most = 8; most >= 2; --most) {
        all = named(linear_values(scale, whole, most));
        if (scale.logarithmic && scale.low > 0) std::erase_if(all, [](const Tick& tick) { return tick.value <= 0; });
        if (texts_are_apart(all, scale, wide)) break;
    }
    return all;
}

}  // namespace espalier
