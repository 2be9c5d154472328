// Which tiles of a batch this process computes: those of its rank. Alone it has all of them.
#pragma once

#include "espalier/index.hpp"

namespace espalier {

struct TileShare {
    Index first = 0;   // the rank
    Index stride = 1;  // how many ranks there are

    /// Of `tiles` those of this rank ...
    [[nodiscard]] Index count(Index tiles) const { return tiles > first ? (tiles - first + stride - 1) / stride : 0; }
    /// ... and of the rank that has most.
    [[nodiscard]] Index most(Index tiles) const { return (tiles + stride - 1) / stride; }
    /// The number in the batch of this rank's tile number i.
    [[nodiscard]] Index tile(Index i) const { return first + i * stride; }
    [[nodiscard]] bool has_all() const { return stride == 1; }
};

}  // namespace espalier
