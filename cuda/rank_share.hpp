// Which tiles of a batch this process computes where several train one network: tile t is rank t mod ranks' own. It holds
// them one after the other, as if there were no others, so that most kernels know nothing of ranks.
#pragma once

#include <bit>
#include <cstddef>

#include "espalier/host_device.hpp"
#include "espalier/tiled_view.hpp"

namespace espalier::cuda {

/// Levels of the tree by which so many parts are added (kernels/halves.cuh): sums that wait while the next part is made.
constexpr std::size_t levels_of_halves(Index parts) { return static_cast<std::size_t>(std::bit_width(std::bit_ceil(parts))) - 1; }

struct RankShare {
    Index first = 0;   // the rank
    Index stride = 1;  // how many ranks there are
    Index batch = 0;   // samples of the whole batch

    /// The number in the batch of this rank's tile number `own`.
    [[nodiscard]] ESPALIER_HOST_DEVICE Index tile(Index own) const { return first + own * stride; }
    /// This rank's part of a view of the whole batch, in the memory of that. Of no view none.
    template <class T>
    [[nodiscard]] TiledView<T> of(const TiledView<T>& whole) const {
        if (!whole || stride == 1) return whole;
        const Index tiles = whole.tiles();
        const Index own = tiles > first ? (tiles - first + stride - 1) / stride : 0;
        const Index samples = own == 0 ? 0 : (own - 1) * whole.lanes + whole.used(tile(own - 1));
        return {whole.data, whole.rows, samples, whole.lanes};
    }
};

}  // namespace espalier::cuda
