// Samples [count][features] become tiles [features][64], and back. By blocks of 4 x 4, going down 16 samples (packing) or
// along 16 features (unpacking), so that every cache line is written once and few are read at a time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/kernels/transpose.cpp"
#include "host/cpu/kernels/simd_targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include "host/cpu/kernels/simd-inl.hpp"
#include "host/cpu/kernels/transpose-inl.hpp"
#include "host/cpu/operations.hpp"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

void PackRows(const float* samples, std::size_t stride, Activations values, Index tile, Range features) {
    constexpr Index group = 16;
    const Index used = values.used(tile);
    const Index worked = worked_lanes(used);
    const float* first_sample = samples + std::size_t{tile} * tile_lanes * stride;
    const Index whole = features.begin + (features.end - features.begin) / 4 * 4;
    for (Index begin = 0; begin < worked; begin += group) {
        const Index blocks_end = begin + std::min(group, used - begin) / 4 * 4;
        for (Index f = features.begin; f < whole; f += 4) {
            for (Index s = begin; s < blocks_end; s += 4) {
                transpose_block(first_sample + s * stride + f, stride, values.row(tile, f) + s, tile_lanes);
            }
        }
        for (Index f = features.begin; f < features.end; ++f) {
            float* row = values.row(tile, f);
            for (Index s = f < whole ? blocks_end : begin; s < begin + group; ++s) {
                row[s] = s < used ? first_sample[s * stride + f] : 0.0F;
            }
        }
    }
}

void UnpackRows(ConstActivations values, Index tile, Range features, float* samples, std::size_t stride) {
    constexpr Index block = 16;
    const Index used = values.used(tile);
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
                transpose_block(values.row(tile, f) + sample, tile_lanes, first_sample + sample * stride + f, stride);
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

HWY_EXPORT(PackRows);
HWY_EXPORT(UnpackRows);

void pack_rows(const float* samples, std::size_t stride, Activations values, Index tile, Range features) {
    HWY_DYNAMIC_DISPATCH(PackRows)(samples, stride, values, tile, features);
}

void unpack_rows(ConstActivations values, Index tile, Range features, float* samples, std::size_t stride) {
    HWY_DYNAMIC_DISPATCH(UnpackRows)(values, tile, features, samples, stride);
}

}  // namespace espalier
#endif
