#include "host/topology/group_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "espalier/error.hpp"
#include "espalier/random.hpp"

namespace espalier {
namespace {

/// Twice the number of ascending pairs of different groups: whole numbers, ties included. `place` holds each value's
/// group, ascending in `values`' own order.
std::int64_t ascending_pairs(const std::vector<double>& values, const std::vector<std::size_t>& place) {
    std::int64_t twice = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        for (std::size_t j = i + 1; j < values.size(); ++j) {
            if (place[i] == place[j]) continue;
            twice += values[i] < values[j] ? 2 : values[i] == values[j] ? 1 : 0;
        }
    }
    return twice;
}

double square_error(const std::vector<double>& values, double mean) {
    double squares = 0;
    for (const double value : values) squares += (value - mean) * (value - mean);
    const auto count = static_cast<double>(values.size());
    return squares / (count - 1) / count;
}

}  // namespace

MeanInterval welch_difference(const std::vector<double>& a, const std::vector<double>& b, double confidence) {
    const double mean_a = mean_interval(a).mean, mean_b = mean_interval(b).mean;
    MeanInterval difference{mean_a - mean_b, std::numeric_limits<double>::infinity(), std::min(a.size(), b.size())};
    if (difference.count < 2) return difference;
    const double of_a = square_error(a, mean_a), of_b = square_error(b, mean_b);
    const double both = of_a + of_b;
    if (both == 0) {
        difference.half_width = 0;
        return difference;
    }
    // Welch and Satterthwaite's degrees of freedom
    const double freedom =
        both * both /
        (of_a * of_a / static_cast<double>(a.size() - 1) + of_b * of_b / static_cast<double>(b.size() - 1));
    difference.half_width = student_quantile(confidence, std::max(1.0, freedom)) * std::sqrt(both);
    return difference;
}

RankTrend rank_trend(const std::vector<std::vector<double>>& groups, std::uint32_t permutations, std::uint64_t seed) {
    std::vector<double> values;
    std::vector<std::size_t> place;
    std::int64_t pairs = 0;
    for (std::size_t g = 0; g < groups.size(); ++g) {
        pairs += static_cast<std::int64_t>(values.size() * groups[g].size());
        for (const double value : groups[g]) {
            values.push_back(value);
            place.push_back(g);
        }
    }
    expects(pairs > 0, "at least two groups with a value");
    const std::int64_t found = ascending_pairs(values, place);
    std::uint64_t as_far = 0;
    std::vector<double> dealt(values.size());
    for (std::uint32_t p = 0; p < permutations; ++p) {
        const Permutation order(values.size(), Stream{seed, Purpose::permutation_test, 1, p});
        for (std::size_t i = 0; i < values.size(); ++i) dealt[i] = values[order(i)];
        if (std::abs(ascending_pairs(dealt, place) - pairs) >= std::abs(found - pairs)) ++as_far;
    }
    return {static_cast<double>(found) / static_cast<double>(2 * pairs),
            (1.0 + static_cast<double>(as_far)) / (1.0 + permutations)};
}

}  // namespace espalier
