#include "host/report/svg_chart.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "espalier/rule.hpp"
#include "host/formats/heat_map.hpp"
#include "host/system/utf8.hpp"
#include "host/formats/real_text.hpp"
#include "host/report/chart_labels.hpp"
#include "host/report/chart_parts.hpp"
#include "host/report/chart_scale.hpp"

namespace espalier {
namespace {

constexpr double chart_width = 400, margin_right = 12, least_height = 200;
constexpr double title_size = 13, text_size = 11, small_size = 10, line_height = 16;
constexpr double links_width = 76;         // the page puts links into the corner beside the title
constexpr double height_per_extra = 2.4;   // keeps the plot above 55 % of its card, whatever stands below it
constexpr double named_row = 30, bare_row = 12;  // of a plot whose y has names
constexpr std::size_t most_named_rows = 30;
constexpr std::size_t all_points = 1200;   // of all lines of a chart as drawn, but
constexpr std::size_t fewest_points = 20;
constexpr std::size_t most_direct_names = 6;
constexpr std::size_t longest_direct_name = 30;

std::string axis_label(const Axis& axis) {
    return axis.logarithmic ? axis.label + (axis.label.empty() ? "" : ", ") + "log scale" : axis.label;
}

/// A chart as it is laid out: where the plot is, what is on the axes.
class Drawing {
public:
    Drawing(const Chart& chart, bool with_legend) : chart_(chart) {
        title_ = wrapped(chart.title, chart_width - links_width, title_size);
        note_ = wrapped(chart.note, chart_width - 8, small_size);
        box_.top = line_height * static_cast<double>(title_.size()) + (named() ? 8 : line_height + 8);
        x_ = fitting_scale(chart, true);
        y_ = fitting_scale(chart, false);
        lay_out();
        name_series(with_legend);
    }

    std::string text(const std::string& style, bool as_file) {
        const std::string size =
            as_file ? " width=\"800\" height=\"" + coordinate(2 * height_) + "\"" : " tabindex=\"0\"";
        std::string text = "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" viewBox=\"0 0 400 " +
                           coordinate(height_) + "\"" + size + " role=\"img\" aria-label=\"" +
                           escaped(description(chart_)) + "\" data-chart=\"" + escaped(chart_.id) + "\"" +
                           scale_attribute("x", x_) + scale_attribute("y", y_) + " data-box=\"" +
                           coordinate(box_.left) + " " + coordinate(box_.top) + " " + coordinate(box_.right) + " " +
                           coordinate(box_.bottom) + "\" data-x-label=\"" + escaped(chart_.x.label) +
                           "\" data-y-label=\"" + escaped(chart_.y.label) + "\"" + names_attribute() + ">\n" + style;
        for (std::size_t l = 0; l < title_.size(); ++l) {
            text += text_at(4, 13 + line_height * static_cast<double>(l), "title", title_[l]);
        }
        text += axes();
        text += "<g class=\"marks\">\n" + marks() + "</g>\n<g class=\"names\">\n" + names_ + "</g>\n" + legend_;
        for (std::size_t l = 0; l < note_.size(); ++l) {
            text += text_at(4, height_ - 6 - 13 * static_cast<double>(note_.size() - 1 - l), "label note", note_[l]);
        }
        return text + "</svg>\n";
    }

private:
    [[nodiscard]] bool named() const { return !chart_.y.names.empty(); }
    [[nodiscard]] bool rows_are_named() const { return named() && chart_.y.names.size() <= most_named_rows; }

    void lay_out() {
        constexpr double below = 34;
        const double extra = box_.top + below + legend_height_ + 13 * static_cast<double>(note_.size());
        double plot = std::max(least_height, height_per_extra * extra);
        if (named()) {
            plot = std::max(0.6 * least_height,
                            static_cast<double>(chart_.y.names.size()) * (rows_are_named() ? named_row : bare_row));
            plot = std::max(plot, 1.7 * extra);
        }
        box_.bottom = box_.top + plot;
        height_ = box_.top + plot + below + legend_height_ + 13 * static_cast<double>(note_.size());
        y_.from = box_.bottom, y_.to = box_.top;
        y_ticks_ = named() ? std::vector<Tick>{} : ticks(y_, chart_.y.whole, false);
        double widest = 0;
        for (const Tick& tick : y_ticks_) widest = std::max(widest, text_width(tick.text, small_size));
        box_.left = named() ? 10 : std::clamp(widest + 9, 24.0, 70.0);
        box_.right = chart_width - margin_right;
        x_.from = box_.left, x_.to = box_.right;
        x_ticks_ = ticks(x_, chart_.x.whole, true);
    }

