#include "host/cpu/evolution/prune_cut.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "host/cpu/evolution/prune_scan.hpp"

namespace espalier {

namespace {

// Keys are counted by their leading bits: for a float the sign, the exponent and two bits of the mantissa.
constexpr std::uint32_t shift = 21;
constexpr std::uint32_t num_bins = 1U << (32 - shift);

/// Where part `part` of `parts` begins.
EdgeIndex cut_at(EdgeIndex count, EdgeIndex part, EdgeIndex parts) {
    return static_cast<EdgeIndex>(std::uint64_t{count} * part / parts);
}

std::vector<EdgeIndex> count_keys(const float* weights, EdgeIndex count, const PruneOrder& order, int threads) {
    std::vector<EdgeIndex> total(num_bins, 0);
    const auto parts = static_cast<EdgeIndex>(threads);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (EdgeIndex part = 0; part < parts; ++part) {
        // two sets in turn, for neighbours that fall into the same bin wait for each other
        std::vector<EdgeIndex> even(num_bins, 0);
        std::vector<EdgeIndex> odd(num_bins, 0);
        EdgeIndex i = cut_at(count, part, parts);
        const EdgeIndex end = cut_at(count, part + 1, parts);
        for (; end - i >= 2; i += 2) {
            ++even[order(weights[i]) >> shift];
            ++odd[order(weights[i + 1]) >> shift];
        }
        if (i < end) ++even[order(weights[i]) >> shift];
#pragma omp critical(espalier_count_keys)
        for (std::uint32_t bin = 0; bin < num_bins; ++bin) total[bin] += even[bin] + odd[bin];
    }
    return total;
}

}  // namespace

PruneCut cut_by_counting(const float* weights, EdgeIndex count, const PruneOrder& order, double zeta, int threads) {
    PruneCut cut;
    auto bins = count_keys(weights, count, order, threads);
    for (int group = 0; group < order.num_groups; ++group) {
        const std::uint32_t first = order.first[group];
        const std::uint32_t first_bin = first >> shift;
        if (const std::uint32_t strangers = first & ((1U << shift) - 1); strangers > 0) {
            bins[first_bin] -= count_keys_between(weights, count, order.mask, first - strangers, first - 1);
        }
        const auto begin = bins.begin() + first_bin;
        cut.quota[group] =
            prune_quota(zeta, std::accumulate(begin, bins.begin() + (order.last[group] >> shift) + 1, EdgeIndex{0}));
        if (cut.quota[group] == 0) continue;
        EdgeIndex rank = cut.quota[group];  // of the last edge that goes, among those of its bin, from 1
        std::uint32_t bin = first_bin;
        for (; bins[bin] < rank; ++bin) rank -= bins[bin];
        std::vector<std::uint32_t> keys(bins[bin] + select_padding);
        keys.resize(keys_between(weights, count, order.mask, std::max(first, bin << shift),
                                 (bin << shift) + ((1U << shift) - 1), keys.data()));
        std::nth_element(keys.begin(), keys.begin() + (rank - 1), keys.end());
        cut.threshold[group] = keys[rank - 1];
        const auto below = std::count_if(keys.begin(), keys.end(), [&](auto key) { return key < keys[rank - 1]; });
        cut.ties[group] = static_cast<EdgeIndex>(std::count(keys.begin(), keys.end(), keys[rank - 1]));
        cut.ties_taken[group] = rank - static_cast<EdgeIndex>(below);
    }
    return cut;
}

EdgeIndex cut_slots(const float* weights, EdgeIndex count, const PruneOrder& order, const PruneCut& cut,
                    EdgeIndex* pruned, int threads) {
    const detail::IsCut goes(weights, order, cut);
    const auto parts = static_cast<EdgeIndex>(threads);
    const auto start = [&](EdgeIndex part) { return cut_at(count, part, parts); };
    std::vector<EdgeIndex> found(parts, 0);
    // every part writes where its own slots would lie, which has room
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (EdgeIndex part = 0; part < parts; ++part) {
        found[part] = slots_cut(goes, start(part), start(part + 1), pruned + start(part));
    }
    EdgeIndex total = found[0];
    for (EdgeIndex part = 1; part < parts; ++part) {
        std::copy_n(pruned + start(part), found[part], pruned + total);
        total += found[part];
    }
    return total;
}

}  // namespace espalier
