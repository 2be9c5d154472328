// The sentence that answers: golden texts for planted runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/options/option_table.hpp"
#include "host/report/rows.hpp"

namespace espalier {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// A run of which nothing is known but what a verdict is made from.
ReportedRun planted_run(const OptionTexts& options, std::uint64_t seed, double contrast, double accuracy,
                        double p_value = 0.0002, std::size_t epochs = 20) {
    ReportedRun run;
    run.folder.name = "run-seed" + std::to_string(seed);
    apply(options, "test", run.folder.experiment);
    run.folder.experiment.seed = seed;
    for (std::size_t e = 1; e <= epochs; ++e) {
        run.folder.history["epoch"].push_back(static_cast<double>(e));
        run.folder.history["test_accuracy"].push_back(accuracy);
    }
    run.sign = SignTest{contrast, p_value,
                        p_value >= 0.05 ? Learning::undecided : contrast > 0 ? Learning::positive : Learning::negative};
    return run;
}

std::vector<ReportedRun> seeds_of(const std::string& decay, std::initializer_list<double> contrasts, double accuracy) {
    std::vector<ReportedRun> runs;
    std::uint64_t seed = 0;
    for (const double contrast : contrasts) {
        ++seed;
        runs.push_back(planted_run({{"weight-decay", decay}}, seed, contrast, accuracy + 0.001 * static_cast<double>(seed)));
    }
    return runs;
}

std::vector<ReportedRun> together(std::initializer_list<std::vector<ReportedRun>> parts) {
    std::vector<ReportedRun> all;
    for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
}

TEST(Verdict, OfOneRowOfSeeds) {
    // Mean 0.140, deviation 0.01: t(2) = 4.303 over three seeds, half width 0.0248.
    const auto positive = seeds_of("0.01", {0.13, 0.14, 0.15}, 0.9);
    EXPECT_EQ(verdict_sentence(rows_of(positive)),
              "Positive: after 20 epochs the centre has 14.0 % more edges per pixel than the whole image (contrast "
              "+0.140 ± 0.025, 95 % interval over 3 seeds).");
    const auto negative = seeds_of("0", {-0.03, -0.031, -0.032}, 0.9);
    EXPECT_EQ(verdict_sentence(rows_of(negative)),
              "Negative: after 20 epochs the centre has 3.1 % fewer edges per pixel than the whole image (contrast "
              "-0.031 ± 0.002, 95 % interval over 3 seeds).");
    const auto undecided = seeds_of("0", {-0.03, 0.03, 0.015}, 0.9);
    EXPECT_EQ(verdict_sentence(rows_of(undecided)),
              "Undecided: after 20 epochs the map does not tell centre and margin apart (contrast +0.005 ± 0.078, 95 % "
              "interval over 3 seeds).");
    EXPECT_EQ(accuracy_sentence(rows_of(positive)), "Test accuracy 90.20 ± 0.25 % after 20 epochs.");
}

TEST(Verdict, OfASingleRunIsItsOwnTest) {
    const std::vector<ReportedRun> positive{planted_run({}, 1, 0.14, 0.9)};
    EXPECT_EQ(verdict_sentence(rows_of(positive)),
              "Positive: after 20 epochs the centre has 14.0 % more edges per pixel than the whole image (contrast "
              "+0.140, permutation test of this run, p < 0.001). One run: that other seeds agree is not shown.");
    const std::vector<ReportedRun> undecided{planted_run({}, 1, -0.01, 0.9, 0.4, 1)};
    EXPECT_EQ(verdict_sentence(rows_of(undecided)),
              "Undecided: after 1 epoch the map does not tell centre and margin apart (contrast -0.010, permutation test "
              "of this run, p = 0.400).");
}

TEST(Verdict, OfAStudyAlongAnAxis) {
    const auto runs = together({seeds_of("0.01", {0.13, 0.14, 0.15}, 0.91), seeds_of("0", {-0.03, -0.031, -0.032}, 0.93),
                                seeds_of("0.001", {-0.03, 0.03, 0.015}, 0.92)});
    const ReportRows rows = rows_of(runs);
    EXPECT_EQ(rows.axis, "weight-decay");
    EXPECT_TRUE(rows.logarithmic_axis);
    ASSERT_TRUE(rows.zero_at.has_value());
    EXPECT_NEAR(*rows.zero_at, 1e-4, 1e-12);
    std::vector<double> places;
    for (const ReportRow& row : rows.rows) places.push_back(row.place.value());
    EXPECT_THAT(places, ElementsAre(0, 0.001, 0.01));
    EXPECT_EQ(question_of(rows), "How do topology and accuracy change with weight-decay?");
    // 8 of 9 pairs of 0 and 0.001 ascend (-0.03 ties with -0.03: half), all others do: 26.5 of 27.
    EXPECT_EQ(verdict_sentence(rows),
              "After 20 epochs the topology is positive in 1 of 3 rows (weight-decay 0.01: +0.140 ± 0.025); negative in 1 "
              "of 3 rows (weight-decay 0: -0.031 ± 0.002); undecided in 1 of 3 rows (weight-decay 0.001: +0.005 ± 0.078). "
              "It rises with weight-decay (98 % of the pairs of runs ascend, chance 50 %; p = 0.002).");  // 4 of 1680 arrangements
    EXPECT_EQ(accuracy_sentence(rows),
              "Test accuracy from 91.20 ± 0.25 % (weight-decay 0.01) to 93.20 ± 0.25 % (weight-decay 0); apart by 2.00 ± "
              "0.23 points.");
}

TEST(Verdict, OfRowsThatAgreeAndDoNotDependOnTheAxis) {
    const auto runs = together({seeds_of("0", {0.13, 0.14, 0.15}, 0.9), seeds_of("0.1", {0.14, 0.15, 0.13}, 0.9),
                                seeds_of("0.2", {0.15, 0.13, 0.14}, 0.9)});
    const ReportRows rows = rows_of(runs);
    EXPECT_FALSE(rows.logarithmic_axis);  // 0.2 is but twice 0.1
    EXPECT_THAT(verdict_sentence(rows),
                testing::AllOf(testing::StartsWith("After 20 epochs the topology is positive in all 3 rows (contrast up to "
                                                   "+0.140 ± 0.025 at weight-decay 0"),
                               testing::EndsWith(" That it changes with weight-decay is not shown (50 % of the pairs of "
                                                 "runs ascend, chance 50 %; p = 1.000).")));
    EXPECT_THAT(accuracy_sentence(rows), HasSubstr("the seeds do not tell the two apart"));
}

TEST(Verdict, WithoutAMapThereIsNone) {
    ReportedRun dense = planted_run({}, 1, 0, 0.9);
    dense.sign.reset();
    const std::vector<ReportedRun> runs{dense};
    EXPECT_EQ(verdict_sentence(rows_of(runs)), "");
    EXPECT_EQ(accuracy_sentence(rows_of(runs)), "Test accuracy 90.00 % after 20 epochs.");
}

TEST(Rows, AreNamedByWhatSetsThemApart) {
    std::vector<ReportedRun> runs;
    for (const char* prune : {"sign", "magnitude"}) {
        for (const char* decay : {"0", "0.1"}) {
            runs.push_back(planted_run({{"prune", prune}, {"weight-decay", decay}}, 1, 0.1, 0.9));
        }
    }
    const ReportRows rows = rows_of(runs);
    ASSERT_EQ(rows.rows.size(), 4U);
    EXPECT_TRUE(rows.axis.empty());
    EXPECT_THAT(rows.varied, ElementsAre("prune", "weight-decay"));
    EXPECT_EQ(rows.rows[1].name, "prune sign, weight-decay 0.1");
    EXPECT_EQ(question_of(rows), "How do topology and accuracy differ by prune, weight-decay?");
}

}  // namespace
}  // namespace espalier
