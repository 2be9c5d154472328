// Charts as words and numbers: their CSV, their legend, their description.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "espalier/number_text.hpp"
#include "host/formats/real_text.hpp"
#include "host/report/svg_chart.hpp"
#include "host/system/utf8.hpp"

namespace espalier {
namespace {

std::string interval_words(const Series& series, std::size_t i) {
    if (series.low.empty() || !std::isfinite(series.low[i]) || !std::isfinite(series.high[i])) return {};
    return " (" + plain_number(series.low[i], 4) + " to " + plain_number(series.high[i], 4) + ")";
}

/// "test: 2.3 at 1 to 0.07 at 20, lowest 0.068 at 17".
std::string line_words(const Series& series) {
    std::size_t first = series.x.size(), last = 0, lowest = 0, highest = 0;
    for (std::size_t i = 0; i < std::min(series.x.size(), series.y.size()); ++i) {
        if (!std::isfinite(series.y[i])) continue;
        if (first == series.x.size()) first = lowest = highest = i;
        last = i;
        if (series.y[i] < series.y[lowest]) lowest = i;
        if (series.y[i] > series.y[highest]) highest = i;
    }
    if (first == series.x.size()) return series.name + ": nothing";
    const auto at = [&](std::size_t i) { return plain_number(series.y[i], 4) + " at " + plain_number(series.x[i], 6); };
    return series.name + ": " + at(first) + (last > first ? " to " + at(last) + interval_words(series, last) : "") +
           (last > first ? ", lowest " + at(lowest) + ", highest " + at(highest) : "");
}

std::string dot_words(const Series& series, const Axis& y) {
    std::string text = series.name + ": ";
    for (std::size_t i = 0; i < std::min(series.x.size(), series.y.size()); ++i) {
        if (i > 0) text += ", ";
        const bool is_named = !y.names.empty();
        text += plain_number(is_named ? series.x[i] : series.y[i], 4) + interval_words(series, i);
        if (!is_named) text += " at " + plain_number(series.x[i], 6);
    }
    return text;
}

}  // namespace

std::string link_address(const std::string& path) {
    constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
    std::string address;
    for (const char each : path) {
        if (plain.find(each) != std::string_view::npos) {
            address += each;
            continue;
        }
        constexpr char digits[] = "0123456789ABCDEF";
        const auto byte = static_cast<unsigned char>(each);
        address += {'%', digits[byte / 16], digits[byte % 16]};
    }
    return address;
}

std::string escaped(const std::string& text) {
    std::string safe;
    for (const char letter : valid_utf8(text)) {
        switch (letter) {
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
                safe += letter;
        }
    }
    return safe;
}

std::string rounded(double value, int digits) {
    char text[40];
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    return text;
}

std::string plain_number(double value, int digits) {
    std::string text = rounded(value, digits);
    const auto exponent = text.find('e');
    if (exponent == std::string::npos) return text;
    const bool negative = text[exponent + 1] == '-';
    const auto first = text.find_first_not_of('0', exponent + 2);
    return text.substr(0, exponent + 1) + (negative ? "-" : "") + text.substr(first);
}

std::string html_legend(const std::vector<Series>& series) {
    std::string text = "<ul class=\"legend\">\n";
    for (const Series& each : series) {
        const bool dots = each.mark == Mark::points || each.mark == Mark::dots;
        const std::string kind = each.mark == Mark::dashed     ? "dashes"
                                 : each.mark == Mark::diamonds ? "diamonds"
                                 : dots                        ? "dots"
                                                               : "stroke";
        text += "<li class=\"" + colour_class(each) + "\"" + shade_style(each, "color") + "><i class=\"" + kind +
                "\"></i><span>" + escaped(each.name) + "</span></li>\n";
    }
    return text + "</ul>\n";
}

std::string description(const Chart& chart) {
    constexpr std::size_t most = 10;
    std::string text = chart.title + ".";
    if (chart.y.names.empty()) text += " " + chart.y.label + " over " + chart.x.label + ".";
    std::size_t told = 0, untold = 0;
    for (const Series& series : chart.series) {
        if (series.x.empty() || series.mark == Mark::points) continue;
        if (told++ >= most) {
            ++untold;
            continue;
        }
        const bool dots = series.mark == Mark::dots || series.mark == Mark::diamonds;
        text += " " + (dots ? dot_words(series, chart.y) : line_words(series)) + ".";
    }
    if (untold > 0) text += " And " + std::to_string(untold) + " more.";
    if (chart.event) text += " " + chart.event->text + " at " + plain_number(chart.event->x, 6) + ".";
    return text;
}

std::string csv_cell(const std::string& bytes) {
    const std::string text = valid_utf8(bytes);
    if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
    std::string safe = "\"";
    for (const char letter : text) safe += letter == '"' ? std::string("\"\"") : std::string(1, letter);
    return safe + "\"";
}

std::string csv(const Chart& chart) {
    const bool intervals = std::any_of(chart.series.begin(), chart.series.end(),
                                       [](const Series& series) { return !series.low.empty(); });
    const bool is_named = !chart.y.names.empty();
    std::string text = "series," + csv_cell(chart.x.label) + "," + csv_cell(is_named ? "row" : chart.y.label) +
                       (intervals ? ",low,high\n" : "\n");
    for (const Series& series : chart.series) {
        for (std::size_t i = 0; i < std::min(series.x.size(), series.y.size()); ++i) {
            text += csv_cell(series.name) + "," + real_text(series.x[i]) + "," +
                    (is_named ? csv_cell(chart.y.names[static_cast<std::size_t>(series.y[i])])
                              : real_text(series.y[i]));
            if (intervals && series.low.empty()) text += ",,";
            if (!series.low.empty()) text += "," + real_text(series.low[i]) + "," + real_text(series.high[i]);
            text += "\n";
        }
    }
    return text;
}

}  // namespace espalier
