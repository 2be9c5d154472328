#include "host/report/svg_chart.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "espalier/rule.hpp"
#include "host/formats/heat_map.hpp"
#include "host/system/utf8.hpp"
#include "host/formats/real_text.hpp"

namespace espalier {
namespace {

// All lengths in the units of the view box, about a pixel each on a phone.
constexpr double chart_width = 440, chart_height = 288;
constexpr double left = 52, right = 12, bottom = 40, title_height = 22, legend_line = 15;
constexpr double letter = 6.8;            // mean width at the legend's size
constexpr std::size_t max_points = 800;  // of a line as drawn,
constexpr std::size_t all_points = 2500;  // of all lines of a chart, but
constexpr std::size_t fewest_points = 60;
constexpr std::size_t longest_name = 34;

/// A stretch of numbers laid along a stretch of the drawing.
struct Scale {
    double low = 0, high = 1;
    bool logarithmic = false;
    double from = 0, to = 1;

    [[nodiscard]] bool holds(double value) const { return std::isfinite(value) && (!logarithmic || value > 0); }
    [[nodiscard]] double operator()(double value) const {
        const double part = logarithmic ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
        return from + part * (to - from);
    }
};

struct Box {
    double left, top, right, bottom;
};

std::string coordinate(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f", value);
    std::string trimmed = text;
    trimmed.erase(trimmed.find_last_not_of('0') + 1);
    if (trimmed.back() == '.') trimmed.pop_back();
    return trimmed == "-0" ? "0" : trimmed;
}

/// The smallest of 1, 2 and 5 times a power of ten that is at least `step`.
double nice_step(double step) {
    const double power = std::pow(10.0, std::floor(std::log10(step)));
    for (const double multiple : {1.0, 2.0, 5.0}) {
        if (multiple * power >= step * (1 - 1e-9)) return multiple * power;
    }
    return 10 * power;
}

std::vector<double> linear_ticks(const Scale& scale, bool whole, int most) {
    double step = nice_step((scale.high - scale.low) / most);
    if (whole) step = std::max(1.0, step);
    std::vector<double> ticks;
    for (double i = std::ceil(scale.low / step - 1e-9); i * step <= scale.high + 1e-9 * step; ++i) {
        ticks.push_back(i * step + 0.0);  // + 0: no -0
    }
    return ticks;
}

std::vector<double> logarithmic_ticks(const Scale& scale, int most) {
    const double decades = std::log10(scale.high / scale.low);
    const double skip = std::max(1.0, std::ceil(decades / most));
    std::vector<double> multiples{1};
    if (decades < 3) multiples = {1, 2, 5};
    std::vector<double> ticks;
    for (double d = std::floor(std::log10(scale.low)); d <= std::log10(scale.high); d += skip) {
        for (const double multiple : multiples) {
            const double tick = multiple * std::pow(10.0, d);
            if (tick >= scale.low * (1 - 1e-9) && tick <= scale.high * (1 + 1e-9)) ticks.push_back(tick);
        }
    }
    return ticks;
}

/// The scale that all values fit on, with a little room.
Scale fit(const Chart& chart, bool of_x) {
    const Axis& axis = of_x ? chart.x : chart.y;
    Scale scale;
    scale.logarithmic = axis.logarithmic;
    double low = std::numeric_limits<double>::infinity(), high = -low;
    const auto take = [&](double value) {
        if (!scale.holds(value)) return;
        low = std::min(low, value);
        high = std::max(high, value);
    };
    for (const Series& series : chart.series) {
        for (const double value : of_x ? series.x : series.y) take(value);
    }
    if (!of_x && chart.reference) take(*chart.reference);
    if (low > high) low = high = 1;
    if (axis.logarithmic) {
        const double room = of_x ? 1.05 : std::max(1.1, std::pow(high / low, 0.05));
        scale.low = low / room;
        scale.high = high * room;
        return scale;
    }
    if (low == high) {
        const double room = low == 0 ? 1 : 0.1 * std::abs(low);
        low -= room;
        high += room;
    }
    const double room = of_x ? 0 : 0.05 * (high - low);
    scale.low = low - room;
    scale.high = high + room;
    return scale;
}

std::string colour_class(const Series& series) { return "s" + std::to_string(series.colour % num_colours); }

/// Inline colour of a shaded series; the ends of viridis are left out, they vanish on white and on black.
std::string shade_style(const Series& series, const char* property) {
    if (!series.shade) return {};
    const Colour colour = viridis()[static_cast<std::size_t>(64 + std::clamp(*series.shade, 0.0, 1.0) * 144)];
    char text[48];
    std::snprintf(text, sizeof text, " style=\"%s:#%02x%02x%02x\"", property, colour.red, colour.green, colour.blue);
    return text;
}

using Points = std::vector<std::pair<double, double>>;

/// A stretch without gaps, in drawing units; long ones keep the lowest and highest of every bucket.
Points thinned(const Points& points, Mark mark, std::size_t most) {
    if (points.size() <= most || mark == Mark::steps) return points;
    Points kept;
    const std::size_t buckets = most / 2;
    for (std::size_t b = 0; b < buckets; ++b) {
        const auto begin = points.begin() + static_cast<std::ptrdiff_t>(b * points.size() / buckets);
        const auto end = points.begin() + static_cast<std::ptrdiff_t>((b + 1) * points.size() / buckets);
        auto [lowest, highest] =
            std::minmax_element(begin, end, [](const auto& a, const auto& c) { return a.second < c.second; });
        if (highest < lowest) std::swap(lowest, highest);
        kept.push_back(*lowest);
        if (highest != lowest) kept.push_back(*highest);
    }
    return kept;
}

std::vector<Points> stretches(const Series& series, const Scale& x, const Scale& y) {
    std::vector<Points> all(1);
    const bool steps = series.mark == Mark::steps && series.x.size() > 1;
    const double half_step = steps ? 0.5 * (series.x[1] - series.x[0]) : 0;
    for (std::size_t i = 0; i < std::min(series.x.size(), series.y.size()); ++i) {
        if (x.holds(series.x[i]) && y.holds(series.y[i])) {
            all.back().emplace_back(x(series.x[i] - half_step), y(series.y[i]));
            if (steps) all.back().emplace_back(x(series.x[i] + half_step), y(series.y[i]));
        } else if (!all.back().empty()) {
            all.emplace_back();
        }
    }
    if (all.back().empty()) all.pop_back();
    return all;
}

std::string draw(const Series& series, const Scale& x, const Scale& y, std::size_t most) {
    const std::string name = " data-name=\"" + escaped(series.name) + "\"";
    std::string text;
    for (const Points& whole : stretches(series, x, y)) {
        if (series.mark == Mark::points) {
            text += "<g class=\"points " + colour_class(series) + "\"" + shade_style(series, "fill") + name + ">";
            for (const auto& [px, py] : whole) {
                text += "<circle cx=\"" + coordinate(px) + "\" cy=\"" + coordinate(py) + "\" r=\"2.2\"/>";
            }
            text += "</g>\n";
            continue;
        }
        text += "<polyline class=\"line " + std::string(series.mark == Mark::dashed ? "dashed " : "") +
                colour_class(series) + "\"" + shade_style(series, "stroke") + name + " points=\"";
        for (const auto& [px, py] : thinned(whole, series.mark, most))
            text += coordinate(px) + "," + coordinate(py) + " ";
        text.pop_back();
        text += "\"/>\n";
    }
    return text;
}

std::string text_at(double x, double y, const char* kind, const std::string& content, const std::string& more = {}) {
    return "<text class=\"" + std::string(kind) + "\" x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + "\"" + more +
           ">" + escaped(content) + "</text>\n";
}

std::string rule_at(const char* kind, double x1, double y1, double x2, double y2) {
    return "<line class=\"" + std::string(kind) + "\" x1=\"" + coordinate(x1) + "\" y1=\"" + coordinate(y1) +
           "\" x2=\"" + coordinate(x2) + "\" y2=\"" + coordinate(y2) + "\"/>\n";
}

std::string axes(const Chart& chart, const Scale& x, const Scale& y, const Box& box) {
    std::string text;
    for (const double tick : y.logarithmic ? logarithmic_ticks(y, 6) : linear_ticks(y, chart.y.whole, 6)) {
        text += rule_at("grid", box.left, y(tick), box.right, y(tick));
        text += text_at(box.left - 5, y(tick) + 3.5, "tick end", rounded(tick, 6));
    }
    for (const double tick : x.logarithmic ? logarithmic_ticks(x, 6) : linear_ticks(x, chart.x.whole, 7)) {
        text += rule_at("grid", x(tick), box.top, x(tick), box.bottom);
        text += text_at(x(tick), box.bottom + 14, "tick middle", rounded(tick, 6));
    }
    text += rule_at("axis", box.left, box.bottom, box.right, box.bottom);
    if (chart.reference) text += rule_at("reference", box.left, y(*chart.reference), box.right, y(*chart.reference));
    text += text_at((box.left + box.right) / 2, chart_height - 8, "label middle", chart.x.label);
    const double middle = (box.top + box.bottom) / 2;
    text +=
        text_at(11, middle, "label middle", chart.y.label, " transform=\"rotate(-90 11 " + coordinate(middle) + ")\"");
    return text;
}

/// Long names are cut before a whole UTF-8 character.
std::string shortened(const std::string& name) {
    if (name.size() <= longest_name) return name;
    std::size_t end = longest_name - 1;
    while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0U) == 0x80U) --end;
    return name.substr(0, end) + "…";
}

