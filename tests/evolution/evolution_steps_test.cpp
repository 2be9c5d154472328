// The steps of topology evolution by themselves: what the shared templates do under other policies is what the CPU
// backend does its own way.
#include "espalier/common/evolution_steps.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/system/omp/execution_policy.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "alternatives.hpp"
#include "espalier/common/evolve.hpp"
#include "espalier/topology.hpp"
#include "host/cpu/evolution/prune_cut.hpp"

namespace espalier {
namespace {

struct VectorScratch {
    std::vector<std::unique_ptr<std::byte[]>> blocks;
    template <class T>
    T* take(std::size_t count) {
        blocks.push_back(std::make_unique<std::byte[]>(count * sizeof(T) + 1));
        return reinterpret_cast<T*>(blocks.back().get());
    }
};

/// The cut of `count` scores, by sorting all their keys.
PruneCut cut_by_sorting(const float* scores, EdgeIndex count, const PruneOrder& order, double zeta) {
    std::vector<std::uint32_t> keys(count);
    std::transform(scores, scores + count, keys.begin(), order);
    std::sort(keys.begin(), keys.end());
    const auto below = [&](std::uint32_t key) {
        return static_cast<EdgeIndex>(std::lower_bound(keys.begin(), keys.end(), key) - keys.begin());
    };
    const auto up_to = [&](std::uint32_t key) {
        return static_cast<EdgeIndex>(std::upper_bound(keys.begin(), keys.end(), key) - keys.begin());
    };
    PruneCut cut;
    for (int group = 0; group < order.num_groups; ++group) {
        const EdgeIndex begin = below(order.first[group]);
        cut.quota[group] = prune_quota(zeta, up_to(order.last[group]) - begin);
        if (cut.quota[group] == 0) continue;
        cut.threshold[group] = keys[begin + cut.quota[group] - 1];
        const EdgeIndex tie_begin = below(cut.threshold[group]);
        cut.ties[group] = up_to(cut.threshold[group]) - tie_begin;
        cut.ties_taken[group] = begin + cut.quota[group] - tie_begin;
    }
    return cut;
}

/// The slots that go by it, ascending; of ties those that come first.
std::vector<EdgeIndex> slots_of(const PruneCut& cut, const float* scores, EdgeIndex count, const PruneOrder& order) {
    std::vector<EdgeIndex> slots;
    EdgeIndex ties[PruneOrder::max_groups] = {};
    for (EdgeIndex slot = 0; slot < count; ++slot) {
        const std::uint32_t key = order(scores[slot]);
        for (int group = 0; group < order.num_groups; ++group) {
            if (cut.quota[group] == 0 || key < order.first[group] || key > cut.threshold[group]) continue;
            if (key < cut.threshold[group] || ties[group]++ < cut.ties_taken[group]) slots.push_back(slot);
        }
    }
    return slots;
}

TEST(EvolutionSteps, CutsAndViewsAgreeWithThoseBySorting) {
    EXPECT_TRUE(rc::check("cuts by sorting and by counting, views by sorting", [] {
        const auto count = *rc::gen::inRange<EdgeIndex>(1, 3000);
        const auto seed = *rc::gen::arbitrary<std::uint64_t>();
        const bool ties = *rc::gen::arbitrary<bool>();
        const double zeta = *rc::gen::inRange(0, 101) / 100.0;
        const Stream stream{seed, Purpose::sample, 0, 0};
        std::vector<float> weights(count);
        for (EdgeIndex i = 0; i < count; ++i) {
            // all floats there are, NaN and subnormals too; or few
            const std::uint32_t bits = ties ? (stream.bits(i) & 0xc0c00000U) : stream.bits(i);
            std::memcpy(&weights[i], &bits, sizeof bits);
        }
        const Topology one_row = full_topology(count, 1);
        const CsrView edges{count, 1, count, one_row.row_start.data(), one_row.column.data()};
        for (const PruneRule& rule : alternatives<PruneRule>()) {
            VectorScratch scratch;
            const auto [scores, order] = prune_scores(thrust::omp::par, scratch, rule, edges, weights.data(), stream);
            const PruneCut sorted = cut_by_sorting(scores, count, order, zeta);
            const std::vector<EdgeIndex> slots = slots_of(sorted, scores, count, order);
            RC_ASSERT(slots.size() == sorted.total());
            for (const int threads : {1, 3}) {
                const PruneCut counted = cut_by_counting(scores, count, order, zeta, threads);
                for (int group = 0; group < order.num_groups; ++group) {
                    RC_ASSERT(counted.quota[group] == sorted.quota[group]);
                    if (sorted.quota[group] == 0) continue;
                    RC_ASSERT(counted.threshold[group] == sorted.threshold[group]);
                    RC_ASSERT(counted.ties[group] == sorted.ties[group]);
                    RC_ASSERT(counted.ties_taken[group] == sorted.ties_taken[group]);
                }
                std::vector<EdgeIndex> own(count);
                const PruneCut resolved = resolve_ties(thrust::seq, scores, count, order, counted, own.data());
                own.resize(cut_slots(scores, count, order, resolved, own.data(), threads));
                RC_ASSERT(own == slots);
            }
        }
        const Topology topology = random_topology(100, 80, std::min<Cell>(count, 8000), BernoulliCells{},
                                                  Stream{seed, Purpose::topology, 0, 0});
        const TransposedView view = transposed(topology);
        VectorScratch scratch;
        std::vector<EdgeIndex> start(101);
        std::vector<Index> row(topology.num_edges());
        std::vector<EdgeIndex> slot(topology.num_edges());
        transpose_by_sorting(thrust::omp::par, scratch,
                             CsrView{100, 80, topology.num_edges(), topology.row_start.data(), topology.column.data()},
                             start.data(), row.data(), slot.data());
        RC_ASSERT(start == view.column_start);
        RC_ASSERT(row == view.row);
        RC_ASSERT(slot == view.slot);
    }));
}

TEST(EvolutionSteps, ComplementMapsRanks) {
    EXPECT_TRUE(rc::check("rank r is the r-th number left out", [] {
        const auto size = *rc::gen::inRange<std::uint32_t>(1, 2000);
        const auto count = *rc::gen::inRange<std::uint32_t>(0, size + 1);
        std::vector<std::uint32_t> listed(count);
        draw_distinct(thrust::seq, size, count, Stream{size, Purpose::sample, count, 0}, listed.data());
        std::vector<std::uint32_t> all(size - count);
        complement(thrust::omp::par, listed.data(), count, thrust::counting_iterator<std::uint32_t>(0), size - count,
                   all.data());
        all.insert(all.end(), listed.begin(), listed.end());
        std::sort(all.begin(), all.end());
        for (std::uint32_t i = 0; i < size; ++i) RC_ASSERT(all[i] == i);
    }));
}

}  // namespace
}  // namespace espalier
