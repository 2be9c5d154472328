// Decay that rises, differs by layer or goes by the sign, and edges that become fewer: through a whole training run, on
// networks whose learning rate is 0, so that nothing but the rule in question moves them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "host/cpu/cpu_backend.hpp"
#include "espalier/dataset.hpp"
#include "espalier/initialize_network.hpp"
#include "host/options/option_table.hpp"
#include "espalier/trainer.hpp"

namespace espalier {
namespace {

using testing::ElementsAre;

constexpr std::uint32_t steps_per_epoch = 4;

struct Trained {
    Network before, after;
    std::vector<std::uint64_t> edges;  // of the sparse layers together, per epoch
};

Trained trained(const OptionTexts& given) {
    Experiment experiment;
    apply({{"dataset", "synthetic"},
           {"train-samples", "200"},
           {"test-samples", "50"},
           {"batch", "50"},
           {"layers", "784-40-30-10"},
           {"epochs", "3"},
           {"learning-rate", "0"},
           {"decay-form", "shrink"},
           {"evolve", "never"},
           {"threads", "1"}},
          "test", experiment);
    experiment.epsilon = 2;
    apply(given, "test", experiment);
    validate(experiment);
    const DataSet data = load_dataset("synthetic", "", experiment.train_samples, experiment.test_samples);
    const auto backend = make_cpu_backend(1);
    Trained result{initialize_network(experiment), {}, {}};
    Trainer trainer(experiment, *backend, data, result.before);
    EXPECT_TRUE(trainer.run());
    result.after = trainer.network();
    for (const EpochRecord& record : trainer.history()) result.edges.push_back(record.edges);
    return result;
}

/// What is left of a layer's weights, as a factor, if that is the same for all.
double left_of(const Trained& run, std::size_t layer) {
    const auto& before = run.before.layers.at(layer).weights;
    const auto& after = run.after.layers.at(layer).weights;
    const double left = static_cast<double>(after.at(0)) / before.at(0);
    for (std::size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(after[i] / before[i], left, 1e-5) << i;
    return left;
}

TEST(Decay, FollowsItsScheduleStepByStep) {
    double left = 1;
    for (std::uint32_t s = 0; s < 3 * steps_per_epoch; ++s) left *= 1 - 0.12 * s / (3.0 * steps_per_epoch);
    const Trained run = trained({{"weight-decay", "linear(value=0,end=0.12)"}});
    EXPECT_NEAR(left_of(run, 0), left, 1e-5);
    EXPECT_NEAR(left_of(run, 2), left, 1e-5);
    EXPECT_LT(left, 0.6);
}

TEST(Decay, DiffersByLayer) {
    const Trained run = trained({{"weight-decay", "0.01"}, {"layer-decay", "1,0,5"}});
    EXPECT_NEAR(left_of(run, 0), std::pow(0.99, 12), 1e-5);
    EXPECT_EQ(run.after.layers[1].weights, run.before.layers[1].weights);
    EXPECT_EQ(run.after.layers[1].bias, run.before.layers[1].bias);
    EXPECT_NEAR(left_of(run, 2), std::pow(0.95, 12), 1e-5);
}

TEST(Decay, BySignTakesTheSameFromEveryWeight) {
    const Trained run = trained({{"l1", "0.0001"}, {"layer-decay", "1,2,1"}});
    for (std::size_t layer = 0; layer < 3; ++layer) {
        const auto& before = run.before.layers[layer].weights;
        const auto& after = run.after.layers[layer].weights;
        const double taken = 12 * (layer == 1 ? 0.0002 : 0.0001);
        for (std::size_t i = 0; i < before.size(); ++i) {
            if (std::abs(before[i]) < taken) {
                EXPECT_LT(std::abs(after[i]), 0.0004);  // about zero, a step beyond at most
            } else {
                EXPECT_NEAR(after[i], before[i] - std::copysign(taken, before[i]), 1e-6);
            }
        }
    }
}

TEST(Decay, FactorsMustFitTheLayers) {
    EXPECT_THROW(trained({{"layer-decay", "1,0"}}), UserError);
    EXPECT_THROW(trained({{"layer-decay", "1,-1,1"}}), UserError);
}

TEST(EdgesKept, FallAsScheduledHoweverSmallZetaIs) {
    const OptionTexts evolving{{"evolve", "epoch"}, {"last-epoch", "evolve"}, {"zeta", "0.3"}};
    OptionTexts given = evolving;
    const std::uint64_t birth = 2 * (784 + 40) + 2 * (40 + 30);
    EXPECT_THAT(trained(given).edges, ElementsAre(birth, birth, birth));
    given["edges-kept"] = "linear(value=1,end=0.7)";
    const Trained gently = trained(given);
    EXPECT_THAT(gently.edges, ElementsAre(std::lround(1648 * 0.9) + std::lround(140 * 0.9),
                                          std::lround(1648 * 0.8) + std::lround(140 * 0.8),
                                          std::lround(1648 * 0.7) + std::lround(140 * 0.7)));
    for (std::size_t layer = 0; layer < 2; ++layer) EXPECT_EQ(fault(*gently.after.layers[layer].topology), "");
    given["edges-kept"] = "0.1";
    const Trained fast = trained(given);
    const std::uint64_t tenth = 165 + 14;
    for (const std::uint64_t edges : fast.edges) {
        EXPECT_GE(edges, tenth);
        EXPECT_LE(edges, tenth + 2 * 2);  // shares are rounded down, sign by sign
    }
}

/// Gradual magnitude pruning: with a zeta of 0 nothing but the schedule removes edges, the smallest ones, and no edge
/// is new.
TEST(EdgesKept, WithoutZetaOnlyTheScheduledEdgesGo) {
    const OptionTexts given{{"evolve", "epoch"},    {"last-epoch", "evolve"}, {"zeta", "0"},
                            {"prune", "magnitude"}, {"epochs", "4"},          {"edges-kept", "cubic(end=0.2,finish=2)"}};
    const Trained run = trained(given);
    // 0.2 + 0.8 (1 - t)^3 at t = 1/2, 1, 1, 1 of 1648 and of 140 edges
    EXPECT_THAT(run.edges, ElementsAre(494 + 42, 330 + 28, 330 + 28, 330 + 28));
    const Layer& before = run.before.layers[0];
    const Layer& after = run.after.layers[0];
    std::vector<float> magnitudes;
    for (const float weight : before.weights) magnitudes.push_back(std::abs(weight));
    std::sort(magnitudes.begin(), magnitudes.end(), std::greater<>());
    ASSERT_EQ(after.weights.size(), 330U);
    for (const float weight : after.weights) EXPECT_GE(std::abs(weight), magnitudes[329]);
}

TEST(Densities, EachLayerMayHaveItsOwn) {
    const Trained run = trained({{"layer-density", "0.01,0.109,1"}, {"layers", "784-300-100-10"}});
    ASSERT_TRUE(run.after.layers[0].is_sparse() && run.after.layers[1].is_sparse());
    EXPECT_EQ(run.after.layers[0].weights.size(), 2352U);
    EXPECT_EQ(run.after.layers[1].weights.size(), 3270U);
    EXPECT_FALSE(run.after.layers[2].is_sparse()) << "1 is dense";
}

/// What such options are refused with.
std::string refusal(const OptionTexts& given) {
    Experiment experiment;
    try {
        apply(given, "test", experiment);
        validate(experiment);
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        return error.what();
    }
    return "";
}

TEST(Densities, WrongOnesAreRefused) {
    EXPECT_EQ(refusal({{"layer-density", "0.1,0.2"}}), "layer-density: 2 densities for 3 layers");
    EXPECT_EQ(refusal({{"layer-density", "0.1,0,1"}}), "test: layer-density: 0 leaves no edge");
    EXPECT_EQ(refusal({{"layer-density", "0.1,1.5,1"}}), "test: layer-density: 1.5 is outside [0, 1]");
    EXPECT_EQ(refusal({{"layer-density", "0.1,0.1,1"}, {"epsilon", "3"}}),
              "test: epsilon and layer-density exclude each other; give one");
    EXPECT_EQ(refusal({{"layer-density", "0.1,0.1,1"}, {"sparsity", "0.5"}}),
              "test: sparsity and layer-density exclude each other; give one");
    EXPECT_EQ(refusal({{"layer-density", "0.1,0.1,1"}}), "");
}

TEST(Schedules, ThatEndBeforeTheyBeginOrBeyondTheRunAreRefused) {
    const auto of = [](const char* zeta) { return refusal({{"zeta", zeta}, {"epochs", "20"}}); };
    EXPECT_THAT(of("cosine(value=0.3,finish=83.3)"), testing::HasSubstr("goes on beyond the run of 20 epochs"));
    EXPECT_THAT(of("linear(value=0.3,begin=21)"), testing::HasSubstr("goes on beyond the run of 20 epochs"));
    EXPECT_THAT(of("linear(value=0.3,begin=12,finish=9)"),
                testing::HasSubstr("finishes at epoch 9, before it begins at epoch 12"));
    EXPECT_EQ(of("cosine(value=0.3,begin=3,finish=20)"), "");
    EXPECT_EQ(of("cosine(value=0.3,begin=20)"), "");
    EXPECT_THAT(refusal({{"zeta", "cosine(value=0.3,finish=83.3)"}, {"epochs", "1"}}),
                testing::HasSubstr("the run of 1 epoch; take --epochs 84 or more"));
    EXPECT_EQ(refusal({{"zeta", "cosine(value=0.3,finish=83.3)"}, {"epochs", "2"}, {"topology", "fixed"}}), "")
        << "nothing evolves";
}

TEST(Schedules, OfSharesThatGrowAreRefused) {
    EXPECT_THAT(refusal({{"zeta", "step(value=0.3,every=5,factor=4)"}}),
                testing::HasSubstr("grows beyond every share; take a factor of at most 1"));
    EXPECT_THAT(refusal({{"edges-kept", "exponential(value=1,factor=1.01)"}}),
                testing::AllOf(testing::StartsWith("edges-kept: "), testing::HasSubstr("grows beyond every share")));
    EXPECT_THAT(refusal({{"zeta", "stages(value=0.3,factor=1.5,first=1)"}}), testing::HasSubstr("factor of at most 1"));
    EXPECT_EQ(refusal({{"zeta", "step(value=0.3,every=5,factor=1)"}}), "");
    EXPECT_EQ(refusal({{"learning-rate", "exponential(value=0.01,factor=1.1)"}}), "") << "a rate may rise";
}

TEST(Schedules, StagesOutOfOrderAreRefused) {
    EXPECT_THAT(refusal({{"learning-rate", "stages(value=0.1,factor=0.3,first=9,second=5)"}}),
                testing::HasSubstr("has a stage at epoch 5 after one at epoch 9; give them in order"));
    EXPECT_THAT(refusal({{"zeta", "stages(value=0.1,factor=0.3,first=3,second=3)"}}), testing::HasSubstr("give them in order"));
    EXPECT_EQ(refusal({{"learning-rate", "stages(value=0.1,factor=0.3,second=5,third=7)"}}), "") << "0: no such stage";
}

TEST(Schedules, SharesInPercentAreRefusedWithTheNumber) {
    EXPECT_EQ(refusal({{"edges-kept", "90%"}}), "test: edges-kept: unknown value '90%'; shares are numbers, here 0.9");
    EXPECT_THAT(refusal({{"edges-kept", "x%"}}), testing::HasSubstr("unknown value 'x%'; expected constant"));
}

TEST(Densities, ByLayerGoWithNoDistribution) {
    EXPECT_EQ(refusal({{"layer-density", "0.1,0.1,1"}, {"distribution", "erk"}}),
              "test: distribution and layer-density exclude each other; give one");
}

TEST(Schedules, AWarmUpOfEdgesKeptIsRefused) {
    EXPECT_THAT(refusal({{"edges-kept", "constant(value=1,warmup=3)"}}), testing::HasSubstr("begins at 0 with its warm-up"));
    EXPECT_EQ(refusal({{"zeta", "constant(value=0.3,warmup=3)"}}), "");
}

TEST(EdgesKept, AGrowRulesShareThinsALayerOut) {
    const Trained run =
        trained({{"evolve", "epoch"}, {"last-epoch", "evolve"}, {"prune", "magnitude"}, {"grow", "random(share=0.5)"}});
    std::uint64_t first = 1648, second = 140;
    for (std::size_t epoch = 0; epoch < 3; ++epoch) {
        for (std::uint64_t* edges : {&first, &second}) {
            const auto pruned = static_cast<std::uint64_t>(0.3 * static_cast<double>(*edges));
            *edges = *edges - pruned + (pruned + 1) / 2;
        }
        EXPECT_EQ(run.edges[epoch], first + second);
    }
}

}  // namespace
}  // namespace espalier