    [[nodiscard]] std::size_t points_each() const {
        const std::size_t share = all_points / std::max<std::size_t>(1, chart_.series.size());
        return std::min(std::max(share, fewest_points), chart_.most_points);
    }

    /// Names beside the lines if all of them fit, else a legend if it is this chart's own.
    void name_series(bool with_legend) {
        Occupancy plot = occupied();
        if (chart_.event) name_event(plot);
        std::vector<const Series*> listed;
        for (const Series& series : chart_.series) {
            if (series.in_legend && !series.x.empty()) listed.push_back(&series);
        }
        if (!with_legend || listed.size() < 2) return;
        std::string beside;
        bool fits = listed.size() <= most_direct_names && !named();
        for (const Series* series : listed) {
            fits = fits && series->name.size() <= longest_direct_name;
            if (!fits) break;
            const auto stretches = drawn_places(*series, x_, y_, points_each());
            const auto place = stretches.empty() ? std::nullopt
                                                 : place_label(plot, points_of(*series, stretches.back(), x_, y_),
                                                               series->name, text_size);
            fits = place.has_value();
            if (!fits) break;
            beside += "<text class=\"name middle " + colour_class(*series) + "\"" + shade_style(*series, "color") +
                      " x=\"" + coordinate(place->x) + "\" y=\"" + coordinate(place->y) + "\">" +
                      escaped(series->name) + "</text>\n";
        }
        if (fits) {
            names_ += beside;
        } else {
            (void)legend(listed, &legend_height_);
            lay_out();
            names_.clear();
            name_series(false);  // the event, where it is now
            legend_ = legend(listed, &legend_height_);
        }
    }

    /// Beside its line, else below the plot.
    void name_event(Occupancy& plot) {
        if (event_below_) return;
        const double x = std::clamp(x_(chart_.event->x), box_.left, box_.right);
        const double beside = x - text_width(chart_.event->text, small_size) / 2 - 6;
        Points along;
        for (int step = 7; step >= 0; --step) along.emplace_back(beside, box_.top + 14 + step * (box_.bottom - box_.top - 24) / 7);
        if (const auto place = place_label(plot, along, chart_.event->text, small_size)) {
            names_ += text_at(place->x, place->y, "event-name middle", chart_.event->text);
        } else {
            event_below_ = true;
            note_ = wrapped(chart_.note + " Dash-dotted: " + chart_.event->text + ".", chart_width - 8, small_size);
            lay_out();
            plot = occupied();
        }
    }

    [[nodiscard]] Occupancy occupied() const {
        Occupancy plot(box_);
        for (const Series& series : chart_.series) {
            for (const auto& places : drawn_places(series, x_, y_, points_each())) {
                const Points points = points_of(series, places, x_, y_);
                if (series.mark == Mark::line || series.mark == Mark::dashed || series.mark == Mark::steps) {
                    plot.take_line(points);
                } else {
                    for (const auto& [px, py] : points) plot.take({px - 4, py - 4, px + 4, py + 4});
                }
            }
        }
        if (chart_.event && !named()) plot.take_line({{x_(chart_.event->x), box_.top}, {x_(chart_.event->x), box_.bottom}});
        return plot;
    }

    std::string legend(const std::vector<const Series*>& listed, double* used) const {
        std::string text;
        const double top = box_.bottom + 34;
        double x = 6, y = top + 10;
        for (const Series* series : listed) {
            const double needed = 30 + text_width(series->name, text_size);
            if (x > 6 && x + needed > chart_width) {
                x = 6;
                y += line_height;
            }
            text += sample(*series, x, y - 4) + text_at(x + 20, y, "legend", series->name);
            x += needed;
        }
        *used = y - top + 6;
        return text;
    }

