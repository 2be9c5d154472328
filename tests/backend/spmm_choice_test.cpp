// The table of kernels by shape: what it chooses where the design's arithmetic is clear, and that it always chooses.
#include "cuda/products/spmm_choice.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace espalier::cuda {
namespace {

constexpr SpmmDevice large{132, 232448};  // as of an H200
constexpr SpmmDevice small{40, 65536};    // as of a T4

/// An Erdős–Rényi layer: no row is much longer than the mean.
SpmmShape even(Index num_rows, Index num_others, double density, Index batch) {
    const double mean = density * num_others;
    return {num_rows, num_others, static_cast<EdgeIndex>(mean * num_rows),
            static_cast<EdgeIndex>(mean + 4 * std::sqrt(mean) + 1), batch};
}
Spmm kernel_for(const SpmmShape& shape) { return choose_spmm(Spmm::automatic, shape, large).kernel; }

TEST(SpmmChoice, GathersWhatIsVerySparse) {
    EXPECT_EQ(kernel_for(even(4096, 4096, 0.001, 128)), Spmm::gather);
    EXPECT_EQ(kernel_for(even(65536, 65536, 0.0001, 128)), Spmm::gather);
    EXPECT_EQ(kernel_for(even(16384, 16384, 0.001, 1024)), Spmm::gather);
}

TEST(SpmmChoice, TakesPanelsOfTheMostRowsThatFillTheDevice) {
    const auto rows_for = [](const SpmmShape& shape) {
        const SpmmChoice choice = choose_spmm(Spmm::automatic, shape, large);
        return choice.kernel == Spmm::panel ? choice.block.rows() : 0U;
    };
    EXPECT_EQ(rows_for(even(16384, 16384, 0.02, 1024)), 256U);
    EXPECT_EQ(rows_for(even(4096, 4096, 0.01, 1024)), 256U);
    EXPECT_EQ(rows_for(even(4096, 4096, 0.1, 512)), 64U);
    EXPECT_EQ(rows_for(even(4096, 4096, 0.05, 128)), 64U);
    EXPECT_EQ(rows_for(even(4096, 4096, 0.015, 128)), 128U);
    EXPECT_EQ(rows_for(even(1024, 1024, 0.05, 128)), 32U);
}

TEST(SpmmChoice, LeavesLayersTooSmallForPanelsToTheGather) {
    EXPECT_EQ(kernel_for(even(128, 512, 0.1, 128)), Spmm::gather);
    EXPECT_EQ(kernel_for(even(10, 128, 1, 128)), Spmm::gather);
}

TEST(SpmmChoice, SharesOutARowThatWouldOutlastTheRest) {
    EXPECT_EQ(kernel_for({10, 10000, 100000, 10000, 128}), Spmm::coo);
    EXPECT_EQ(kernel_for({1000, 20000, 30000, 15000, 128}), Spmm::coo);
    EXPECT_NE(kernel_for({10, 1000, 10000, 1000, 16384}), Spmm::coo) << "enough tiles to keep the device busy";
    EXPECT_EQ(kernel_for({10, 200, 2000, 200, 128}), Spmm::gather) << "little to share out";
}

/// Where a block has little shared memory a panel is of few neurons, and most rows have no edge of it.
TEST(SpmmChoice, GathersWhatHasTooFewEdgesOfAPanel) {
    EXPECT_EQ(choose_spmm(Spmm::automatic, even(4096, 4096, 0.01, 1024), large).kernel, Spmm::panel);
    EXPECT_EQ(choose_spmm(Spmm::automatic, even(4096, 4096, 0.01, 1024), small).kernel, Spmm::gather);
    EXPECT_EQ(choose_spmm(Spmm::automatic, even(4096, 4096, 0.03, 1024), small).kernel, Spmm::panel);
}

/// So large a layer's pairs, or panels, have numbers that are not counted.
TEST(SpmmChoice, GathersWherePanelsCannotBeCounted) {
    EXPECT_EQ(kernel_for(even(600000, 600000, 0.0051, 128)), Spmm::panel);
    EXPECT_EQ(kernel_for(even(915000, 915000, 0.0051, 128)), Spmm::gather) << "up to 5.8 thousand million pairs";
    EXPECT_EQ(choose_spmm(Spmm::automatic, even(10240, 1800000, 0.02, 128), small).kernel, Spmm::panel);
    EXPECT_EQ(choose_spmm(Spmm::automatic, even(10240, 1900000, 0.02, 128), small).kernel, Spmm::gather)
        << "more panels than a grid has rows";
}

TEST(SpmmChoice, FollowsWhoAsks) {
    for (const Spmm asked : {Spmm::gather, Spmm::panel, Spmm::coo, Spmm::cusparse}) {
        for (const SpmmShape& shape :
             {even(4096, 4096, 0.1, 1024), SpmmShape{1, 1, 1, 1, 1}, SpmmShape{5, 3, 0, 0, 1}}) {
            EXPECT_EQ(choose_spmm(asked, shape, large).kernel, asked);
        }
    }
}

TEST(SpmmChoice, APanelAlwaysFits) {
    for (const SpmmDevice& device : {large, small, SpmmDevice{1, 49152}}) {
        for (const SpmmShape& shape : {even(4096, 4096, 0.1, 1024), even(1, 1, 1, 1), even(1000, 784, 0.1, 3)}) {
            for (const Spmm asked : {Spmm::panel, Spmm::automatic}) {
                const SpmmChoice choice = choose_spmm(asked, shape, device);
                EXPECT_NE(choice.kernel, Spmm::automatic);
                if (choice.kernel != Spmm::panel) continue;
                EXPECT_GT(panel_layout(choice.block, shape.num_rows, shape.num_others, device.shared_bytes).num_panels,
                          0U);
            }
        }
    }
}

/// Rows of a block that makes gradients; 0: the update gathers.
Index gradient_rows(Spmm asked, const SpmmShape& shape, const SpmmDevice& device = large) {
    const SpmmChoice choice = choose_gradient(asked, shape, device);
    return choice.kernel == Spmm::panel ? choice.block.rows() : 0;
}

TEST(GradientChoice, TakesPanelsOfTheMostRowsThatFillTheDevice) {
    EXPECT_EQ(gradient_rows(Spmm::automatic, even(16384, 16384, 0.02, 1024)), 256U);
    EXPECT_EQ(gradient_rows(Spmm::automatic, even(4096, 4096, 0.05, 1024)), 256U);
    EXPECT_EQ(gradient_rows(Spmm::automatic, even(4096, 4096, 0.05, 512)), 128U);
    EXPECT_EQ(gradient_rows(Spmm::automatic, even(4096, 4096, 0.05, 128)), 32U);
}

TEST(GradientChoice, GathersWhereTheForwardProductDoesOrPartsAreMany) {
    EXPECT_EQ(gradient_rows(Spmm::automatic, even(4096, 4096, 0.001, 128)), 0U);
    EXPECT_EQ(gradient_rows(Spmm::automatic, even(128, 512, 0.1, 128)), 0U);
    EXPECT_EQ(gradient_rows(Spmm::automatic, even(4096, 4096, 0.05, 64)), 0U) << "less than a tile";
    EXPECT_EQ(gradient_rows(Spmm::automatic, even(4096, 4096, 0.05, 2048)), 0U) << "64 bytes an edge";
    EXPECT_EQ(gradient_rows(Spmm::automatic, {10, 10000, 100000, 10000, 128}), 0U) << "one row outlasts the rest";
}

/// A panel beside many rows is narrow on devices with less shared memory: a warp then has few edges of it.
TEST(GradientChoice, GivesAWarpEdgesEnoughOfAPanel) {
    const SpmmDevice medium{108, 166912};  // as of an A100
    const SpmmDevice desktop{46, 101376};  // as of an RTX 3070
    EXPECT_EQ(gradient_rows(Spmm::automatic, even(16384, 16384, 0.006, 1024)), 256U);
    EXPECT_EQ(gradient_rows(Spmm::automatic, even(16384, 16384, 0.006, 1024), medium), 0U);
    EXPECT_EQ(gradient_rows(Spmm::automatic, even(16384, 16384, 0.011, 1024), medium), 128U);
    EXPECT_EQ(gradient_rows(Spmm::automatic, even(16384, 16384, 0.05, 1024), medium), 256U);
    EXPECT_EQ(gradient_rows(Spmm::automatic, even(16384, 16384, 0.012, 1024), desktop), 0U);
    EXPECT_EQ(gradient_rows(Spmm::automatic, even(16384, 16384, 0.05, 1024), desktop), 128U);
    EXPECT_EQ(gradient_rows(Spmm::automatic, even(16384, 16384, 0.03, 1024), small), 0U);
    EXPECT_EQ(gradient_rows(Spmm::automatic, even(16384, 16384, 0.1, 1024), small), 64U);
}

TEST(GradientChoice, CountsTheSamplesOfTheBackwardPass) {
    SpmmShape machine = even(4096, 4096, 0.05, 512);  // a Boltzmann machine of twice the samples
    machine.gradient_batch = 1024;
    EXPECT_EQ(gradient_rows(Spmm::automatic, machine), 256U);
    machine.gradient_batch = 1025;
    EXPECT_EQ(gradient_rows(Spmm::automatic, machine), 0U);
}

TEST(GradientChoice, FollowsWhoAsksWherePanelsFit) {
    EXPECT_EQ(gradient_rows(Spmm::panel, even(100, 100, 0.1, 1)), 32U);
    EXPECT_EQ(gradient_rows(Spmm::panel, even(100, 100, 0.1, 1), {40, 65536}), 32U);
    EXPECT_EQ(gradient_rows(Spmm::panel, even(100, 100, 0.1, 1), {1, 8192}), 0U);
    EXPECT_EQ(gradient_rows(Spmm::panel, SpmmShape{5, 3, 0, 0, 1}), 32U);
    EXPECT_EQ(gradient_rows(Spmm::panel, even(100, 100, 0.1, 1024)), 32U);
    EXPECT_EQ(gradient_rows(Spmm::panel, even(100, 100, 0.1, 1025)), 0U) << "parts as many as tiles";
    for (const Spmm asked : {Spmm::gather, Spmm::coo, Spmm::cusparse}) {
        EXPECT_EQ(gradient_rows(asked, even(4096, 4096, 0.05, 1024)), 0U);
    }
}

}  // namespace
}  // namespace espalier::cuda
