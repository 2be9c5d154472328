#include "espalier/topology_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "espalier/error.hpp"
#include "espalier/random.hpp"

namespace espalier {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

struct Range {
    Index begin = 0, end = 0;
};

/// Positions along one side of the image that the square number `i` covers.
Range covered(Index side, Index i) {
    const Index before = (side - 1) / 2;
    return {before >= i ? before - i : 0, std::min(side, side / 2 + i + 1)};
}

Index num_squares(const PixelMap& map) { return (std::max(map.height, map.width) + 1) / 2; }

struct Total {
    double sum = 0;
    double pixels = 0;
};

Total total_within(const PixelMap& map, Range rows, Range columns) {
    Total total;
    for (Index y = rows.begin; y < rows.end; ++y) {
        for (Index x = columns.begin; x < columns.end; ++x) total.sum += map.values[std::size_t{y} * map.width + x];
    }
    total.pixels = static_cast<double>(rows.end - rows.begin) * static_cast<double>(columns.end - columns.begin);
    return total;
}

/// Sums over the centred squares, smallest first.
std::vector<Total> square_totals(const PixelMap& map) {
    std::vector<Total> totals;
    for (Index i = 0; i < num_squares(map); ++i) {
        totals.push_back(total_within(map, covered(map.height, i), covered(map.width, i)));
    }
    return totals;
}

void expect_pixels(const PixelMap& map) {
    expects(!map.values.empty() && map.values.size() == std::size_t{map.height} * map.width, "one number per pixel");
}

/// `side` checked, or the default one for 0.
Index centre_side(const PixelMap& map, Index side) {
    expect_pixels(map);
    expects(side <= std::min(map.height, map.width), "a centre square within the image");
    return side == 0 ? default_centre_side(map) : side;
}

Total centre_total(const PixelMap& map, Index side) {
    const Index top = (map.height - side) / 2;
    const Index left = (map.width - side) / 2;
    return total_within(map, {top, top + side}, {left, left + side});
}

/// The continued fraction of the incomplete beta function by Lentz's method. Source: DLMF 8.17.22.
double beta_fraction(double a, double b, double x) {
    constexpr double tiny = 1e-300;
    const auto not_zero = [](double value) { return std::abs(value) < tiny ? tiny : value; };
    double c = 1;
    double d = 1 / not_zero(1 - (a + b) * x / (a + 1));
    double value = d;
    for (int m = 1; m <= 500; ++m) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double step = 1;
        for (const double term : {even, odd}) {
            d = 1 / not_zero(1 + term * d);
            c = not_zero(1 + term / c);
            step = c * d;
            value *= step;
        }
        if (std::abs(step - 1) < 1e-15) break;
    }
    return value;
}

/// The regularized incomplete beta function I_x(a, b), 0 <= x <= 1.
double incomplete_beta(double a, double b, double x) {
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    if (x > (a + 1) / (a + b + 2)) return 1 - incomplete_beta(b, a, 1 - x);
    const double front =
        std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
    return front * beta_fraction(a, b, x) / a;
}

}  // namespace

PixelMap pixel_map(const std::vector<EdgeIndex>& input_degrees, const ImageShape& shape) {
    expects(shape.inputs() > 0 && input_degrees.size() == shape.inputs(), "one degree per input of the image");
    PixelMap map{shape.height, shape.width, {}};
    map.values.assign(std::size_t{shape.height} * shape.width, 0.0);
    for (std::size_t i = 0; i < input_degrees.size(); ++i) map.values[i % map.values.size()] += input_degrees[i];
    return map;
}

double mean(const PixelMap& map) {
    expect_pixels(map);
    const Total total = total_within(map, {0, map.height}, {0, map.width});
    return total.sum / total.pixels;
}

std::vector<double> trend_curve(const PixelMap& map) {
    expect_pixels(map);
    std::vector<double> curve;
    for (const Total& total : square_totals(map)) curve.push_back(total.sum / total.pixels);
    return curve;
}

std::vector<double> ring_curve(const PixelMap& map) {
    expect_pixels(map);
    std::vector<double> curve;
    Total inner;
    for (const Total& total : square_totals(map)) {
        curve.push_back((total.sum - inner.sum) / (total.pixels - inner.pixels));
        inner = total;
    }
    return curve;
}

Index default_centre_side(const PixelMap& map) { return std::max<Index>(1, std::min(map.height, map.width) / 2); }

double contrast(const PixelMap& map, Index side) {
    const Total centre = centre_total(map, centre_side(map, side));
    const double overall = mean(map);
    return overall > 0 ? centre.sum / centre.pixels / overall - 1 : nan;
}

double margin_contrast(const PixelMap& map, Index width) {
    const double overall = mean(map);
    const Index shorter = std::min(map.height, map.width);
    if (width == 0) width = std::max<Index>(1, shorter / 14);
    const Total all = total_within(map, {0, map.height}, {0, map.width});
    Total inside;
    if (2 * width < shorter) inside = total_within(map, {width, map.height - width}, {width, map.width - width});
    return overall > 0 ? (all.sum - inside.sum) / (all.pixels - inside.pixels) / overall - 1 : nan;
}

