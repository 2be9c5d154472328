// Unpacking: a tile [features][64] becomes samples [count][features], the way back of gather, in blocks of 16 features and
// 4 samples, so that every cache line of a sample is written once.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/kernels/unpack.cpp"
#include "host/cpu/kernels/simd_targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include "host/cpu/kernels/simd-inl.hpp"
#include "host/cpu/operations.hpp"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

/// 4 features from `row` on of 4 samples, `to` being the first's, `stride` floats before the next.
HWY_INLINE void unpack_block(const float* row, float* to, std::size_t stride) {
    const FourTag four;
    const auto a = hn::Load(four, row);
    const auto b = hn::Load(four, row + tile_lanes);
    const auto c = hn::Load(four, row + 2 * std::size_t{tile_lanes});
    const auto d = hn::Load(four, row + 3 * std::size_t{tile_lanes});
    const auto ac_low = hn::InterleaveLower(four, a, c);
    const auto ac_high = hn::InterleaveUpper(four, a, c);
    const auto bd_low = hn::InterleaveLower(four, b, d);
    const auto bd_high = hn::InterleaveUpper(four, b, d);
    hn::StoreU(hn::InterleaveLower(four, ac_low, bd_low), four, to);
    hn::StoreU(hn::InterleaveUpper(four, ac_low, bd_low), four, to + stride);
    hn::StoreU(hn::InterleaveLower(four, ac_high, bd_high), four, to + 2 * stride);
    hn::StoreU(hn::InterleaveUpper(four, ac_high, bd_high), four, to + 3 * stride);
}

void UnpackRows(ConstActivations values, Index tile, Range features, float* samples) {
    constexpr Index block = 16;
    const Index used = values.used(tile);
    const std::size_t stride = values.rows;
    float* first_sample = samples + std::size_t{tile} * tile_lanes * stride;
    const auto plain = [&](Index sample, Range those) {
        for (Index f = those.begin; f < those.end; ++f) first_sample[sample * stride + f] = values.row(tile, f)[sample];
    };
    for (Index first = features.begin; first < features.end; first += block) {
        const Range piece{first, std::min(first + block, features.end)};
        const Index whole = piece.begin + (piece.end - piece.begin) / 4 * 4;
        Index sample = 0;
        for (; sample + 4 <= used; sample += 4) {
            for (Index f = piece.begin; f < whole; f += 4) {
                unpack_block(values.row(tile, f) + sample, first_sample + sample * stride + f, stride);
            }
            for (Index s = sample; s < sample + 4; ++s) plain(s, {whole, piece.end});
        }
        for (; sample < used; ++sample) plain(sample, piece);
    }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {

HWY_EXPORT(UnpackRows);

void unpack_rows(ConstActivations values, Index tile, Range features, float* samples) {
    HWY_DYNAMIC_DISPATCH(UnpackRows)(values, tile, features, samples);
}

}  // namespace espalier
#endif
