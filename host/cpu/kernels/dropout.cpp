// Inverted dropout. Masks are bits, [tile][neuron] words of 64 lanes, drawn 64 at a time; values [tile][neuron][64].
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/kernels/dropout.cpp"
#include "host/cpu/kernels/simd_targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include "espalier/common/dropout_mask.hpp"
#include "host/cpu/operations.hpp"
#include "host/cpu/kernels/philox-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

/// A bit for each word of two neighbouring vectors, set where it lies below the threshold.
HWY_INLINE void put_below(Words lower, Words upper, Words threshold, std::uint8_t* bits) {
    const WordTag d;
    if constexpr (vector_lanes >= 8) {
        hn::StoreMaskBits(d, hn::Lt(lower, threshold), bits);
        hn::StoreMaskBits(d, hn::Lt(upper, threshold), bits + vector_lanes / 8);
    } else {
        std::uint8_t low = 0;
        std::uint8_t high = 0;
        hn::StoreMaskBits(d, hn::Lt(lower, threshold), &low);
        hn::StoreMaskBits(d, hn::Lt(upper, threshold), &high);
        *bits = static_cast<std::uint8_t>(low | high << 4);
    }
}

/// bits[row - rows.begin] receives the mask of a row; bits of lanes that are not worked on are of no account.
HWY_INLINE void draw_rows(const DropoutMask& mask, Index first_sample, Index used, Range rows, std::uint64_t* bits) {
    const Index lanes = worked_lanes(used);
    const RowDraws draws(mask.stream(), first_sample, lanes);
    const auto threshold = hn::Set(WordTag(), mask.threshold());
    if (lanes == tile_lanes) {
        for (Index r = rows.begin; r < rows.end; ++r, ++bits) {
            auto* bytes = reinterpret_cast<std::uint8_t*>(bits);
            draws.draw(r, [&](Index at, Words lower, Words upper)
                              HWY_ATTR { put_below(lower, upper, threshold, bytes + at / 8); });
        }
        return;
    }
    for (Index r = rows.begin; r < rows.end; r += draws.rows_at_once()) {
        std::uint8_t bytes[RowDraws::words / 8];
        draws.draw(r, [&](Index at, Words lower, Words upper)
                          HWY_ATTR { put_below(lower, upper, threshold, bytes + at / 8); });
        for (Index i = 0; i < std::min(draws.rows_at_once(), rows.end - r); ++i, ++bits) {
            *bits = 0;
            std::memcpy(bits, bytes + i * lanes / 8, lanes / 8);
        }
    }
}

void DrawDropped(const DropoutMask& mask, const Dropped& dropped, Index tile, Index used, Range rows) {
    draw_rows(mask, tile * tile_lanes, used, rows, dropped.row(tile, rows.begin));
}

void DropoutRows(Activations values, const DropoutMask& mask, Index tile, Range rows) {
    constexpr Index rows_at_once = 64;
    const Index used = values.used(tile);
    for (Range some{rows.begin, rows.begin}; some.end < rows.end;) {
        some = {some.end, std::min(some.end + rows_at_once, rows.end)};
        std::uint64_t bits[rows_at_once];
        draw_rows(mask, tile * tile_lanes, used, some, bits);
        for (Index r = some.begin; r < some.end; ++r) {
            float* row = values.row(tile, r);
            const std::uint64_t dropped = bits[r - some.begin];
            for (Index lane = 0; lane < worked_lanes(used); lane += pass_lanes) {
                with_vectors(pass_vectors(worked_lanes(used), lane),
                             [&]<int V>() { drop<V>(dropped >> lane, mask.scale(), row + lane); });
            }
        }
    }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {

HWY_EXPORT(DrawDropped);
HWY_EXPORT(DropoutRows);

void draw_dropped(const DropoutMask& mask, const Dropped& dropped, Index tile, Index used, Range rows) {
    HWY_DYNAMIC_DISPATCH(DrawDropped)(mask, dropped, tile, used, rows);
}

void dropout_rows(Activations values, const DropoutMask& mask, Index tile, Range rows) {
    HWY_DYNAMIC_DISPATCH(DropoutRows)(values, mask, tile, rows);
}

}  // namespace espalier
#endif
