// Charts as SVG text: lines, bands, steps, points and intervals over linear or logarithmic axes. Names of series stand
// beside their lines where they fit, else in a legend below the plot, which keeps its height. Colours are classes, so
// one chart follows its page into dark mode and print; as a file of its own it carries the same style sheet. Every mark
// holds its values, for the readings under the pointer.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace espalier {

/// Steps are flat over equal bins around their x. Dots are means with their intervals, diamonds figures from elsewhere,
/// small points single observations.
enum class Mark { line, dashed, steps, points, dots, diamonds };

struct Series {
    std::string name{};
    std::vector<double> x{}, y{};  // pairs that are not finite, or not positive on a logarithmic axis, leave a gap
    std::size_t colour = 0;        // place in the style sheet's list, cyclic
    Mark mark = Mark::line;
    std::optional<double> shade{};  // instead of the colour: a place in [0, 1] along viridis, for what has an order
    bool in_legend = true;
    std::vector<double> low{}, high{};  // an interval about every value: a band, whiskers; empty: none
    bool along_x = false;               // the interval is one of x
};

struct Axis {
    std::string label{};
    bool logarithmic = false;
    bool whole = false;               // ticks at whole numbers only
    std::optional<double> zero_at{};  // on a logarithmic axis: where 0 is drawn, apart from the others
    std::vector<std::string> names{};  // of y: value i stands for a thing of this name, the first on top
};

/// A place on the x axis to point out.
struct Event {
    double x = 0;
    std::string text{};
};

/// Whether the chart names its series itself or the page does for several charts at once; a file always does.
enum class Legend { own, shared };

struct Chart {
    std::string id{};  // file name without extension
    std::string title{};
    Axis x{}, y{};
    std::vector<Series> series{};
    std::optional<double> reference{};  // a line to compare with: horizontal, or vertical where y has names
    std::optional<Event> event{};
    std::string note{};  // a sentence below
    Legend legend = Legend::own;
    std::size_t most_points = 400;  // of a line as drawn
};

constexpr std::size_t num_colours = 8;
/// Of a series that has no colour of its own.
constexpr std::size_t neutral_colour = static_cast<std::size_t>(-1);

/// Text safe within HTML, SVG and quoted attributes.
std::string escaped(const std::string& text);

/// A path as the address of a link, every byte kept: what an address gives a meaning (# ? % and blanks) and all that is
/// not ASCII, in UTF-8 or not, as a per cent sign and two digits.
std::string link_address(const std::string& path);

/// `value` with at most `digits` significant digits, without needless zeros.
std::string rounded(double value, int digits);

/// The same for people: 2e-5 and not 2e-05.
std::string plain_number(double value, int digits);

/// The classes that give a series its colour, and the inline style of a shaded one.
std::string colour_class(const Series& series);
std::string shade_style(const Series& series, const char* property);

/// The chart for use within a page that holds the style sheet.
std::string svg(const Chart& chart);

/// The chart as a file of its own.
std::string svg_file(const Chart& chart, const std::string& style_sheet);

/// A legend of series as HTML, for charts that share it.
std::string html_legend(const std::vector<Series>& series);

/// What the chart shows, in a sentence or two with its numbers: for who cannot see it.
std::string description(const Chart& chart);

/// A cell of a CSV file, quoted where it must be (RFC 4180).
std::string csv_cell(const std::string& text);

/// All points, unthinned: series, x, y and, where there are intervals, low, high.
std::string csv(const Chart& chart);

}  // namespace espalier
