// The accumulators of a block stay in registers: 8 x 48 of them with AVX-512, parts of 4 x 24 with AVX2, of 8 x 12 with
// NEON. Where multiplication and addition do not fuse in hardware (SSSE3) the library's fmaf computes, slowly, the same.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/kernels/gradient_block.cpp"
#include "host/cpu/kernels/simd_targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include <cmath>
#include <cstring>

#include "host/cpu/kernels/gradient_block.hpp"
#include "host/cpu/kernels/simd-inl.hpp"
#include "host/cpu/kernels/transpose-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

/// Whether MulAdd rounds once, as fmaf does.
constexpr bool fuses = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_NEON;

using KeyLanes = hn::RebindToSigned<LaneTag>;

/// Outputs and vectors of inputs whose accumulators fit the registers.
constexpr int part_outputs = HWY_TARGET == HWY_AVX2 ? 4 : 8;
constexpr int part_vectors = 3;
constexpr Index part_inputs = part_vectors * vector_lanes;
static_assert(gradient_inputs % part_inputs == 0 && gradient_outputs % part_outputs == 0);

/// The part of a block that begins at these outputs and inputs.
HWY_INLINE void block_part(const float* HWY_RESTRICT dz, const float* HWY_RESTRICT x, Index samples,
                           std::uint32_t threshold, std::uint32_t* keys, std::uint64_t* reached, Index first_input) {
    const LaneTag d;
    const KeyLanes words;
    Vector sum[part_outputs][part_vectors];
#pragma GCC unroll 8
    for (int r = 0; r < part_outputs; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < part_vectors; ++v) sum[r][v] = hn::Zero(d);
    }
    for (Index s = 0; s < samples; ++s, dz += gradient_outputs, x += gradient_inputs) {
        Vector in[part_vectors];
#pragma GCC unroll 4
        for (int v = 0; v < part_vectors; ++v) in[v] = hn::Load(d, x + static_cast<Index>(v) * vector_lanes);
#pragma GCC unroll 8
        for (int r = 0; r < part_outputs; ++r) {
            const Vector by = hn::Set(d, dz[r]);
#pragma GCC unroll 4
            for (int v = 0; v < part_vectors; ++v) sum[r][v] = hn::MulAdd(by, in[v], sum[r][v]);
        }
    }
    const auto magnitude = hn::Set(words, 0x7fffffff);
    const auto least = hn::Set(words, static_cast<std::int32_t>(threshold));
#pragma GCC unroll 8
    for (int r = 0; r < part_outputs; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < part_vectors; ++v) {
            const auto key = hn::And(hn::BitCast(words, sum[r][v]), magnitude);
            const Index at = first_input + static_cast<Index>(v) * vector_lanes;
            hn::StoreU(key, words, reinterpret_cast<std::int32_t*>(keys) + static_cast<Index>(r) * gradient_inputs + at);
            std::uint8_t bytes[8] = {};
            hn::StoreMaskBits(words, hn::Not(hn::Lt(key, least)), bytes);
            std::uint64_t bits = 0;
            std::memcpy(&bits, bytes, sizeof bits);
            if constexpr (vector_lanes < 8) bits &= (1U << vector_lanes) - 1;
            reached[r] |= bits << at;
        }
    }
}

void GradientBlock(const float* dz, const float* x, Index samples, std::uint32_t threshold,
                   std::uint32_t (&keys)[gradient_outputs * gradient_inputs],
                   std::uint64_t (&reached)[gradient_outputs]) {
    for (std::uint64_t& bits : reached) bits = 0;
    if constexpr (fuses) {
        for (Index r = 0; r < gradient_outputs; r += Index{part_outputs}) {
            for (Index i = 0; i < gradient_inputs; i += part_inputs) {
                block_part(dz + r, x + i, samples, threshold, keys + r * gradient_inputs, reached + r, i);
            }
        }
        return;
    }
    for (Index r = 0; r < gradient_outputs; ++r) {
        for (Index i = 0; i < gradient_inputs; ++i) {
            float sum = 0;
            for (Index s = 0; s < samples; ++s) {
                sum = std::fmaf(dz[s * gradient_outputs + r], x[s * gradient_inputs + i], sum);
            }
            std::uint32_t key = 0;
            std::memcpy(&key, &sum, sizeof key);
            key &= 0x7fffffffU;
            keys[r * gradient_inputs + i] = key;
            reached[r] |= std::uint64_t{key >= threshold ? 1U : 0U} << i;
        }
    }
}

