// Operations of training, beside a count that walks through every step, sample and edge.
#include "host/run/training_operations.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "espalier/initialize_network.hpp"
#include "espalier/trainer.hpp"
#include "host/cpu/cpu_backend.hpp"
#include "small_run.hpp"

namespace espalier {
namespace {

/// One operation after another, as the program would make them.
struct Walk {
    const Experiment& experiment;
    std::vector<std::uint64_t> edges;  // by layer
    std::uint64_t count = 0;

    void forward(std::uint64_t samples) {
        for (std::uint64_t sample = 0; sample < samples; ++sample) {
            for (const std::uint64_t of_layer : edges) {
                for (std::uint64_t edge = 0; edge < of_layer; ++edge) count += 2;
            }
        }
    }
    void inputs_back(std::uint64_t samples) {
        for (std::uint64_t sample = 0; sample < samples; ++sample) {
            for (std::size_t l = edges.size(); l-- > 1;) {
                for (std::uint64_t edge = 0; edge < edges[l]; ++edge) count += 2;
            }
        }
    }
    void step(std::uint64_t samples) {
        forward(samples);
        inputs_back(samples);
        forward(samples);  // as many products again for the weights' gradients
        for (const std::uint64_t of_layer : edges) {
            for (std::uint64_t edge = 0; edge < of_layer; ++edge) count += 2 * (1 + 1);  // weight and momentum
        }
    }
    void probe(std::uint64_t samples) {
        forward(samples);
        inputs_back(samples);
    }
    void gradients_of_cells(std::size_t layer, std::uint64_t samples) {
        for (Index output = 0; output < experiment.layers[layer + 1]; ++output) {
            for (Index input = 0; input < experiment.layers[layer]; ++input) count += 2 * samples;
        }
    }
};

Experiment of_momentum() {
    Experiment experiment = small_experiment();
    experiment.layers = {30, 12, 8, 10};
    experiment.dense_output = true;
    experiment.optimizer = Momentum{0.9F};
    experiment.batch = 7;
    experiment.epochs = 3;
    return experiment;
}

TEST(TrainingOperations, EqualAWalkThroughStepsWithGrowthByGradientEverySteps) {
    Experiment experiment = of_momentum();
    experiment.cadence = EverySteps{4};
    experiment.grow = GrowGradient{5};
    experiment.zeta = Cosine{0.3, 0};  // nothing goes any more before the end
    const std::vector<std::vector<double>> edges{{50, 21, 80}, {50, 21, 80}, {50, 21, 80}};
    const std::uint32_t samples = 61;  // 9 steps, of 7 samples but the last one's 5
    Walk walk{experiment, {50, 21, 80}};
    std::uint64_t evolution = 0;
    for (std::uint32_t step = 0; step < 3 * 9; ++step) {
        const std::uint64_t before = walk.count;
        const double zeta = scheduled(experiment.zeta, step / 9.0, 3);
        if (step > 0 && step % 4 == 0 && zeta * 50 >= 1) {
            walk.probe(5);
            walk.gradients_of_cells(0, 5);
            if (zeta * 21 >= 1) walk.gradients_of_cells(1, 5);
        }
        evolution += walk.count - before;
        walk.step(step % 9 == 8 ? 5 : 7);
    }
    ASSERT_LT(scheduled(experiment.zeta, 24 / 9.0, 3) * 50, 1) << "the last event is none";
    const TrainingOperations found = training_operations(experiment, samples, edges);
    EXPECT_DOUBLE_EQ(found.total(), static_cast<double>(walk.count));
    EXPECT_DOUBLE_EQ(found.evolution, static_cast<double>(evolution));
    EXPECT_EQ(found.birth, 0);
}

TEST(TrainingOperations, FollowEdgesThatBecomeFewer) {
    Experiment experiment = of_momentum();
    experiment.cadence = EveryEpoch{};
    experiment.grow = GrowGradient{};
    experiment.zeta = Constant{0.2, 0};
    experiment.last_epoch = LastEpoch::remove;
    Walk walk{experiment, {}};
    for (const auto& now : std::vector<std::vector<std::uint64_t>>{{90, 40, 80}, {60, 30, 80}, {45, 20, 80}}) {
        walk.edges = now;
        for (int step = 0; step < 10; ++step) walk.step(7);
        walk.probe(7);
        if (now[0] == 45) continue;  // after the last epoch edges only go
        walk.gradients_of_cells(0, 7);
        walk.gradients_of_cells(1, 7);
    }
    EXPECT_DOUBLE_EQ(training_operations(experiment, 70, {{90, 40, 80}, {60, 30, 80}, {45, 20, 80}}).total(),
                     static_cast<double>(walk.count));
}

TEST(TrainingOperations, OfCandidatesPathsAndCorrelations) {
    Experiment experiment = of_momentum();
    experiment.cadence = EveryEpoch{};
    experiment.epochs = 2;
    experiment.last_epoch = LastEpoch::keep;
    experiment.zeta = Constant{0.2, 0};
    const std::vector<std::vector<double>> edges{{60, 24, 80}, {60, 24, 80}};
    const auto evolution = [&] { return training_operations(experiment, 70, edges).evolution; };
    const double probe = 2.0 * 7 * (2 * (60 + 24 + 80) - 60);
    experiment.grow = GrowGradient{0, 2};  // 48 of the 76 missing cells of layer 2, which are fewer than three times 24
    EXPECT_DOUBLE_EQ(evolution(), probe + 2 * 7 * (120 + 48));
    experiment.grow = GrowGradient{0, 4, false};
    EXPECT_DOUBLE_EQ(evolution(), probe + 2 * 7 * (240 + 96 - 24));
    // 48 and 20 edges stay: of as many from every neuron each has paths over all degrees
    experiment.grow = GrowByPaths{};
    EXPECT_DOUBLE_EQ(evolution(), 2 * (48 * (48.0 / 30) * (48.0 / 12) + 20 * (20.0 / 12) * (20.0 / 8)));
    experiment.grow = GrowRandom{};
    EXPECT_EQ(evolution(), 0);
    experiment.birth_law = CorrelatedInputs{};
    EXPECT_DOUBLE_EQ(training_operations(experiment, 70, edges).birth, 70.0 * 30 * 31);
    // layers of 360, 96 and 80 cells, the last of them dense
    experiment.birth_law = ConnectionSensitivity{20};
    EXPECT_DOUBLE_EQ(training_operations(experiment, 70, edges).birth, 2.0 * 20 * (360 + 96 + 80 + 96 + 80 + 360 + 96));
    experiment.birth_law = ConnectionSensitivity{};
    EXPECT_DOUBLE_EQ(training_operations(experiment, 70, edges).birth, 2.0 * 7 * (360 + 96 + 80 + 96 + 80 + 360 + 96));
    experiment.topology = TopologyKind::dense;
    EXPECT_EQ(training_operations(experiment, 70, edges).birth, 0);
    experiment.birth_law = CorrelatedInputs{};
    EXPECT_EQ(training_operations(experiment, 70, edges).birth, 0);
}

TEST(TrainingOperations, CountAsManyEventsAsTheTrainerHas) {
    Experiment experiment = small_experiment();
    experiment.prune = PruneByMagnitude{};
    experiment.grow = GrowGradient{0, 0, true, 1};
    experiment.zeta = Cosine{0.3, 0, 0, 0, 2.5};
    for (const Cadence& cadence : {Cadence{EverySteps{23}}, Cadence{ByChance{0.02}}, Cadence{EveryEpoch{}}}) {
        experiment.cadence = cadence;
        auto backend = make_cpu_backend(1);
        const DataSet data = load_dataset("synthetic", "", experiment.train_samples, experiment.test_samples);
        const Network born = initialize_network(experiment);
        Trainer trainer(experiment, *backend, data, born);
        ASSERT_TRUE(trainer.run());
        double pruned = 0;
        for (const EpochRecord& record : trainer.history()) pruned += static_cast<double>(record.pruned);

        // the same events, each layer taking its quota
        std::vector<double> edges;
        for (const Layer& layer : born.layers) edges.push_back(static_cast<double>(layer.weights.size()));
        double expected = 0, searched = 0;
        const auto event = [&](std::size_t layer, double time) {
            const double zeta = scheduled(experiment.zeta, time, experiment.epochs);
            const double gone = std::floor(zeta * edges[layer]);
            expected += gone;
            if (gone > 0) searched += 2.0 * experiment.batch * experiment.layers[layer] * experiment.layers[layer + 1];
        };
        for (std::uint32_t step = 0; step < 4 * 150; ++step) {
            for (std::uint32_t l = 0; l < 3; ++l) {
                const Stream draws{experiment.seed, Purpose::evolve, l, step};
                if (is_sparse_layer(experiment, l) && due(cadence, {false, step / 150, step, draws})) {
                    event(l, step / 150.0);
                }
            }
        }
        for (std::uint32_t epoch = 0; epoch < 4; ++epoch) {
            for (std::uint32_t l = 0; l < 3; ++l) {
                const bool keeps = epoch == 3 && experiment.last_epoch == LastEpoch::keep;
                if (!is_sparse_layer(experiment, l) || keeps || !due(cadence, {true, epoch, 0, {}})) continue;
                event(l, epoch + 1.0);
            }
        }
        ASSERT_EQ(pruned, expected) << rule_text(cadence);
        const double found = training_operations(experiment, 300, {edges, edges, edges, edges}).evolution;
        // what is left of it is probes, whole ones
        double forward = 0;
        for (const double of_layer : edges) forward += of_layer;
        const double probe = 2.0 * experiment.batch * (2 * forward - edges.front());
        const double probes = (found - searched) / probe;
        EXPECT_GT(probes, 0) << rule_text(cadence);
        EXPECT_EQ(probes, std::round(probes)) << rule_text(cadence);
    }
}

}  // namespace
}  // namespace espalier