std::string legend(const Chart& chart, double* used) {
    std::string text;
    double x = left, y = title_height + 12;
    *used = 0;
    for (const Series& series : chart.series) {
        if (!series.in_legend) continue;
        const std::string name = shortened(series.name);
        const double needed = 24 + letter * static_cast<double>(name.size());
        if (x > left && x + needed > chart_width) {
            x = left;
            y += legend_line;
        }
        if (series.mark == Mark::points) {
            text += "<g class=\"points " + colour_class(series) + "\"" + shade_style(series, "fill") +
                    "><circle cx=\"" + coordinate(x + 8) + "\" cy=\"" + coordinate(y - 4) + "\" r=\"2.2\"/></g>\n";
        } else {
            text += "<line class=\"line " + std::string(series.mark == Mark::dashed ? "dashed " : "") +
                    colour_class(series) + "\"" + shade_style(series, "stroke") + " x1=\"" + coordinate(x) +
                    "\" y1=\"" + coordinate(y - 4) + "\" x2=\"" + coordinate(x + 16) + "\" y2=\"" + coordinate(y - 4) +
                    "\"/>\n";
        }
        text += text_at(x + 20, y, "legend", name);
        x += needed;
        *used = y - title_height + 3;
    }
    return text;
}

std::string scale_attribute(const char* name, const Scale& scale) {
    return " data-" + std::string(name) + "=\"" + (scale.logarithmic ? "log " : "linear ") + number_text(scale.low) +
           " " + number_text(scale.high) + "\"";
}

