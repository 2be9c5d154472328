// Charts as SVG text: lines, steps and points over linear or logarithmic axes, with a legend. Colours are classes, so
// one chart follows its page into dark mode and print; as a file of its own it carries the same style sheet.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace espalier {

/// Steps are flat over equal bins around their x.
enum class Mark { line, dashed, steps, points };

struct Series {
    std::string name{};
    std::vector<double> x{}, y{};  // pairs that are not finite, or not positive on a logarithmic axis, leave a gap
    std::size_t colour = 0;        // of the run: place in the style sheet's list, cyclic
    Mark mark = Mark::line;
    std::optional<double> shade{};  // instead of the colour: a place in [0, 1] along viridis, for moments in time
    bool in_legend = true;
};

struct Axis {
    std::string label{};
    bool logarithmic = false;
    bool whole = false;  // ticks at whole numbers only
};

struct Chart {
    std::string id{};  // file name without extension
    std::string title{};
    Axis x{}, y{};
    std::vector<Series> series{};
    std::optional<double> reference{};  // a horizontal line to compare with
};

constexpr std::size_t num_colours = 8;

/// Text safe within HTML, SVG and quoted attributes.
std::string escaped(const std::string& text);

/// `value` with at most `digits` significant digits, without needless zeros.
std::string rounded(double value, int digits);

/// The chart for use within a page that holds the style sheet.
std::string svg(const Chart& chart);

/// The chart as a file of its own.
std::string svg_file(const Chart& chart, const std::string& style_sheet);

/// A cell of a CSV file, quoted where it must be (RFC 4180).
std::string csv_cell(const std::string& text);

/// All points, unthinned: series, x, y.
std::string csv(const Chart& chart);

}  // namespace espalier