/// A vector of cells at a time, and several of those: each chain waits for its own last addition.
void GradientKeys(const float* dz, Index num_outputs, const float* x, Index num_inputs, Index samples,
                  const Index* outputs, const Index* inputs, EdgeIndex count, std::uint32_t* keys) {
    constexpr int vectors = 4;
    constexpr EdgeIndex chains = EdgeIndex{vectors} * vector_lanes;
    const LaneTag d;
    const KeyLanes words;
    for (EdgeIndex i = 0; i < count; i += chains) {
        alignas(64) std::int32_t output[chains];
        alignas(64) std::int32_t input[chains];
        alignas(64) float sum[chains] = {};
        for (EdgeIndex c = 0; c < chains; ++c) {  // the last ones again where fewer are left
            output[c] = static_cast<std::int32_t>(outputs[i + c < count ? i + c : count - 1]);
            input[c] = static_cast<std::int32_t>(inputs[i + c < count ? i + c : count - 1]);
        }
        if constexpr (fuses) {
            Vector sums[vectors];
#pragma GCC unroll 4
            for (Vector& each : sums) each = hn::Zero(d);
            for (Index s = 0; s < samples; ++s) {
                const float* const dz_row = dz + std::size_t{s} * num_outputs;
                const float* const x_row = x + std::size_t{s} * num_inputs;
#pragma GCC unroll 4
                for (int v = 0; v < vectors; ++v) {
                    const Index at = static_cast<Index>(v) * vector_lanes;
                    sums[v] = hn::MulAdd(hn::GatherIndex(d, dz_row, hn::Load(words, output + at)),
                                         hn::GatherIndex(d, x_row, hn::Load(words, input + at)), sums[v]);
                }
            }
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) hn::Store(sums[v], d, sum + static_cast<Index>(v) * vector_lanes);
        } else {
            for (Index s = 0; s < samples; ++s) {
                for (EdgeIndex c = 0; c < chains; ++c) {
                    sum[c] = std::fmaf(dz[std::size_t{s} * num_outputs + static_cast<Index>(output[c])],
                                       x[std::size_t{s} * num_inputs + static_cast<Index>(input[c])], sum[c]);
                }
            }
        }
        for (EdgeIndex c = 0; c < chains && i + c < count; ++c) {
            std::uint32_t key = 0;
            std::memcpy(&key, &sum[c], sizeof key);
            keys[i + c] = key & 0x7fffffffU;
        }
    }
}

void PackNeurons(const float* const* rows, Index num_rows, Index count, float* to) {
    const Index whole = count / 4 * 4;
    for (Index row = 0; row < num_rows; row += 4) {
        for (Index s = 0; s < whole; s += 4) {
            transpose_rows(rows[row] + s, rows[row + 1] + s, rows[row + 2] + s, rows[row + 3] + s,
                           to + std::size_t{s} * num_rows + row, num_rows);
        }
        for (Index s = whole; s < count; ++s) {
            for (Index r = row; r < row + 4; ++r) to[std::size_t{s} * num_rows + r] = rows[r][s];
        }
    }
}

void AddSums(const float* values, Index count, double& sum, double& squares) {
    const hn::CappedTag<double, 8> d;
    const hn::Rebind<float, decltype(d)> half;
    constexpr Index lanes = hn::MaxLanes(d);
    auto first = hn::Zero(d), second = hn::Zero(d), first_square = hn::Zero(d), second_square = hn::Zero(d);
    Index i = 0;
    for (; i + 2 * lanes <= count; i += 2 * lanes) {
        const auto one = hn::PromoteTo(d, hn::LoadU(half, values + i));
        const auto other = hn::PromoteTo(d, hn::LoadU(half, values + i + lanes));
        first = hn::Add(first, one);
        second = hn::Add(second, other);
        first_square = hn::MulAdd(one, one, first_square);
        second_square = hn::MulAdd(other, other, second_square);
    }
    double sums[lanes], all_squares[lanes];
    hn::StoreU(hn::Add(first, second), d, sums);
    hn::StoreU(hn::Add(first_square, second_square), d, all_squares);
    for (Index lane = 0; lane < lanes; ++lane) {
        sum += sums[lane];
        squares += all_squares[lane];
    }
    for (; i < count; ++i) {
        sum += double{values[i]};
        squares += double{values[i]} * values[i];
    }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {

HWY_EXPORT(GradientBlock);
HWY_EXPORT(GradientKeys);
HWY_EXPORT(PackNeurons);
HWY_EXPORT(AddSums);

void gradient_block(const float* dz, const float* x, Index samples, std::uint32_t threshold,
                    std::uint32_t (&keys)[gradient_outputs * gradient_inputs],
                    std::uint64_t (&reached)[gradient_outputs]) {
    HWY_DYNAMIC_DISPATCH(GradientBlock)(dz, x, samples, threshold, keys, reached);
}
void gradient_keys(const float* dz, Index num_outputs, const float* x, Index num_inputs, Index samples,
                   const Index* outputs, const Index* inputs, EdgeIndex count, std::uint32_t* keys) {
    HWY_DYNAMIC_DISPATCH(GradientKeys)(dz, num_outputs, x, num_inputs, samples, outputs, inputs, count, keys);
}
void pack_neurons(const float* const* rows, Index num_rows, Index count, float* to) {
    HWY_DYNAMIC_DISPATCH(PackNeurons)(rows, num_rows, count, to);
}
void add_sums(const float* values, Index count, double& sum, double& squares) {
    HWY_DYNAMIC_DISPATCH(AddSums)(values, count, sum, squares);
}

}  // namespace espalier
#endif
