// The order of sums over batch tiles: the tree of halves, of which the tiles of each of R processes are a whole branch.
#include "cuda/kernels/update.cuh"

#include <algorithm>
#include <bit>

#include "kernel_cases.hpp"

namespace espalier::cuda {
namespace {

using Halves = cuda_on_host::EveryOrder;
INSTANTIATE_TEST_SUITE_P(Orders, Halves, testing::ValuesIn(cuda_on_host::every_order));

/// sums[v][thread] of parts[part][v][thread], parts first, first + stride .. of `parts` only.
template <int values>
__global__ void sum_kernel(const float* from, Index first, Index stride, Index parts, float* sums) {
    float sum[values];
    sum_by_halves(parts, sum, [&](Index part, float(&of_part)[values]) {
        for (Index v = 0; v < values; ++v) {
            of_part[v] = from[((first + part * stride) * values + v) * blockDim.x + threadIdx.x];
        }
    });
    for (Index v = 0; v < values; ++v) sums[v * blockDim.x + threadIdx.x] = sum[v];
}

constexpr int values = 2;

std::vector<float> sum_on_device(const std::vector<float>& parts, Index first, Index stride, Index count) {
    const DeviceArray<float> from(parts);
    const DeviceArray<float> sums(std::size_t{values} * threads);
    launch(sum_kernel<values>, dim3(1), dim3(threads), halves_shared_bytes(count, threads, values), from.data(), first,
           stride, count, sums.data());
    return sums.read();
}

/// As the CPU backend says it, in place.
std::vector<float> sum_by_definition(std::vector<float> parts, Index count) {
    const std::size_t width = std::size_t{values} * threads;
    for (Index half = std::bit_ceil(count) / 2; half >= 1; half /= 2) {
        for (Index t = 0; t < half && t + half < count; ++t) {
            for (std::size_t i = 0; i < width; ++i) parts[t * width + i] += parts[(t + half) * width + i];
        }
    }
    parts.resize(width);
    return parts;
}

TEST_P(Halves, SumsAreThoseOfTheDefinitionWhoeverHasTheParts) {
    const std::size_t width = std::size_t{values} * threads;
    for (const Index count : {1U, 2U, 3U, 5U, 8U, 13U, 40U}) {
        std::vector<float> parts = random_values(count, count * width);
        for (std::size_t i = 0; i < parts.size(); ++i) parts[i] *= i % 3 == 0 ? 1e6F : i % 3 == 1 ? 1.0F : 1e-6F;
        const std::vector<float> whole = sum_by_definition(parts, count);
        ASSERT_EQ(sum_on_device(parts, 0, 1, count), whole) << count << " parts";
        for (const Index ranks : {2U, 4U, 8U}) {
            std::vector<float> of_ranks;
            const Index there = std::min(ranks, count);
            for (Index rank = 0; rank < there; ++rank) {
                const std::vector<float> own = sum_on_device(parts, rank, ranks, (count - rank + ranks - 1) / ranks);
                of_ranks.insert(of_ranks.end(), own.begin(), own.end());
            }
            ASSERT_EQ(sum_on_device(of_ranks, 0, 1, there), whole) << count << " parts of " << ranks << " ranks";
        }
    }
}

/// What ranks do with each other's sums, into the first of them.
TEST_P(Halves, ArraysAreAddedInPlace) {
    constexpr Index width = values * threads;
    for (const Index count : {1U, 2U, 5U, 8U}) {
        const std::vector<float> parts = random_values(count, std::size_t{count} * width);
        const DeviceArray<float> arrays(parts);
        launch(sum_arrays_kernel<threads>, dim3(values), dim3(threads), halves_shared_bytes(count, threads), arrays.data(),
               std::size_t{width}, count, std::size_t{width - 3}, arrays.data());
        std::vector<float> found = arrays.read();
        ASSERT_TRUE(std::equal(found.begin() + width - 3, found.end(), parts.begin() + width - 3)) << "past its items";
        std::vector<float> want = sum_by_definition(parts, count);
        found.resize(width - 3);
        want.resize(width - 3);
        ASSERT_EQ(found, want) << count << " arrays";
    }
}

TEST_P(Halves, NoPartsAreZero) {
    EXPECT_EQ(sum_on_device({1.0F}, 0, 1, 0), std::vector<float>(std::size_t{values} * threads, 0.0F));
}

}  // namespace
}  // namespace espalier::cuda
