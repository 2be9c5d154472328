// Statistics that compare groups of runs, as the rows of a study are.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/topology_statistics.hpp"

namespace espalier {

/// mean(a) - mean(b) of independent values with its Welch interval (unequal variances); infinite if either side holds a
/// single value. At least one value each. `count` is the smaller side's.
MeanInterval welch_difference(const std::vector<double>& a, const std::vector<double>& b, double confidence = 0.95);

/// Does a figure rise from group to group?
struct RankTrend {
    double ascending = 0.5;  // share of the pairs of different groups in ascending order, ties half; 0.5: chance
    double p_value = 1;      // two-sided
};

/// Jonckheere and Terpstra's test of an ordered alternative by permutation: null hypothesis: the groups are one.
/// p = (1 + permutations at least as far from 0.5) / (1 + permutations). At least two groups with a value.
/// Source: Jonckheere, Biometrika 41, 1954.
RankTrend rank_trend(const std::vector<std::vector<double>>& groups, std::uint32_t permutations = 99999,
                     std::uint64_t seed = 1);

}  // namespace espalier