    static std::string sample(const Series& series, double x, double y) {
        const std::string look = colour_class(series) + "\"" + shade_style(series, "color");
        if (series.mark == Mark::points || series.mark == Mark::dots || series.mark == Mark::diamonds) {
            return "<g class=\"" + look + ">" + dot(series.mark, x + 8, y) + "</g>\n";
        }
        return "<line class=\"line " + std::string(series.mark == Mark::dashed ? "dashed " : "") + look + " x1=\"" +
               coordinate(x) + "\" y1=\"" + coordinate(y) + "\" x2=\"" + coordinate(x + 16) + "\" y2=\"" +
               coordinate(y) + "\"/>\n";
    }

    static std::string dot(Mark mark, double x, double y) {
        if (mark == Mark::diamonds) {
            return "<path class=\"diamond\" d=\"M" + coordinate(x) + " " + coordinate(y - 5.5) +
                   "l5.5 5.5l-5.5 5.5l-5.5 -5.5z\"/>";
        }
        return "<circle class=\"" + std::string(mark == Mark::dots ? "dot" : "point") + "\" cx=\"" + coordinate(x) +
               "\" cy=\"" + coordinate(y) + "\" r=\"" + (mark == Mark::dots ? "4" : "2.2") + "\"/>";
    }

    [[nodiscard]] std::string axes() const {
        std::string text = "<g class=\"axes\">\n";
        for (const Tick& tick : y_ticks_) {
            text += rule_at("grid", box_.left, y_(tick.value), box_.right, y_(tick.value));
            text += text_at(box_.left - 5, y_(tick.value) + 3.5, "tick end", tick.text);
        }
        for (const Tick& tick : x_ticks_) {
            const double x = x_(tick.value), half = text_width(tick.text, small_size) / 2;
            text += rule_at("grid", x, box_.top, x, box_.bottom);
            text += text_at(std::clamp(x, half + 1, chart_width - half - 1), box_.bottom + 14, "tick middle", tick.text);
        }
        text += rule_at("axis", box_.left, box_.bottom, box_.right, box_.bottom);
        if (x_.zero_at) text += axis_break();
        text += "</g>\n";
        if (chart_.reference && named()) {
            text += rule_at("reference", x_(*chart_.reference), box_.top, x_(*chart_.reference), box_.bottom);
        } else if (chart_.reference) {
            const std::string kind = "reference\" data-at=\"" + rounded(*chart_.reference, 9);
            text += rule_at(kind.c_str(), box_.left, y_(*chart_.reference), box_.right, y_(*chart_.reference));
        }
        if (chart_.event) text += rule_at("event", x_(chart_.event->x), box_.top, x_(chart_.event->x), box_.bottom);
        text += text_at((box_.left + box_.right) / 2, box_.bottom + 28, "label middle", axis_label(chart_.x));
        if (!named()) text += text_at(4, box_.top - 9, "label", axis_label(chart_.y));
        for (std::size_t i = 0; rows_are_named() && i < chart_.y.names.size(); ++i) {
            const double y = y_(static_cast<double>(i));
            text += rule_at("grid", box_.left, y + 13, box_.right, y + 13);
            text += text_at(box_.left + 2, y - 5, "row-name", chart_.y.names[i]);
        }
        return text;
    }

    /// Between 0 and the least positive value of a logarithmic axis.
    [[nodiscard]] std::string axis_break() const {
        const double x = (x_(0) * 2 + x_(*x_.zero_at * 10)) / 3, y = box_.bottom;
        return rule_at("axis", x - 3, y + 4, x + 1, y - 4) + rule_at("axis", x + 1, y + 4, x + 5, y - 4);
    }

    [[nodiscard]] std::string marks() const {
        std::string text;
        for (const Series& series : chart_.series) {
            for (const auto& places : drawn_places(series, x_, y_, points_each())) text += mark(series, places);
        }
        return text;
    }