double correlation(const PixelMap& a, const PixelMap& b) {
    expects(a.height == b.height && a.width == b.width, "two maps of one shape");
    const double mean_a = mean(a);
    const double mean_b = mean(b);
    double product = 0, square_a = 0, square_b = 0;
    for (std::size_t i = 0; i < a.values.size(); ++i) {
        const double from_a = a.values[i] - mean_a;
        const double from_b = b.values[i] - mean_b;
        product += from_a * from_b;
        square_a += from_a * from_a;
        square_b += from_b * from_b;
    }
    if (square_a <= 0 || square_b <= 0) return nan;
    return std::clamp(product / std::sqrt(square_a * square_b), -1.0, 1.0);
}

const char* name(Learning learning) {
    switch (learning) {
        case Learning::positive:
            return "positive";
        case Learning::negative:
            return "negative";
        default:
            return "undecided";
    }
}

SignTest sign_test(const PixelMap& map, Index side, double level, std::uint32_t permutations, std::uint64_t seed) {
    side = centre_side(map, side);
    SignTest test;
    test.contrast = contrast(map, side);
    if (std::isnan(test.contrast)) return test;

    // A permutation's contrast depends only on which values fall into the centre: draw those, without replacement.
    const auto size = static_cast<std::uint32_t>(map.values.size());
    const std::uint32_t drawn = side * side;
    const double expected = mean(map) * drawn;
    // Equal sums must count as equal however they were added up.
    const double far = std::abs(centre_total(map, side).sum - expected) - 1e-9 * std::abs(expected);
    std::vector<double> values = map.values;
    std::uint64_t as_far = 0;
    for (std::uint32_t p = 0; p < permutations; ++p) {
        const Stream stream{seed, Purpose::permutation_test, 0, p};
        double sum = 0;
        for (std::uint32_t i = 0; i < drawn; ++i) {
            std::swap(values[i], values[i + bounded(stream.bits(i), size - i)]);
            sum += values[i];
        }
        if (std::abs(sum - expected) >= far) ++as_far;
    }
    test.p_value = static_cast<double>(1 + as_far) / (1.0 + permutations);
    if (test.p_value <= level) test.learning = test.contrast > 0 ? Learning::positive : Learning::negative;
    return test;
}

double student_quantile(double confidence, double freedom) {
    expects(confidence > 0 && confidence < 1 && freedom >= 1, "a confidence within (0, 1) and freedom of at least 1");
    // P(|T| >= t) = I_x(freedom / 2, 1 / 2) at x = freedom / (freedom + t^2): falls with t.
    const auto outside = [&](double t) { return incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t)); };
    double low = 0, high = 1;
    while (outside(high) > 1 - confidence) high *= 2;
    for (int i = 0; i < 200 && high - low > 1e-13 * high; ++i) {
        const double middle = 0.5 * (low + high);
        (outside(middle) > 1 - confidence ? low : high) = middle;
    }
    return 0.5 * (low + high);
}

MeanInterval mean_interval(const std::vector<double>& values, double confidence) {
    expects(!values.empty(), "at least one value");
    MeanInterval interval;
    interval.count = values.size();
    const auto count = static_cast<double>(values.size());
    for (const double value : values) interval.mean += value / count;
    interval.half_width = std::numeric_limits<double>::infinity();
    if (values.size() == 1) return interval;
    double squares = 0;
    for (const double value : values) squares += (value - interval.mean) * (value - interval.mean);
    interval.half_width = student_quantile(confidence, count - 1) * std::sqrt(squares / (count - 1) / count);
    return interval;
}

Learning verdict(const MeanInterval& contrast) {
    if (contrast.low() > 0) return Learning::positive;
    if (contrast.high() < 0) return Learning::negative;
    return Learning::undecided;
}

TopologyOverlap overlap(const Topology& a, const Topology& b) {
    expects(a.num_inputs == b.num_inputs && a.num_outputs == b.num_outputs, "two topologies of one shape");
    TopologyOverlap result;
    for (Index row = 0; row < a.num_outputs; ++row) {
        auto in_a = a.row_start[row];
        auto in_b = b.row_start[row];
        while (in_a < a.row_start[row + 1] && in_b < b.row_start[row + 1]) {
            const Index column_a = a.column[in_a];
            const Index column_b = b.column[in_b];
            if (column_a == column_b) ++result.shared;
            if (column_a <= column_b) ++in_a;
            if (column_b <= column_a) ++in_b;
        }
    }
    const auto cells = static_cast<double>(a.num_cells());
    const double edges_a = a.num_edges();
    const double edges_b = b.num_edges();
    const auto shared = static_cast<double>(result.shared);
    result.expected = edges_a * edges_b / cells;
    const double variance =
        cells > 1 ? result.expected * (cells - edges_a) / cells * (cells - edges_b) / (cells - 1) : 0;
    result.deviation = variance > 0 ? (shared - result.expected) / std::sqrt(variance) : nan;
    const double either = edges_a + edges_b - shared;
    result.jaccard = either > 0 ? shared / either : nan;
    const double most = std::min(edges_a, edges_b);
    result.similarity = most > result.expected ? (shared - result.expected) / (most - result.expected) : nan;
    return result;
}

}  // namespace espalier
