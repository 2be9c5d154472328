// Dropout of a layer's output as part of the kernels before and behind it: the forward pass multiplies by the mask where it
// ends, the backward pass where the gradient by the output is made or differentiated.
#pragma once

#include "cuda/rank_share.hpp"
#include "cuda/tile.hpp"
#include "espalier/backend.hpp"
#include "espalier/common/dropout_mask.hpp"
#include "espalier/host_device.hpp"

namespace espalier::cuda {

struct Dropped {
    DropoutMask mask{0, Stream{}};      // its event is replaced by step->step
    const StepScalars* step = nullptr;  // null: nothing is dropped
    RankShare share;                    // of the batch

    /// A lane's samples of a neuron, from sample `offset` of a tile on, of whose samples `used` are; others stay as they are.
    template <int values>
    ESPALIER_HOST_DEVICE void apply(float (&v)[values], Index tile, Index neuron, Index offset, Index used) const {
        if (step == nullptr) return;
        float of_four[4];
        mask.of_event(step->step).factors(neuron, share.tile(tile) * tile_lanes + offset / 4 * 4, of_four);
        for (int i = 0; i < values; ++i) {
            float factor = of_four[i];
            for (int k = values; k < 4; k += values) factor = offset % 4 == static_cast<Index>(k) ? of_four[k + i] : factor;
            if (offset + static_cast<Index>(i) < used) v[i] *= factor;
        }
    }
};

}  // namespace espalier::cuda