    [[nodiscard]] std::string mark(const Series& series, const std::vector<std::size_t>& places) const {
        std::string values, intervals;
        for (const std::size_t i : places) {
            values += reading(series.x[i]) + "," + reading(series.y[i]) + " ";
            if (!series.low.empty()) intervals += reading(series.low[i]) + "," + reading(series.high[i]) + " ";
        }
        values.pop_back();
        if (!intervals.empty()) intervals.pop_back();
        std::string text = "<g class=\"series " + colour_class(series) + "\"" + shade_style(series, "color") +
                           " data-name=\"" + escaped(series.name) + "\" data-v=\"" + values + "\"";
        if (!intervals.empty()) text += " data-b=\"" + intervals + "\"";
        if (series.along_x) text += " data-along=\"x\"";
        if (const double half = half_step(series); half > 0) text += " data-half=\"" + rounded(half, 9) + "\"";
        text += ">";
        const Points points = points_of(series, places, x_, y_);
        if (series.mark == Mark::line || series.mark == Mark::dashed || series.mark == Mark::steps) {
            if (!series.low.empty()) text += band(series, places);
            text += "<polyline class=\"line" + std::string(series.mark == Mark::dashed ? " dashed" : "") +
                    "\" points=\"" + point_list(points) + "\"/>";
        } else {
            for (std::size_t p = 0; p < places.size(); ++p) {
                if (!series.low.empty()) text += whisker(series, places[p]);
                // Dots lie below the name of their row.
                text += dot(series.mark, points[p].first, points[p].second + (rows_are_named() ? row_offset : 0));
            }
        }
        return text + "</g>\n";
    }

    [[nodiscard]] std::string band(const Series& series, const std::vector<std::size_t>& places) const {
        Points around;
        for (const std::size_t i : places) around.emplace_back(x_(series.x[i]), clamped(series.high[i]));
        for (auto i = places.rbegin(); i != places.rend(); ++i) around.emplace_back(x_(series.x[*i]), clamped(series.low[*i]));
        return "<polygon class=\"band\" points=\"" + point_list(around) + "\"/>";
    }
    [[nodiscard]] double clamped(double value) const {
        return y_.holds(value) ? std::clamp(y_(value), box_.top, box_.bottom) : box_.bottom;
    }

    [[nodiscard]] std::string whisker(const Series& series, std::size_t i) const {
        if (!std::isfinite(series.low[i]) || !std::isfinite(series.high[i])) return {};
        const double x = x_(series.x[i]), y = y_(series.y[i]);
        if (series.along_x) {
            const double shifted = y + (rows_are_named() ? row_offset : 0);
            return rule_at("whisker", x_(series.low[i]), shifted, x_(series.high[i]), shifted);
        }
        return rule_at("whisker", x, clamped(series.low[i]), x, clamped(series.high[i]));
    }

    static std::string scale_attribute(const char* name, const Scale& scale) {
        return " data-" + std::string(name) + "=\"" + (scale.logarithmic ? "log " : "linear ") +
               number_text(scale.low) + " " + number_text(scale.high) +
               (scale.zero_at ? " " + number_text(*scale.zero_at) : "") + "\"";
    }
    [[nodiscard]] std::string names_attribute() const {
        if (!named()) return {};
        std::string text;
        for (const std::string& name : chart_.y.names) text += (text.empty() ? "" : "\n") + name;
        return " data-rows=\"" + escaped(text) + "\"";
    }

    static constexpr double row_offset = 5;
    const Chart& chart_;
    std::vector<std::string> title_, note_;
    Box box_;
    Scale x_, y_;
    std::vector<Tick> x_ticks_, y_ticks_;
    double height_ = 0, legend_height_ = 0;
    std::string names_, legend_;
    bool event_below_ = false;
};

}  // namespace

std::string colour_class(const Series& series) {
    return series.colour == neutral_colour ? "sn" : "s" + std::to_string(series.colour % num_colours);
}

std::string shade_style(const Series& series, const char* property) {
    if (!series.shade) return {};
    // The ends of viridis are left out, they vanish on white and on black.
    const Colour colour = viridis()[static_cast<std::size_t>(64 + std::clamp(*series.shade, 0.0, 1.0) * 144)];
    char text[48];
    std::snprintf(text, sizeof text, " style=\"%s:#%02x%02x%02x\"", property, colour.red, colour.green, colour.blue);
    return text;
}

std::string svg(const Chart& chart) { return Drawing(chart, chart.legend == Legend::own).text({}, false); }

std::string svg_file(const Chart& chart, const std::string& style_sheet) {
    return Drawing(chart, true).text("<style>\n" + style_sheet + "</style>\n", true);
}

}  // namespace espalier
