// What charts are drawn of: texts and lines of SVG, and which points of a series.
#pragma once

#include <string>
#include <vector>

#include "host/report/chart_labels.hpp"

namespace espalier {

/// A length to a tenth of a unit.
std::string coordinate(double value);

/// A value as readings under the pointer show it.
std::string reading(double value);

std::string text_at(double x, double y, const std::string& kind, const std::string& content);
std::string rule_at(const char* kind, double x1, double y1, double x2, double y2);

/// Lines of at most so many units.
std::vector<std::string> wrapped(const std::string& text, double width, double size);

/// Places of a series' points that are drawn: stretches without gaps; those of a line longer than `most` keep the lowest
/// and highest of every bucket.
std::vector<std::vector<std::size_t>> drawn_places(const Series& series, const Scale& x, const Scale& y,
                                                   std::size_t most);

/// Half the width of the bins of steps; 0 for other marks.
double half_step(const Series& series);

Points points_of(const Series& series, const std::vector<std::size_t>& places, const Scale& x, const Scale& y);

/// "1,2 3,4".
std::string point_list(const Points& points);

}  // namespace espalier
