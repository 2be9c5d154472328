#include "espalier/power_law.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "espalier/random.hpp"
#include "espalier/topology.hpp"

namespace espalier {
namespace {

/// Degrees drawn from a discrete power law from `smallest` on, by walking up its cumulative distribution.
std::vector<EdgeIndex> power_law_degrees(double exponent, std::uint64_t smallest, int neurons, std::uint64_t seed) {
    const double norm = hurwitz_zeta(exponent, static_cast<double>(smallest));
    std::vector<EdgeIndex> degrees;
    for (int n = 0; n < neurons; ++n) {
        const Stream stream{seed, Purpose::synthetic, 0, 0};
        const double uniform = (stream.bits(static_cast<std::uint64_t>(n)) + 0.5) / 4294967296.0;
        double below = 0;
        std::uint64_t k = smallest;
        for (; k < 50'000; ++k) {
            below += std::pow(static_cast<double>(k), -exponent) / norm;
            if (below >= uniform) break;
        }
        degrees.push_back(static_cast<EdgeIndex>(k));
    }
    return degrees;
}

TEST(DegreeDistribution, KeepsZeroBins) {
    EXPECT_THAT(degree_distribution({3, 0, 1, 1, 3, 5}), testing::ElementsAre(1, 2, 0, 2, 0, 1));
    EXPECT_TRUE(degree_distribution({}).empty());
}

TEST(HurwitzZeta, KnownValues) {
    const double pi = std::numbers::pi;
    EXPECT_NEAR(hurwitz_zeta(2, 1), pi * pi / 6, 1e-13);
    EXPECT_NEAR(hurwitz_zeta(4, 1), std::pow(pi, 4) / 90, 1e-13);
    EXPECT_NEAR(hurwitz_zeta(3, 1), 1.2020569031595942, 1e-13);
    EXPECT_NEAR(hurwitz_zeta(1.5, 1), 2.612375348685488, 1e-12);
    EXPECT_NEAR(hurwitz_zeta(2, 10) / (pi * pi / 6 - 1.5397677311665408), 1, 1e-12);  // less the first nine squares
    EXPECT_NEAR(hurwitz_zeta(40, 3) / std::pow(3.0, -40), 1 + std::pow(0.75, 40) + std::pow(0.6, 40), 1e-8);
    // zeta(s, q) - zeta(s, q + 1) = q^-s
    for (const double s : {1.01, 2.7, 17.0, 50.0}) {
        for (const double q : {1.0, 9.0, 400.0}) {
            const double first = hurwitz_zeta(s, q) - hurwitz_zeta(s, q + 1);
            EXPECT_NEAR(first / std::pow(q, -s), 1, 1e-9 * hurwitz_zeta(s, q) / std::pow(q, -s)) << s << ' ' << q;
        }
    }
}

TEST(PowerLaw, FindsThePlantedExponentAndIsNotRuledOut) {
    for (const double exponent : {2.2, 3.0}) {
        const auto distribution = degree_distribution(power_law_degrees(exponent, 4, 3000, 5));
        const PowerLaw law = fit_power_law(distribution);
        ASSERT_TRUE(law.found());
        // Standard error (alpha - 1) / sqrt(tail), eq. 3.6; four of them.
        EXPECT_NEAR(law.exponent, exponent, 4 * (exponent - 1) / std::sqrt(static_cast<double>(law.tail)));
        EXPECT_GE(law.smallest, 4U);
        EXPECT_GT(law.tail, 300U);
        EXPECT_GT(power_law_p_value(distribution, law, 60), 0.1);
    }
}

TEST(PowerLaw, TheTailIsFoundAboveADifferentBody) {
    auto degrees = power_law_degrees(2.5, 20, 2000, 9);
    for (EdgeIndex n = 0; n < 4000; ++n) degrees.push_back(1 + n % 20);
    const PowerLaw law = fit_power_law(degree_distribution(degrees));
    EXPECT_GE(law.smallest, 17U);
    EXPECT_LE(law.smallest, 40U);
    EXPECT_NEAR(law.exponent, 2.5, 0.3);
}

TEST(PowerLaw, TheProbabilitiesAddUpToOne) {
    const PowerLaw law{2.5, 3, 100, 0};
    double sum = 0;
    for (std::uint64_t k = 3; k < 200'000; ++k) sum += probability(law, k);
    EXPECT_NEAR(sum, 1, 1e-6);  // beyond: about (3 / 200,000)^1.5
    EXPECT_THROW((void)probability(law, 2), std::logic_error);
}

TEST(PowerLaw, AGeometricDistributionIsRuledOut) {
    std::vector<std::uint64_t> distribution{0};
    for (int k = 1; k < 60; ++k) distribution.push_back(static_cast<std::uint64_t>(20'000 * 0.1 * std::pow(0.9, k)));
    const PowerLaw law = fit_power_law(distribution);
    ASSERT_TRUE(law.found());
    EXPECT_LT(power_law_p_value(distribution, law, 60), 0.1)
        << law.exponent << " from " << law.smallest << ' ' << law.tail;
}

TEST(PowerLaw, NothingToFit) {
    for (const auto& degrees : {std::vector<EdgeIndex>{}, {0, 0, 0}, {7, 7, 7}}) {
        const auto distribution = degree_distribution(degrees);
        const PowerLaw law = fit_power_law(distribution);
        EXPECT_FALSE(law.found());
        EXPECT_TRUE(std::isnan(power_law_p_value(distribution, law)));
    }
    EXPECT_TRUE(fit_power_law(degree_distribution({1, 2})).found());
}

TEST(PowerLaw, SameSeedSamePValue) {
    const auto distribution = degree_distribution(power_law_degrees(2.5, 2, 300, 1));
    const PowerLaw law = fit_power_law(distribution);
    EXPECT_EQ(power_law_p_value(distribution, law, 50, 3), power_law_p_value(distribution, law, 50, 3));
}

/// Neurons per degree of a Poisson distribution, in expectation.
std::vector<std::uint64_t> poisson_distribution(double rate, double neurons) {
    std::vector<std::uint64_t> distribution;
    for (int k = 0; k < 4 * rate + 20; ++k) {
        distribution.push_back(static_cast<std::uint64_t>(std::round(neurons * std::exp(k * std::log(rate) - rate - std::lgamma(k + 1.0)))));
    }
    return distribution;
}

TEST(PowerLaw, AShortTailIsNotFitted) {
    // 49 neurons in all, then 50.
    std::vector<std::uint64_t> distribution{0, 25, 12, 6, 4, 2};
    EXPECT_TRUE(fit_power_law(distribution).found());
    EXPECT_FALSE(fit_power_law(distribution, least_tail).found());
    ++distribution[1];
    const PowerLaw law = fit_power_law(distribution, least_tail);
    EXPECT_TRUE(law.found());
    EXPECT_EQ(law.tail, least_tail);
    EXPECT_EQ(against_poisson(distribution, PowerLaw{}).ratio, 0);
    EXPECT_EQ(against_log_normal(distribution, PowerLaw{}).p_value, 1);
}

TEST(PowerLaw, StandsAgainstPoissonWhereItIsTrueAndFallsWhereItIsNot) {
    const auto scale_free = degree_distribution(power_law_degrees(2.5, 4, 3000, 5));
    const Alternative for_it = against_poisson(scale_free, fit_power_law(scale_free, least_tail));
    EXPECT_GT(for_it.ratio, 100);
    EXPECT_LT(for_it.p_value, 0.05);
    const auto random = poisson_distribution(18, 20'000);
    const PowerLaw whole = fit_power_law(random, 10'000);  // not only the far tail, where all fall off alike
    const Alternative against_it = against_poisson(random, whole);
    EXPECT_LT(against_it.ratio, 0);
    EXPECT_LT(against_it.p_value, 0.1) << whole.exponent << " from " << whole.smallest << ", " << whole.tail;
}

TEST(PowerLaw, ALogNormalIsToldFromItAndAPowerLawNotFromALogNormal) {
    std::vector<std::uint64_t> log_normal{0};
    const double mu = 3, sigma = 0.6;
    for (int k = 1; k < 400; ++k) {
        const auto below = [&](double x) { return 0.5 * std::erfc((mu - std::log(x)) / (sigma * std::sqrt(2.0))); };
        log_normal.push_back(static_cast<std::uint64_t>(std::round(20'000 * (below(k + 0.5) - below(k - 0.5)))));
    }
    // From degree 10 on the body counts too: there the two are far apart.
    const PowerLaw law{2.5, 10, 19'000, 0.1};
    const Alternative found = against_log_normal(log_normal, law);
    EXPECT_LT(found.ratio, -100);
    EXPECT_LT(found.p_value, 1e-6);
    const auto scale_free = degree_distribution(power_law_degrees(2.5, 4, 3000, 5));
    const Alternative close = against_log_normal(scale_free, fit_power_law(scale_free, least_tail));
    EXPECT_LT(std::abs(close.ratio), 10);  // a log-normal can bend along a power law, but no better than it
}

}  // namespace
}  // namespace espalier
