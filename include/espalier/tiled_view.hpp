// Activations are features x batch, batch contiguous, in batch tiles: [tile][neuron][lane].
// The width of a tile belongs to the backend (64 on the CPU, 128 on CUDA) and the view carries it.
// Every edge is then one broadcast weight times a contiguous vector. Lanes past the batch exist in memory;
// their inputs and gradients are zero.
#pragma once

#include <cstddef>
#include <type_traits>

#include "espalier/host_device.hpp"
#include "espalier/index.hpp"

namespace espalier {

template <class T>
struct TiledView {
    T* data = nullptr;
    Index rows = 0;   // neurons
    Index batch = 0;  // samples in use
    Index lanes = 0;  // samples per tile

    [[nodiscard]] ESPALIER_HOST_DEVICE Index tiles() const { return (batch + lanes - 1) / lanes; }
    [[nodiscard]] ESPALIER_HOST_DEVICE std::size_t size() const {
        return static_cast<std::size_t>(tiles()) * rows * lanes;
    }
    /// Lanes of `tile` that hold a sample.
    [[nodiscard]] ESPALIER_HOST_DEVICE Index used(Index tile) const {
        const Index left = batch - tile * lanes;
        return left < lanes ? left : lanes;
    }
    /// The `lanes` values of neuron `row` in `tile`.
    [[nodiscard]] ESPALIER_HOST_DEVICE T* row(Index tile, Index row) const {
        return data + (static_cast<std::size_t>(tile) * rows + row) * lanes;
    }
    [[nodiscard]] ESPALIER_HOST_DEVICE T& at(Index row_index, Index sample) const {
        return row(sample / lanes, row_index)[sample % lanes];
    }
    [[nodiscard]] explicit operator bool() const { return data != nullptr; }
    /// As T* converts to const T*. A template, because a class converting to itself is a warning to nvcc.
    template <class U>
    operator TiledView<const U>() const  // NOLINT(google-explicit-constructor)
        requires(std::is_same_v<U, T>) {
        return {data, rows, batch, lanes};
    }
};

using Activations = TiledView<float>;
using ConstActivations = TiledView<const float>;

}  // namespace espalier
