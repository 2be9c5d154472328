// The order of sums: by halves in place, by halves as parts come, and in pieces dealt out to processes, the same bits.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "espalier/random.hpp"
#include "host/cpu/halves.hpp"

namespace espalier {
namespace {

constexpr Index items = 7;
using Part = std::vector<float>;

/// Parts of both signs over 12 decades.
std::vector<Part> make_parts(Index count, std::uint32_t event) {
    const Stream stream{5, Purpose::shuffle, 0, event};
    std::vector<Part> parts(count, Part(items));
    for (Index t = 0; t < count; ++t) {
        for (Index i = 0; i < items; ++i) {
            const std::uint64_t n = 2 * (std::uint64_t{t} * items + i);
            const double size = std::pow(10.0, static_cast<double>(stream.bits(n) % 1200) / 100 - 6);
            const bool negative = stream.bits(n + 1) % 2 != 0;
            parts[t][i] = static_cast<float>(negative ? -size : size);
        }
    }
    return parts;
}

Part in_place(const std::vector<Part>& parts) {
    std::vector<float> memory;
    for (const Part& part : parts) memory.insert(memory.end(), part.begin(), part.end());
    sum_in_place_by_halves(memory.data(), items, static_cast<Index>(parts.size()), {0, items});
    return {memory.begin(), memory.begin() + items};
}

Part as_they_come(const std::vector<Part>& parts) {
    const auto count = static_cast<Index>(parts.size());
    std::vector<float> memory(blocks_of_halves(count) * items);
    sum_by_halves(count, memory.data(), items, items,
                  [&](Index t, float* to) { std::copy(parts[t].begin(), parts[t].end(), to); });
    return {memory.begin(), memory.begin() + items};
}

/// Part t belongs to process t mod `ranks`; each sums its own, then those sums are added.
Part in_pieces(const std::vector<Part>& parts, std::size_t ranks) {
    std::vector<Part> sums;
    for (std::size_t rank = 0; rank < std::min(ranks, parts.size()); ++rank) {
        std::vector<Part> own;
        for (std::size_t t = rank; t < parts.size(); t += ranks) own.push_back(parts[t]);
        sums.push_back(in_place(own));
    }
    return in_place(sums);
}

bool equal_parts(const Part& a, const Part& b) { return std::memcmp(a.data(), b.data(), items * sizeof(float)) == 0; }

TEST(Halves, EveryWayToTheSumHasTheSameBits) {
    for (Index count = 1; count <= 40; ++count) {
        const std::vector<Part> parts = make_parts(count, count);
        const Part sum = in_place(parts);
        EXPECT_TRUE(equal_parts(sum, as_they_come(parts))) << count;
        for (std::size_t ranks = 1; ranks <= 32; ranks *= 2) {
            EXPECT_TRUE(equal_parts(sum, in_pieces(parts, ranks))) << count << " parts, " << ranks << " processes";
        }
        for (Index i = 0; i < items; ++i) {
            double exact = 0;
            double sizes = 0;
            for (const Part& part : parts) {
                exact += static_cast<double>(part[i]);
                sizes += std::fabs(static_cast<double>(part[i]));
            }
            // at most log2(40) roundings a part
            EXPECT_NEAR(static_cast<double>(sum[i]), exact, 6 * 6.0e-8 * sizes) << count << " parts, item " << i;
        }
    }
}

TEST(Halves, UpToTwoPartsAreAddedInTheirOrder) {
    const std::vector<Part> parts = make_parts(2, 77);
    Part expected = parts[0];
    for (Index i = 0; i < items; ++i) expected[i] += parts[1][i];
    EXPECT_TRUE(equal_parts(in_place(parts), expected));
    EXPECT_TRUE(equal_parts(in_place({parts[0]}), parts[0]));
}

TEST(Halves, WhatDoesNotExistIsNotAddedAsZero) {
    std::vector<Part> parts(3, Part(items, -0.0F));
    EXPECT_TRUE(std::signbit(in_place(parts)[0]));
    EXPECT_TRUE(std::signbit(as_they_come(parts)[0]));
    EXPECT_TRUE(std::signbit(in_pieces(parts, 4)[0]));
}

}  // namespace
}  // namespace espalier
