#include "espalier/topology_statistics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "espalier/random.hpp"

namespace espalier {
namespace {

using testing::DoubleEq;
using testing::DoubleNear;
using testing::ElementsAre;

/// A map with one value in the centred `side` x `side` square and another outside.
PixelMap two_levels(Index height, Index width, Index side, double centre, double margin) {
    PixelMap map{height, width, std::vector<double>(std::size_t{height} * width, margin)};
    for (Index y = (height - side) / 2; y < (height - side) / 2 + side; ++y) {
        for (Index x = (width - side) / 2; x < (width - side) / 2 + side; ++x) map.values[y * width + x] = centre;
    }
    return map;
}

/// The map of an Erdős–Rényi layer.
PixelMap random_map(Index side, Index outputs, Cell edges, std::uint64_t seed) {
    const Topology topology =
        random_topology(side * side, outputs, edges, ExactCount{}, Stream{seed, Purpose::topology, 0, 0});
    return pixel_map(degrees(topology).inputs, {side, side, 1});
}

TEST(PixelMap, SumsTheChannelsAndKeepsPixelsWithoutEdges) {
    const PixelMap map = pixel_map({1, 0, 2, 3, 4, 0, 5, 6, 7, 0, 8, 9}, {2, 3, 2});
    EXPECT_EQ(map.height, 2U);
    EXPECT_EQ(map.width, 3U);
    EXPECT_THAT(map.values, ElementsAre(6, 6, 9, 3, 12, 9));
    EXPECT_DOUBLE_EQ(mean(map), 45.0 / 6);
    EXPECT_THROW((void)pixel_map({1, 2, 3}, {2, 2, 1}), std::logic_error);
}

TEST(TrendCurve, CentredSquaresOfAnEvenImage) {
    // clang-format off
    const PixelMap map{4, 4, {1, 1, 1, 1,
                              1, 5, 7, 1,
                              1, 6, 2, 1,
                              1, 1, 1, 5}};
    // clang-format on
    EXPECT_THAT(trend_curve(map), ElementsAre(DoubleEq(5), DoubleEq(36.0 / 16)));
    EXPECT_THAT(ring_curve(map), ElementsAre(DoubleEq(5), DoubleEq(16.0 / 12)));
}

TEST(TrendCurve, OddAndOblongImages) {
    const PixelMap odd{3, 3, {1, 2, 3, 4, 50, 6, 7, 8, 9}};
    EXPECT_THAT(trend_curve(odd), ElementsAre(DoubleEq(50), DoubleEq(10)));
    EXPECT_THAT(ring_curve(odd), ElementsAre(DoubleEq(50), DoubleEq(5)));
    const PixelMap row{1, 5, {1, 2, 9, 4, 5}};
    EXPECT_THAT(trend_curve(row), ElementsAre(DoubleEq(9), DoubleEq(5), DoubleEq(21.0 / 5)));
    EXPECT_THAT(ring_curve(row), ElementsAre(DoubleEq(9), DoubleEq(3), DoubleEq(3)));
}

TEST(TrendCurve, OfTheStudysImageHasFourteenSquaresAndEndsInTheMean) {
    const PixelMap map = random_map(28, 512, 14256, 3);
    const auto curve = trend_curve(map);
    ASSERT_EQ(curve.size(), 14U);
    double rows_13_14 = 0;
    for (const Index y : {13U, 14U}) rows_13_14 += map.values[y * 28 + 13] + map.values[y * 28 + 14];
    EXPECT_DOUBLE_EQ(curve[0], rows_13_14 / 4);
    EXPECT_DOUBLE_EQ(curve[13], 14256.0 / 784);
    EXPECT_DOUBLE_EQ(curve[6] / curve[13] - 1, contrast(map));  // v[6] is the square of side 14
    double weighted = 0;
    const auto rings = ring_curve(map);
    for (Index i = 0; i < 14; ++i) weighted += rings[i] * (4.0 * (i + 1) * (i + 1) - 4.0 * i * i);
    EXPECT_NEAR(weighted, 14256, 1e-8);
}

TEST(Contrast, OfHandMadeMaps) {
    EXPECT_DOUBLE_EQ(contrast(two_levels(28, 28, 14, 3, 1)), 3 / 1.5 - 1);
    EXPECT_DOUBLE_EQ(contrast(two_levels(28, 28, 14, 0, 4)), -1);
    EXPECT_DOUBLE_EQ(contrast(two_levels(8, 12, 2, 9, 1), 2), 9 / (1 + 8 * 4.0 / 96) - 1);
    EXPECT_DOUBLE_EQ(contrast(two_levels(5, 5, 5, 2, 0), 5), 0);
    EXPECT_TRUE(std::isnan(contrast(two_levels(4, 4, 2, 0, 0))));
    EXPECT_EQ(default_centre_side(two_levels(1, 9, 1, 1, 1)), 1U);
    EXPECT_THROW((void)contrast(two_levels(4, 6, 2, 1, 1), 5), std::logic_error);
}

TEST(MarginContrast, ComparesTheOuterPixelsWithAll) {
    const double inside = 24.0 * 24 / (28 * 28);
    EXPECT_DOUBLE_EQ(margin_contrast(two_levels(28, 28, 24, 3, 1)), 1 / (3 * inside + 1 - inside) - 1);
    EXPECT_DOUBLE_EQ(margin_contrast(two_levels(28, 28, 24, 5, 0)), -1);
    EXPECT_DOUBLE_EQ(margin_contrast(two_levels(28, 28, 26, 2, 0), 1), -1);
    EXPECT_GT(margin_contrast(two_levels(28, 28, 26, 2, 0), 2), -1);
    EXPECT_DOUBLE_EQ(margin_contrast(two_levels(5, 9, 3, 4, 4)), 0);
    EXPECT_DOUBLE_EQ(margin_contrast(PixelMap{1, 3, {1, 2, 6}}), 0) << "nothing but margin";
    EXPECT_TRUE(std::isnan(margin_contrast(two_levels(4, 4, 2, 0, 0))));
}

TEST(Correlation, OfHandMadeMaps) {
    const PixelMap map{2, 2, {1, 2, 3, 4}};
    EXPECT_DOUBLE_EQ(correlation(map, {2, 2, {10, 30, 50, 70}}), 1);
    EXPECT_DOUBLE_EQ(correlation(map, {2, 2, {4, 3, 2, 1}}), -1);
    EXPECT_DOUBLE_EQ(correlation(map, {2, 2, {1, 3, 2, 4}}), 0.8);
    EXPECT_TRUE(std::isnan(correlation(map, {2, 2, {5, 5, 5, 5}})));
    EXPECT_THROW((void)correlation(map, {1, 4, {1, 2, 3, 4}}), std::logic_error);
}

TEST(SignTest, FindsThePlantedSign) {
    // Edges dealt at random, then a tenth of the margin's moved to the centre, or the other way round.
    for (const double towards_centre : {0.1, -0.1}) {
        PixelMap map = random_map(28, 512, 14256, 11);
        for (Index y = 0; y < 28; ++y) {
            for (Index x = 0; x < 28; ++x) {
                const bool centre = y >= 7 && y < 21 && x >= 7 && x < 21;
                map.values[y * 28 + x] += std::round((centre ? 3 : -1) * towards_centre * 18);
            }
        }
        const SignTest test = sign_test(map);
        EXPECT_EQ(test.learning, towards_centre > 0 ? Learning::positive : Learning::negative);
        EXPECT_LE(test.p_value, 0.001);
        EXPECT_EQ(test.contrast > 0, towards_centre > 0);
    }
}

TEST(SignTest, ExactPValueOfATinyMap) {
    // One of nine pixels is the centre. Only the pixel with the 9 lies as far from the mean (2) as the centre does.
    const PixelMap map{3, 3, {1, 1, 1, 1, 9, 1, 1, 1, 2}};
    const SignTest test = sign_test(map, 1, 0.05, 90000);
    EXPECT_NEAR(test.p_value, 1.0 / 9, 0.004);
    EXPECT_EQ(test.learning, Learning::undecided);
    EXPECT_DOUBLE_EQ(sign_test(two_levels(4, 4, 2, 1, 1)).p_value, 1);
    EXPECT_DOUBLE_EQ(sign_test(two_levels(4, 4, 2, 0, 0)).p_value, 1);
}

TEST(SignTest, FalsePositivesAtTheStatedLevel) {
    constexpr int maps = 1000;
    int at_5_percent = 0, at_1_percent = 0, positive = 0;
    for (std::uint64_t i = 0; i < maps; ++i) {
        const SignTest test = sign_test(random_map(12, 64, 1400, 1000 + i), 0, 0.05, 499, i);
        at_5_percent += test.p_value <= 0.05;
        at_1_percent += test.p_value <= 0.01;
        positive += test.learning == Learning::positive;
    }
    // Binomial: 50 +- 6.9 and 10 +- 3.1; four standard deviations allowed.
    EXPECT_GT(at_5_percent, 50 - 28);
    EXPECT_LT(at_5_percent, 50 + 28);
    EXPECT_LT(at_1_percent, 10 + 13);
    EXPECT_GT(positive, at_5_percent / 5);  // both signs occur
    EXPECT_LT(positive, at_5_percent - at_5_percent / 5);
}

TEST(SignTest, SameSeedSameAnswer) {
    const PixelMap map = random_map(12, 64, 1400, 5);
    EXPECT_EQ(sign_test(map, 0, 0.05, 499, 7).p_value, sign_test(map, 0, 0.05, 499, 7).p_value);
    EXPECT_NE(sign_test(map, 0, 0.05, 499, 7).p_value, sign_test(map, 0, 0.05, 499, 8).p_value);
}

TEST(MeanInterval, MatchesTheTablesOfStudentsDistribution) {
    EXPECT_NEAR(student_quantile(0.95, 1), 12.706204736, 1e-8);
    EXPECT_NEAR(student_quantile(0.95, 2), 4.302652730, 1e-8);
    EXPECT_NEAR(student_quantile(0.95, 4), 2.776445105, 1e-8);
    EXPECT_NEAR(student_quantile(0.99, 9), 3.249835542, 1e-8);
    EXPECT_NEAR(student_quantile(0.95, 1e6), 1.959966, 1e-5);
}

TEST(MeanInterval, AndItsVerdict) {
    const MeanInterval interval = mean_interval({0.1, 0.2, 0.3});
    EXPECT_DOUBLE_EQ(interval.mean, 0.2);
    EXPECT_NEAR(interval.half_width, 4.302652730 * 0.1 / std::sqrt(3.0), 1e-9);
    EXPECT_EQ(verdict(interval), Learning::undecided);
    EXPECT_EQ(verdict(mean_interval({0.19, 0.2, 0.21})), Learning::positive);
    EXPECT_EQ(verdict(mean_interval({-0.19, -0.2, -0.21})), Learning::negative);
    EXPECT_EQ(verdict(mean_interval({0.5})), Learning::undecided);
    EXPECT_TRUE(std::isinf(mean_interval({0.5}).half_width));
}

TEST(MeanInterval, CoversTheTrueMeanAsOftenAsItSays) {
    int covered = 0;
    for (std::uint32_t i = 0; i < 2000; ++i) {
        const Stream stream{1, Purpose::synthetic, 0, i};
        std::vector<double> values;
        for (std::uint64_t n = 0; n < 4; ++n) values.push_back(3 + normal(stream.bits(n)));
        const MeanInterval interval = mean_interval(values);
        covered += interval.low() <= 3 && 3 <= interval.high();
    }
    EXPECT_NEAR(covered, 1900, 4 * std::sqrt(2000 * 0.95 * 0.05));
}

TEST(TopologyOverlap, OfHandMadeTopologies) {
    const Topology a = from_cells(4, 3, {0, 3, 5, 6, 10, 11});
    const TopologyOverlap same = overlap(a, a);
    EXPECT_EQ(same.shared, 6U);
    EXPECT_DOUBLE_EQ(same.expected, 3);
    EXPECT_DOUBLE_EQ(same.jaccard, 1);
    EXPECT_DOUBLE_EQ(same.distance(), 0);
    EXPECT_DOUBLE_EQ(same.deviation, 3 / std::sqrt(3 * 0.5 * 6 / 11));

    const TopologyOverlap other = overlap(a, from_cells(4, 3, {0, 1, 5, 9}));
    EXPECT_EQ(other.shared, 2U);
    EXPECT_DOUBLE_EQ(other.expected, 2);
    EXPECT_DOUBLE_EQ(other.jaccard, 0.25);
    EXPECT_DOUBLE_EQ(other.similarity, 0);
    const Topology full = from_cells(1, 2, {0, 1});
    EXPECT_TRUE(std::isnan(overlap(full, full).similarity));
    EXPECT_THROW((void)overlap(a, full), std::logic_error);
}

TEST(TopologyOverlap, OfRandomTopologiesIsWhatChanceGives) {
    double sum = 0, squares = 0;
    for (std::uint64_t i = 0; i < 200; ++i) {
        const auto draw = [&](std::uint64_t seed) {
            return random_topology(50, 40, 300, ExactCount{}, Stream{seed, Purpose::topology, 0, 0});
        };
        const double deviation = overlap(draw(2 * i), draw(2 * i + 1)).deviation;
        sum += deviation;
        squares += deviation * deviation;
    }
    EXPECT_NEAR(sum / 200, 0, 4 / std::sqrt(200.0));
    EXPECT_NEAR(squares / 200, 1, 0.4);
}

}  // namespace
}  // namespace espalier
