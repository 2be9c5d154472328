// Pearson's chi-square for equally likely outcomes.
#pragma once

#include <cmath>
#include <vector>

namespace espalier {

/// How far chi-square lies from its mean, in its standard deviations; all outcomes listed, `expected` each.
inline double chi_square_deviation(const std::vector<double>& count, double expected) {
    double sum = 0;
    for (const double each : count) sum += (each - expected) * (each - expected) / expected;
    const auto freedom = static_cast<double>(count.size()) - 1;
    return (sum - freedom) / std::sqrt(2 * freedom);
}

}  // namespace espalier
