// Scales of charts and their ticks. All lengths in the units of the drawing's view box.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "host/report/svg_chart.hpp"

namespace espalier {

struct Box {
    double left = 0, top = 0, right = 0, bottom = 0;
};

/// A stretch of numbers laid along a stretch of the drawing.
struct Scale {
    double low = 0, high = 1;
    bool logarithmic = false;
    std::optional<double> zero_at{};  // where a logarithmic scale has its 0
    double from = 0, to = 1;

    [[nodiscard]] bool holds(double value) const {
        return std::isfinite(value) && (!logarithmic || value > 0 || (value == 0 && zero_at));
    }
    [[nodiscard]] double operator()(double value) const {
        if (logarithmic && value == 0 && zero_at) value = *zero_at;
        const double part = logarithmic ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
        return from + part * (to - from);
    }
};

/// The scale that all values of the chart fit on, with a little room.
Scale fitting_scale(const Chart& chart, bool of_x);

struct Tick {
    double value = 0;
    std::string text;
};

/// Ticks whose texts do not touch; `wide`: they lie along the axis and their widths count, else their height. At least
/// three on a logarithmic scale, with room for them.
std::vector<Tick> ticks(const Scale& scale, bool whole, bool wide);

/// Width of a text of this size, on the safe side.
double text_width(const std::string& text, double size);

}  // namespace espalier
