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
            const PruneCut sorted = cut_by_sorting(thrust::seq, scratch, scores, count, order, zeta);
            std::vector<EdgeIndex> slots(count);
            slots.resize(pruned_slots(thrust::omp::par, scores, count, order, sorted, slots.data()));
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

/// A reduction may begin with its initial value or end with it, which no library promises.
TEST(EvolutionSteps, ACutComesOutOfAReductionInEitherOrder) {
    const auto fields = [](const PruneCut& cut) {
        std::vector<std::uint32_t> all;
        for (int group = 0; group < PruneOrder::max_groups; ++group) {
            all.insert(all.end(), {cut.quota[group], cut.threshold[group], cut.ties[group], cut.ties_taken[group],
                                   cut.tie_slots[group]});
        }
        return all;
    };
    const detail::EitherCut either;
    // edges go of the negative ones, of the positive ones, of both, of none
    for (const auto& [negative, positive] : {std::pair{8, 1}, {1, 8}, {6, 7}, {1, 1}}) {
        std::vector<float> weights(static_cast<std::size_t>(negative), -0.5F);
        weights.insert(weights.end(), static_cast<std::size_t>(positive), 0.25F);
        const PruneOrder order = PruneBySign{}.order();
        std::vector<std::uint32_t> keys(weights.size());
        std::transform(weights.begin(), weights.end(), keys.begin(), order);
        std::sort(keys.begin(), keys.end());
        const PruneCut cut = detail::CutSortedKeys{keys.data(), static_cast<EdgeIndex>(keys.size()), order, 0.3}(0);
        ASSERT_EQ(cut.total(), static_cast<EdgeIndex>(negative * 3 / 10 + positive * 3 / 10));
        EXPECT_EQ(fields(either(PruneCut{}, cut)), fields(cut));
        EXPECT_EQ(fields(either(cut, PruneCut{})), fields(cut));
    }
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

TEST(EvolutionSteps, BornWeightsAreTheLawsDraws) {
    const std::vector<std::uint64_t> cells{0, 1, 5, std::uint64_t{1} << 35};
    const Stream stream{1, Purpose::new_weight, 2, 3};
    std::vector<float> weights(cells.size());
    born_weights(thrust::seq, HeNormal{}, stream, 50, cells.data(), 4, weights.data());
    for (std::size_t i = 0; i < cells.size(); ++i) EXPECT_EQ(weights[i], HeNormal{}(stream.bits(cells[i]), 50));
}

}  // namespace
}  // namespace espalier
