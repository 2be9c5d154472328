// Names beside their lines, where nothing else is drawn.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/report/chart_scale.hpp"

namespace espalier {

using Points = std::vector<std::pair<double, double>>;

/// Which parts of a plot are taken, on a grid of small cells.
class Occupancy {
public:
    explicit Occupancy(const Box& box);
    void take(const Box& area);
    void take_line(const Points& points);
    [[nodiscard]] bool is_free(const Box& area) const;
    [[nodiscard]] const Box& box() const { return box_; }

private:
    static constexpr double cell = 2.5;
    [[nodiscard]] std::size_t column(double x) const;
    [[nodiscard]] std::size_t row(double y) const;

    Box box_;
    std::size_t columns_, rows_;
    std::vector<bool> taken_;
};

struct LabelPlace {
    double x = 0, y = 0;  // middle of the text, its base line
};

/// A free place for a text of `size` close to one of the points, the later ones first; takes it.
std::optional<LabelPlace> place_label(Occupancy& plot, const Points& points, const std::string& text, double size);

}  // namespace espalier
