#include "host/report/chart_labels.hpp"

#include <algorithm>
#include <cmath>

namespace espalier {

Occupancy::Occupancy(const Box& box)
    : box_(box),
      columns_(static_cast<std::size_t>((box.right - box.left) / cell) + 1),
      rows_(static_cast<std::size_t>((box.bottom - box.top) / cell) + 1),
      taken_(columns_ * rows_, false) {}

std::size_t Occupancy::column(double x) const {
    return std::min(columns_ - 1, static_cast<std::size_t>(std::max(0.0, (x - box_.left) / cell)));
}

std::size_t Occupancy::row(double y) const {
    return std::min(rows_ - 1, static_cast<std::size_t>(std::max(0.0, (y - box_.top) / cell)));
}

void Occupancy::take(const Box& area) {
    for (std::size_t r = row(area.top); r <= row(area.bottom); ++r) {
        for (std::size_t c = column(area.left); c <= column(area.right); ++c) taken_[r * columns_ + c] = true;
    }
}

void Occupancy::take_line(const Points& points) {
    for (std::size_t i = 0; i < points.size(); ++i) {
        const auto [x, y] = points[i];
        const auto [to_x, to_y] = points[std::min(i + 1, points.size() - 1)];
        const double length = std::max(std::abs(to_x - x), std::abs(to_y - y));
        const int steps = 1 + static_cast<int>(length / cell);
        for (int s = 0; s <= steps; ++s) {
            const double part = static_cast<double>(s) / steps;
            taken_[row(y + part * (to_y - y)) * columns_ + column(x + part * (to_x - x))] = true;
        }
    }
}

bool Occupancy::is_free(const Box& area) const {
    if (area.left < box_.left || area.right > box_.right || area.top < box_.top || area.bottom > box_.bottom) {
        return false;
    }
    for (std::size_t r = row(area.top); r <= row(area.bottom); ++r) {
        for (std::size_t c = column(area.left); c <= column(area.right); ++c) {
            if (taken_[r * columns_ + c]) return false;
        }
    }
    return true;
}

std::optional<LabelPlace> place_label(Occupancy& plot, const Points& points, const std::string& text, double size) {
    if (points.empty()) return std::nullopt;
    const double half = text_width(text, size) / 2 + 2;
    for (const double part : {0.92, 0.8, 1.0, 0.65, 0.5, 0.35, 0.2, 0.08}) {
        const auto [x, y] = points[static_cast<std::size_t>(part * static_cast<double>(points.size() - 1))];
        const double middle = std::clamp(x, plot.box().left + half + 1, plot.box().right - half - 1);
        for (const double base : {y - 5, y + size + 4, y - 10, y + size + 9}) {
            const Box area{middle - half, base - size, middle + half, base + 2.5};
            if (!plot.is_free(area)) continue;
            plot.take(area);
            return LabelPlace{middle, base};
        }
    }
    return std::nullopt;
}

}  // namespace espalier