std::string drawing(const Chart& chart, const std::string& style, const std::string& size) {
    double legend_height = 0;
    const std::string names = legend(chart, &legend_height);
    const Box box{left, title_height + legend_height + 8, chart_width - right, chart_height - bottom};
    Scale x = fit(chart, true);
    Scale y = fit(chart, false);
    x.from = box.left, x.to = box.right;
    y.from = box.bottom, y.to = box.top;
    std::string text = "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" viewBox=\"0 0 440 288\"" + size +
                       " role=\"img\" aria-label=\"" + escaped(chart.title) + "\" data-chart=\"" + escaped(chart.id) +
                       "\"" + scale_attribute("x", x) + scale_attribute("y", y) + " data-box=\"" +
                       coordinate(box.left) + " " + coordinate(box.top) + " " + coordinate(box.right) + " " +
                       coordinate(box.bottom) + "\" data-x-label=\"" + escaped(chart.x.label) + "\">\n" + style;
    text += text_at(left, 15, "title", chart.title);
    text += names;
    text += axes(chart, x, y, box);
    const std::size_t share = all_points / std::max<std::size_t>(1, chart.series.size());
    const std::size_t most = std::clamp(share, fewest_points, max_points);
    for (const Series& series : chart.series) text += draw(series, x, y, most);
    return text + "</svg>\n";
}

}  // namespace

std::string escaped(const std::string& text) {
    std::string safe;
    for (const char letter_ : valid_utf8(text)) {
        switch (letter_) {
            case '&':
                safe += "&amp;";
                break;
            case '<':
                safe += "&lt;";
                break;
            case '>':
                safe += "&gt;";
                break;
            case '"':
                safe += "&quot;";
                break;
            case '\'':
                safe += "&#39;";
                break;
            default:
                safe += letter_;
        }
    }
    return safe;
}

std::string rounded(double value, int digits) {
    char text[40];
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    return text;
}

std::string svg(const Chart& chart) { return drawing(chart, {}, {}); }

std::string svg_file(const Chart& chart, const std::string& style_sheet) {
    return drawing(chart, "<style>\n" + style_sheet + "</style>\n", " width=\"880\" height=\"576\"");
}

std::string csv_cell(const std::string& text) {
    if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
    std::string safe = "\"";
    for (const char letter_ : text) safe += letter_ == '"' ? std::string("\"\"") : std::string(1, letter_);
    return safe + "\"";
}

std::string csv(const Chart& chart) {
    std::string text = "series," + csv_cell(chart.x.label) + "," + csv_cell(chart.y.label) + "\n";
    for (const Series& series : chart.series) {
        for (std::size_t i = 0; i < std::min(series.x.size(), series.y.size()); ++i) {
            text += csv_cell(series.name) + "," + real_text(series.x[i]) + "," + real_text(series.y[i]) + "\n";
        }
    }
    return text;
}

}  // namespace espalier
