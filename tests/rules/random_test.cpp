// Random numbers: the generator against published answers, draws and permutations against their distributions. Seeds
// are fixed, so no test here can fail by chance.
#include "espalier/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include "chi_square.hpp"

namespace espalier {
namespace {

void expect_words(const RandomBlock& got, const RandomBlock& want) {
    for (int i = 0; i < 4; ++i) EXPECT_EQ(got.word[i], want.word[i]) << "word " << i;
}

// Random123's known answers (kat_vectors, philox4x32 10).
TEST(Philox, KnownAnswers) {
    expect_words(philox4x32({{0, 0, 0, 0}}, 0, 0), {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
    constexpr std::uint32_t ones = 0xffffffff;
    expect_words(philox4x32({{ones, ones, ones, ones}}, ones, ones),
                 {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
    expect_words(philox4x32({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0),
                 {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});
}

TEST(Stream, DrawsAreTheWordsOfItsBlocks) {
    const Stream stream{0x123456789abcdefULL, Purpose::grow, 5, 7};
    for (std::uint64_t n : {std::uint64_t{0}, std::uint64_t{41}, std::uint64_t{1} << 40}) {
        for (std::uint64_t word = 0; word < 4; ++word) {
            EXPECT_EQ(stream.bits(4 * n + word), stream.block(n).word[word]);
        }
    }
    expect_words(stream.block(0x1122334455667788ULL),
                 philox4x32({{0x55667788, 0x11223344, 7, 5U << 24 | 5}}, 0x89abcdef, 0x1234567));
}

TEST(Stream, EveryPartTellsStreamsApart) {
    const Stream base{1, Purpose::topology, 2, 3};
    std::set<std::uint64_t> seen;
    for (const Stream& stream :
         {base, Stream{2, Purpose::topology, 2, 3}, Stream{1ULL << 32 | 1, Purpose::topology, 2, 3},
          Stream{1, Purpose::grow, 2, 3}, Stream{1, Purpose::topology, 3, 3}, Stream{1, Purpose::topology, 2, 4}}) {
        seen.insert(std::uint64_t{stream.bits(0)} << 32 | stream.bits(1));
    }
    EXPECT_EQ(seen.size(), 6U);
}

TEST(Draws, BoundedIsTheHighWordOfTheProduct) {
    EXPECT_EQ(bounded(0xffffffffU, 10), 9U);
    EXPECT_EQ(bounded(0, 10), 0U);
    const Stream stream{3, Purpose::sample, 0, 0};
    for (std::uint64_t n = 0; n < 20000; ++n) {
        const std::uint64_t bits = std::uint64_t{stream.bits(4 * n)} << 32 | stream.bits(4 * n + 1);
        const std::uint64_t bound = (std::uint64_t{stream.bits(4 * n + 2)} << 32 | stream.bits(4 * n + 3)) >> (n % 64);
        __extension__ using Wide = unsigned __int128;
        EXPECT_EQ(bounded64(bits, bound), static_cast<std::uint64_t>((Wide{bits} * bound) >> 64));
    }
}

TEST(Draws, BernoulliAtItsEnds) {
    EXPECT_FALSE(bernoulli(0, 0));
    EXPECT_TRUE(bernoulli(0xffffffffU, 1));
    EXPECT_TRUE(bernoulli(0x7fffffffU, 0.5));
    EXPECT_FALSE(bernoulli(0x80000000U, 0.5));
}

/// Draws of [0, bins) against equal shares.
TEST(Draws, UniformByChiSquare) {
    for (const std::uint32_t bins : {2U, 10U, 784U}) {
        const Stream stream{11, Purpose::sample, bins, 0};
        std::vector<double> count(bins, 0);
        for (std::uint64_t n = 0; n < 1000000; ++n) count[bounded(stream.bits(n), bins)] += 1;
        EXPECT_LT(std::abs(chi_square_deviation(count, 1e6 / bins)), 4) << bins << " bins";
    }
}

TEST(Normal, MomentsAndTails) {
    const Stream stream{5, Purpose::initial_weight, 1, 0};
    constexpr int draws = 4000000;
    double sum[5] = {};
    int beyond[6] = {};
    for (std::uint64_t n = 0; n < draws; ++n) {
        const double x = normal(stream.bits(n));
        double power = 1;
        for (double& each : sum) {
            each += power;
            power *= x;
        }
        for (int sigma = 1; sigma < 6; ++sigma) beyond[sigma] += std::abs(x) > sigma ? 1 : 0;
    }
    // means of powers with their standard errors, sqrt(E x^2k - (E x^k)^2) / sqrt(draws)
    const double root = std::sqrt(static_cast<double>(draws));
    EXPECT_NEAR(sum[1] / draws, 0, 4 * 1 / root);
    EXPECT_NEAR(sum[2] / draws, 1, 4 * std::sqrt(2.0) / root);
    EXPECT_NEAR(sum[3] / draws, 0, 4 * std::sqrt(15.0) / root);
    EXPECT_NEAR(sum[4] / draws, 3, 4 * std::sqrt(96.0) / root);
    for (int sigma = 1; sigma < 6; ++sigma) {
        const double expected = draws * std::erfc(sigma / std::sqrt(2.0));
        EXPECT_NEAR(beyond[sigma], expected, 4 * std::sqrt(expected) + 1) << "beyond " << sigma << " sigma";
    }
}

/// Largest distance between the empirical distribution function and the normal one, in units of 1 / sqrt(draws).
TEST(Normal, KolmogorovSmirnov) {
    const Stream stream{6, Purpose::new_weight, 2, 9};
    std::vector<double> draws(1000000);
    for (std::uint64_t n = 0; n < draws.size(); ++n) draws[n] = normal(stream.bits(n));
    std::sort(draws.begin(), draws.end());
    double worst = 0;
    const auto size = static_cast<double>(draws.size());
    for (std::size_t i = 0; i < draws.size(); ++i) {
        const double below = 0.5 * std::erfc(-draws[i] / std::sqrt(2.0));
        worst = std::max({worst, below - static_cast<double>(i) / size, static_cast<double>(i + 1) / size - below});
    }
    EXPECT_LT(worst * std::sqrt(size), 1.63);  // the 1 % point of the Kolmogorov distribution
}

TEST(Permutation, TakesEveryValueOnce) {
    std::vector<std::uint64_t> sizes(300);
    std::iota(sizes.begin(), sizes.end(), 1);
    for (const std::uint64_t size : {1000U, 4095U, 4096U, 4097U, 60000U, 65536U, 65537U, 401408U})
        sizes.push_back(size);
    for (const std::uint64_t size : sizes) {
        const Permutation permutation(size, Stream{size, Purpose::shuffle, 0, 1});
        std::vector<bool> taken(size, false);
        for (std::uint64_t i = 0; i < size; ++i) {
            const std::uint64_t image = permutation(i);
            ASSERT_LT(image, size);
            ASSERT_FALSE(taken[image]) << "size " << size;
            taken[image] = true;
        }
    }
}

TEST(Permutation, LargeRangesStayInsideAndDistinct) {
    for (const std::uint64_t size : {(std::uint64_t{1} << 32) - 1, std::uint64_t{1} << 32, (std::uint64_t{1} << 32) + 1,
                                     std::uint64_t{1} << 40, ~std::uint64_t{0} - 0xffffffffU}) {
        const Permutation permutation(size, Stream{8, Purpose::grow, 0, 0});
        std::set<std::uint64_t> images;
        for (std::uint64_t i = 0; i < 5000; ++i) {
            images.insert(permutation(i));
            images.insert(permutation(size - 1 - i));
        }
        EXPECT_EQ(images.size(), 10000U);
        EXPECT_LT(*images.rbegin(), size);
        EXPECT_GT(*images.rbegin(), size / 2);
    }
}

/// All arrangements of a few numbers, equally often.
TEST(Permutation, SmallOnesAreUniform) {
    for (const std::uint64_t size : {2U, 3U, 4U, 5U, 6U}) {
        std::map<std::vector<std::uint64_t>, double> seen;
        constexpr std::uint32_t trials = 60000;
        for (std::uint32_t trial = 0; trial < trials; ++trial) {
            const Permutation permutation(size, Stream{21, Purpose::shuffle, 3, trial});
            std::vector<std::uint64_t> images;
            for (std::uint64_t i = 0; i < size; ++i) images.push_back(permutation(i));
            seen[images] += 1;
        }
        std::vector<double> count;
        for (const auto& [images, times] : seen) count.push_back(times);
        const double arrangements = std::tgamma(static_cast<double>(size) + 1);
        ASSERT_EQ(static_cast<double>(count.size()), std::round(arrangements));
        EXPECT_LT(std::abs(chi_square_deviation(count, trials / arrangements)), 4) << "size " << size;
    }
}

/// The pair of the first two images, and their difference: where a weak network shows first.
TEST(Permutation, PairsAreUniform) {
    for (const std::uint64_t size : {7U, 8U, 13U, 33U, 64U, 129U, 4097U}) {
        const std::uint32_t trials = size < 100 ? 200000 : 500000;
        std::vector<double> pair(size < 200 ? size * size : 0, 0);
        std::vector<double> difference(size, 0);
        for (std::uint32_t trial = 0; trial < trials; ++trial) {
            const Permutation permutation(size, Stream{7, Purpose::grow, 1, trial});
            const std::uint64_t a = permutation(0);
            const std::uint64_t b = permutation(1);
            if (!pair.empty()) pair[a * size + b] += 1;
            difference[(b + size - a) % size] += 1;
        }
        const auto n = static_cast<double>(size);
        std::vector<double> distinct;
        for (std::uint64_t i = 0; i < pair.size(); ++i) {
            if (i / size != i % size) distinct.push_back(pair[i]);
        }
        difference.erase(difference.begin());
        EXPECT_LT(std::abs(chi_square_deviation(difference, trials / (n - 1))), 4.5) << "size " << size;
        if (distinct.empty()) continue;
        EXPECT_LT(std::abs(chi_square_deviation(distinct, trials / (n * (n - 1)))), 4.5) << "size " << size;
    }
}

}  // namespace
}  // namespace espalier
