// Pruning by sampling which edges stay: in the proportions that the rule promises, and edge by edge as its text says.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "host/cpu/cpu_backend.hpp"
#include "host/cpu/evolution/evolve.hpp"
#include "host/cpu/layer_transfer.hpp"
#include "test_layers.hpp"

namespace espalier::soft_prune_test {
namespace {

Layer layer_of(const std::vector<float>& weights) {
    Layer layer;
    layer.num_inputs = static_cast<Index>(weights.size());
    layer.num_outputs = 2;  // the second row is empty
    Topology topology{layer.num_inputs, 2, {0, static_cast<EdgeIndex>(weights.size()), static_cast<EdgeIndex>(weights.size())}, {}};
    for (Index i = 0; i < layer.num_inputs; ++i) topology.column.push_back(i);
    layer.topology = topology;
    layer.weights = weights;
    layer.bias.assign(2, 0.0F);
    return layer;
}

/// The slots that stay when `stay` of a layer's edges do.
std::set<EdgeIndex> kept(const std::vector<float>& weights, const PruneRule& rule, EdgeIndex stay, std::uint32_t event) {
    const auto loaded = layer_in_use(layer_of(weights), LayerUse{false, Sgd{}});
    auto& layer = dynamic_cast<SparseCpuLayer&>(*loaded);
    const auto edges = static_cast<EdgeIndex>(weights.size());
    static_cast<void>(prune(layer, {rule, (edges - stay + 0.5) / edges, {3, 1, event}}, 1));
    std::set<EdgeIndex> slots;
    for (EdgeIndex slot = 0; slot < edges; ++slot) slots.insert(slot);
    for (const EdgeIndex slot : layer.pruned) slots.erase(slot);
    EXPECT_EQ(slots.size(), stay);
    return slots;
}

TEST(SoftPruning, OfOneThatStaysTheChancesAreThePowersOfTheWeights) {
    const std::vector<float> weights{0.5F, -1.0F, 0.25F, 2.0F, -0.75F, 1.5F};
    for (const double power : {1.0, 2.0, 3.0}) {
        const PruneRule rule = rule_at(PruneSoftly{power, power, 0}, 0.5);
        constexpr std::uint32_t events = 6000;
        std::vector<double> count(weights.size(), 0);
        for (std::uint32_t event = 0; event < events; ++event) ++count[*kept(weights, rule, 1, event).begin()];
        double sum = 0;
        for (const float weight : weights) sum += std::pow(std::abs(weight), power);
        double chi_square = 0;
        for (std::size_t i = 0; i < weights.size(); ++i) {
            const double expected = events * std::pow(std::abs(weights[i]), power) / sum;
            chi_square += (count[i] - expected) * (count[i] - expected) / expected;
        }
        EXPECT_LT(chi_square, 25) << "power " << power << ": 5 degrees of freedom, 25 comes once in 7,000";
    }
}

TEST(SoftPruning, OfSeveralThatStayEachPairHasItsChance) {
    // without replacement: P(i first, j second) = w_i / S * w_j / (S - w_i)
    const std::vector<float> weights{1, 2, 3, 4};
    const PruneRule rule = rule_at(PruneSoftly{1, 1, 0}, 1);
    constexpr std::uint32_t events = 6000;
    std::vector<double> count(16, 0);
    for (std::uint32_t event = 0; event < events; ++event) {
        const auto slots = kept(weights, rule, 2, event);
        ++count[*slots.begin() * 4 + *slots.rbegin()];
    }
    double chi_square = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        for (std::size_t j = i + 1; j < 4; ++j) {
            const double a = weights[i], b = weights[j];
            const double expected = events * (a / 10 * b / (10 - a) + b / 10 * a / (10 - b));
            chi_square += (count[i * 4 + j] - expected) * (count[i * 4 + j] - expected) / expected;
        }
    }
    EXPECT_LT(chi_square, 25) << "5 degrees of freedom";
}

TEST(SoftPruning, ZerosGoFirstAndThePowerRisesOverTheRun) {
    const std::vector<float> weights{0, 1, -0.0F, 1e-3F, 2};
    for (std::uint32_t event = 0; event < 50; ++event) {
        EXPECT_EQ(kept(weights, rule_at(PruneSoftly{}, 0), 3, event), (std::set<EdgeIndex>{1, 3, 4}));
    }
    EXPECT_EQ(std::get<PruneSoftly>(rule_at(PruneSoftly{1, 3}, 0.25)).power, 1.5F);
    EXPECT_EQ(std::get<PruneSoftly>(rule_at(PruneSoftly{1, 3}, 1)).power, 3.0F);
}

}  // namespace
}  // namespace espalier::soft_prune_test
