#include "host/report/chart_parts.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <sstream>

namespace espalier {

std::string coordinate(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", value);
    std::string trimmed = text;
    if (trimmed.ends_with(".0")) trimmed.resize(trimmed.size() - 2);
    return trimmed == "-0" ? "0" : trimmed;
}

std::string reading(double value) {
    return std::abs(value) < 1e9 && value == std::floor(value) ? rounded(value, 9) : rounded(value, 5);
}

std::string text_at(double x, double y, const std::string& kind, const std::string& content) {
    return "<text class=\"" + kind + "\" x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + "\">" + escaped(content) +
           "</text>\n";
}

std::string rule_at(const char* kind, double x1, double y1, double x2, double y2) {
    return "<line class=\"" + std::string(kind) + "\" x1=\"" + coordinate(x1) + "\" y1=\"" + coordinate(y1) +
           "\" x2=\"" + coordinate(x2) + "\" y2=\"" + coordinate(y2) + "\"/>\n";
}

std::vector<std::string> wrapped(const std::string& text, double width, double size) {
    std::vector<std::string> lines;
    std::istringstream words(text);
    for (std::string word; words >> word;) {
        if (lines.empty() || text_width(lines.back() + " " + word, size) > width) {
            lines.push_back(word);
        } else {
            lines.back() += " " + word;
        }
    }
    return lines;
}

std::vector<std::vector<std::size_t>> drawn_places(const Series& series, const Scale& x, const Scale& y,
                                                   std::size_t most) {
    std::vector<std::vector<std::size_t>> all(1);
    for (std::size_t i = 0; i < std::min(series.x.size(), series.y.size()); ++i) {
        if (x.holds(series.x[i]) && y.holds(series.y[i])) {
            all.back().push_back(i);
        } else if (!all.back().empty()) {
            all.emplace_back();
        }
    }
    if (all.back().empty()) all.pop_back();
    const bool is_line = series.mark == Mark::line || series.mark == Mark::dashed;
    for (auto& places : all) {
        if (!is_line || places.size() <= most) continue;
        std::vector<std::size_t> kept{places.front()};
        const std::size_t buckets = most / 2;
        for (std::size_t b = 0; b < buckets; ++b) {
            const auto begin = places.begin() + static_cast<std::ptrdiff_t>(b * places.size() / buckets);
            const auto end = places.begin() + static_cast<std::ptrdiff_t>((b + 1) * places.size() / buckets);
            const auto less = [&](std::size_t a, std::size_t c) { return series.y[a] < series.y[c]; };
            auto [lowest, highest] = std::minmax_element(begin, end, less);
            if (highest < lowest) std::swap(lowest, highest);
            for (const std::size_t place : {*lowest, *highest}) {
                if (place != kept.back()) kept.push_back(place);
            }
        }
        if (kept.back() != places.back()) kept.push_back(places.back());
        places = std::move(kept);
    }
    return all;
}

double half_step(const Series& series) {
    return series.mark == Mark::steps && series.x.size() > 1 ? 0.5 * (series.x[1] - series.x[0]) : 0;
}

Points points_of(const Series& series, const std::vector<std::size_t>& places, const Scale& x, const Scale& y) {
    const double half = half_step(series);
    Points points;
    for (const std::size_t i : places) {
        points.emplace_back(x(series.x[i] - half), y(series.y[i]));
        if (half > 0) points.emplace_back(x(series.x[i] + half), y(series.y[i]));
    }
    return points;
}

std::string point_list(const Points& points) {
    std::string text;
    for (const auto& [x, y] : points) text += coordinate(x) + "," + coordinate(y) + " ";
    if (!text.empty()) text.pop_back();
    return text;
}

}  // namespace espalier
