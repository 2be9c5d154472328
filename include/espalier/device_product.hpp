// A sparse linear layer over the caller's device memory, for programs that differentiate and update by themselves: as
// SparseProduct (sparse_product.hpp), by the CUDA module. Weights and their gradients are one float an edge in input order.
#pragma once

#include <memory>
#include <optional>

#include "espalier/tiled_view.hpp"
#include "espalier/topology.hpp"

namespace espalier {

/// One topology's products on one device. Every pointer is to that device's memory. Calls come from one thread at a time; those
/// on one stream may follow each other without waiting, a call on another stream waits for the last one's.
class DeviceProduct {
public:
    /// A CUDA stream, whose work the call joins (null: CUDA's default stream); nothing: the call waits, for all that was
    /// enqueued on the device before it and for its own work.
    using StreamHandle = std::optional<void*>;
    /// What backward() writes; what has no data is left out.
    struct Gradients {
        Activations x;             // num_inputs rows
        float* weights = nullptr;  // [num_edges], input order
        float* bias = nullptr;     // [num_outputs]
    };

    DeviceProduct() = default;
    DeviceProduct(const DeviceProduct&) = delete;
    DeviceProduct& operator=(const DeviceProduct&) = delete;
    virtual ~DeviceProduct() = default;

    /// Samples per tile; all activations below must have tiles of so many, and in the last one zeros past the batch.
    [[nodiscard]] virtual Index lanes() const = 0;
    [[nodiscard]] virtual int device() const = 0;
    [[nodiscard]] virtual Index num_inputs() const = 0;
    [[nodiscard]] virtual Index num_outputs() const = 0;
    [[nodiscard]] virtual EdgeIndex num_edges() const = 0;

    /// y = x W^T + b; `bias` [num_outputs] or null. Lanes of y past the batch hold anything.
    virtual void forward(ConstActivations x, const float* weights, const float* bias, Activations y, StreamHandle stream) = 0;
    /// The gradients of a loss whose gradient by y is `dy`: sums over the samples.
    virtual void backward(ConstActivations x, const float* weights, ConstActivations dy, const Gradients& to,
                          StreamHandle stream) = 0;
};

/// Copies the topology, which must be without fault(), to the GPU that CUDA numbers `device`. Throws UserError (device) that
/// says why there is none to be used: no module, no driver, no such GPU, no memory.
std::unique_ptr<DeviceProduct> make_device_product(const Topology& topology, int device = 0);

}  // namespace espalier
