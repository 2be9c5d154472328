// Evolution on the CUDA backend gives the CPU backend's layers, to the bit: topology, weights, optimizer memory,
// degrees.
#include <cmath>
#include <cstdlib>

#include "alternatives.hpp"
#include "backend_fixture.hpp"

namespace espalier {
namespace {

class CudaEvolution : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Backends, CudaEvolution, ::testing::ValuesIn(cuda_backends()), backend_test_name);

void expect_same_degrees(Backend& got, const DeviceLayer& layer, const Layer& want) {
    const Degrees found = got.degrees(layer);
    const Degrees expected = degrees(*want.topology);
    EXPECT_EQ(found.inputs, expected.inputs);
    EXPECT_EQ(found.outputs, expected.outputs);
}

/// A layer with distinct optimizer memory; `values` weights to choose from, 0: all different.
Layer evolving_layer(const Shape& shape, int values, TestRandom& random) {
    Layer layer = test_layer(shape, Relu{}, 1, random);
    for (std::size_t e = 0; e < layer.weights.size(); ++e) {
        if (values > 0) layer.weights[e] = static_cast<float>(static_cast<int>(random() % values) - values / 2);
        layer.weight_state[0][e] = 1000 + static_cast<float>(e);
    }
    return layer;
}

struct Evolution {
    PruneRule prune;
    WeightLaw law;
    double zeta = 0.3;
    GrowRule grow = GrowRandom{};
    bool reset_state = true;
    bool by_input = true;
    bool remove_at_end = false;
};

void expect_same_evolution(Backend& cuda, const Layer& layer, const Evolution& what) {
    const auto cpu = backend_for_test("cpu", 1);
    const LayerUse use{what.by_input, Momentum{}};
    const auto one = cpu->load(layer, use);
    const auto other = cuda.load(layer, use);
    // equal evidence, which rules that look at no gradients pass over
    TestRandom random(11);
    const Index samples = layer.num_inputs > 1000 ? 2 : 130;
    const oracle::Matrix x = random_matrix(layer.num_inputs, samples, 1, random);
    const oracle::Matrix dz = random_matrix(layer.num_outputs, samples, 1, random);
    const DeviceMatrix cpu_x(*cpu, x), cpu_dz(*cpu, dz), cuda_x(cuda, x), cuda_dz(cuda, dz);
    for (std::uint32_t event = 0; event < 3; ++event) {
        SCOPED_TRACE("evolution " + std::to_string(event));
        const Pruned expected = cpu->prune(*one, {what.prune, what.zeta, {7, 3, event}});
        const Pruned found = cuda.prune(*other, {what.prune, what.zeta, {7, 3, event}});
        EXPECT_EQ(found.positive, expected.positive);
        EXPECT_EQ(found.negative, expected.negative);
        EXPECT_EQ(found.zero, expected.zero);
        expect_identical(cuda.store(*other), cpu->store(*one));
        if (what.remove_at_end && event == 2) {
            cpu->remove(*one);
            cuda.remove(*other);
        } else {
            const auto regrowth = [&](const Evidence& evidence) {
                return Regrowth{what.grow, what.law, what.reset_state, {7, 3, event}, evidence};
            };
            EXPECT_EQ(cuda.regrow(*other, regrowth({cuda_x, cuda_dz})), cpu->regrow(*one, regrowth({cpu_x, cpu_dz})));
        }
        const Layer after = cpu->store(*one);
        expect_identical(cuda.store(*other), after);
        expect_same_degrees(cuda, *other, after);
        if (testing::Test::HasFailure()) return;
    }
}

TEST_P(CudaEvolution, EvolvesToTheBitAsTheCpu) {
    TestRandom random(1);
    for (const auto& shape : {Shape{1, 1, 1, 1}, Shape{3, 2, 0, 1}, Shape{40, 30, 0.3, 1}, Shape{17, 90, 0.9, 1},
                              Shape{6, 5, 1, 1}, Shape{300, 211, 0.05, 1}}) {
        for (const auto& prune : alternatives<PruneRule>()) {
            for (const int values : {0, 5}) {
                for (const double zeta : {0.0, 0.3, 1.0}) {
                    SCOPED_TRACE(printed(shape) + ", " + rule_text(prune) + ", zeta " + std::to_string(zeta) + ", " +
                                 std::to_string(values) + " weights");
                    const Layer layer = evolving_layer(shape, values, random);
                    expect_same_evolution(backend(), layer, {prune, HeNormal{}, zeta, GrowRandom{}, true, true, false});
                    expect_same_evolution(backend(), layer,
                                          {prune, HeNormal{}, zeta, GrowRandom{true}, false, false, true});
                }
            }
        }
    }
}

TEST_P(CudaEvolution, DrawsEveryLawsWeightsAsTheCpu) {
    TestRandom random(2);
    const Layer layer = evolving_layer({70, 60, 0.2, 1}, 0, random);
    for (const auto& law : alternatives<WeightLaw>()) {
        SCOPED_TRACE(rule_text(law));
        expect_same_evolution(backend(), layer, {PruneBySign{}, law, 0.5, GrowRandom{}, false, true, true});
    }
}

TEST_P(CudaEvolution, GrowsByEveryRuleAsTheCpu) {
    TestRandom random(5);
    for (const auto& shape : {Shape{1, 1, 1, 1}, Shape{17, 90, 0.9, 1}, Shape{300, 211, 0.05, 1}}) {
        const Layer layer = evolving_layer(shape, 0, random);
        for (const auto& grow : alternatives<GrowRule>()) {
            if (is_cpu_only(grow)) continue;  // refused before a run: CudaTraining, RefusesWhatOnlyTheCpuGrowsBy
            SCOPED_TRACE(printed(shape) + ", " + rule_text(grow));
            expect_same_evolution(backend(), layer, {PruneBySign{}, HeNormal{}, 0.4, grow, true, true, false});
        }
        expect_same_evolution(backend(), layer,
                              {PruneBySign{}, HeNormal{}, 0.4, GrowNearParents{1, true, 0.6}, true, false, false});
        for (const double share : {0.5, 1.0}) {
            expect_same_evolution(backend(), layer,
                                  {PruneBySign{}, HeNormal{}, 0.4, GrowGradient{0, 0, true, share, true}, true, false, false});
        }
        for (const double candidates : {0.0, 1.0, 3.0}) {
            expect_same_evolution(backend(), layer,
                                  {PruneBySign{}, HeNormal{}, 0.4, GrowGradient{0, candidates, false, 0.7}, true, false,
                                   false});
        }
    }
}

TEST_P(CudaEvolution, EvolvesALayerOfMoreCellsThan32BitsCount) {
    TestRandom random(3);
    Layer layer;
    layer.num_inputs = 70000;
    layer.num_outputs = 70001;
    layer.topology =
        random_topology(layer.num_inputs, layer.num_outputs, 500, ExactCount{}, Stream{1, Purpose::topology, 0, 0});
    layer.bias.assign(layer.num_outputs, 0.0F);
    for (int e = 0; e < 500; ++e) layer.weights.push_back(static_cast<float>(e - 250) / 64);
    expect_same_evolution(backend(), layer, {PruneBySign{}, HeNormal{}, 0.4, GrowRandom{true}, true, true, false});
}

/// A layer whose weights and optimizer memory tell edges apart, too large to be made edge by edge.
Layer large_layer(Index inputs, Index outputs, Cell edges) {
    Layer layer;
    layer.num_inputs = inputs;
    layer.num_outputs = outputs;
    layer.topology = random_topology(inputs, outputs, edges, ExactCount{}, Stream{1, Purpose::topology, 0, 0});
    layer.bias.assign(outputs, 0.0F);
    const Stream stream{2, Purpose::initial_weight, 0, 0};
    for (Cell e = 0; e < edges; ++e) layer.weights.push_back(symmetric_uniform(stream.bits(e)));
    return layer;
}

/// Sorts, selections and sums of more than one tile or block on a device, with keys of 32 and of 64 bits. On the CPU,
/// where all of it is one loop, less will do.
TEST_P(CudaEvolution, LargeLayersEvolveToTheBitAsOnTheCpu) {
    const bool on_gpu = GetParam() == "cuda" && std::getenv("ESPALIER_MODULE_PATH") == nullptr;
    const Layer narrow = on_gpu ? large_layer(4096, 4096, 1677721) : large_layer(700, 600, 42000);
    const Layer wide = on_gpu ? large_layer(70000, 70000, 3000000) : large_layer(70000, 70000, 30000);
    for (const Layer* layer : {&narrow, &wide}) {
        SCOPED_TRACE(layer->num_inputs);
        expect_same_evolution(backend(), *layer, {PruneBySign{}, HeNormal{}, 0.3, GrowRandom{}, true, true, false});
        expect_same_evolution(backend(), *layer,
                              {PruneByMagnitude{}, HeNormal{}, 0.3, GrowNearParents{}, true, true, true});
    }
}

TEST_P(CudaEvolution, NaNWeightsArePrunedAsOnTheCpu) {
    TestRandom random(4);
    Layer layer = evolving_layer({20, 20, 0.5, 1}, 7, random);
    layer.weights[3] = NAN;
    layer.weights[9] = -NAN;
    const auto cpu = backend_for_test("cpu", 1);
    for (const auto& prune : alternatives<PruneRule>()) {
        const auto one = cpu->load(layer, {true, Momentum{}});
        const auto other = backend().load(layer, {true, Momentum{}});
        const Pruned expected = cpu->prune(*one, {prune, 1});
        const Pruned found = backend().prune(*other, {prune, 1});
        EXPECT_EQ(found.positive, expected.positive);
        EXPECT_EQ(found.negative, expected.negative);
        EXPECT_EQ(found.zero, expected.zero);
    }
}

}  // namespace
}  // namespace espalier
