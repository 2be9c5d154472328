// Inverted dropout of rows in place: values [tile][neuron][64].
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/kernels/dropout.cpp"
#include "host/cpu/kernels/simd_targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include "espalier/common/dropout_mask.hpp"
#include "host/cpu/operations.hpp"
#include "host/cpu/kernels/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

void DropoutRows(Activations values, float rate, const Stream& stream, Index tile, Range rows) {
    const DropoutMask mask(rate, stream);
    const Index used = values.used(tile);
    for (Index r = rows.begin; r < rows.end; ++r) {
        float* row = values.row(tile, r);
        for (Index lane = 0; lane < used; lane += 4) {
            float factor[4];
            mask.factors(r, tile * tile_lanes + lane, factor);
            for (Index i = 0; i < 4; ++i) row[lane + i] *= factor[i];
        }
    }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {

HWY_EXPORT(DropoutRows);

void dropout_rows(Activations values, float rate, const Stream& stream, Index tile, Range rows) {
    HWY_DYNAMIC_DISPATCH(DropoutRows)(values, rate, stream, tile, rows);
}

}  // namespace espalier
#endif
