// A sparse linear layer over the caller's memory, for programs that differentiate and update by themselves: y = x W^T + b
// and its gradients by x, W and b, nothing updated. Weights and their gradients are one float an edge in input order: by
// input, outputs ascending (TransposedView), the order in which a backward pass makes them. Runs on the CPU.
#pragma once

#include <cstddef>
#include <memory>

#include "espalier/tiled_view.hpp"
#include "espalier/topology.hpp"

namespace espalier {

/// How a batch lies in memory: [samples][features] or [features][samples].
enum class BatchOrder { sample_major, feature_major };

/// A batch in the caller's memory.
template <class T>
struct BatchView {
    T* data = nullptr;
    Index samples = 0;
    Index features = 0;
    BatchOrder order = BatchOrder::sample_major;
    /// Floats from one row, a sample or a feature by the order, to the next: more than a row has, where the batch is a part of
    /// a wider one. 0: rows follow each other without gaps.
    std::size_t stride = 0;

    [[nodiscard]] std::size_t row_stride() const {
        return stride > 0 ? stride : order == BatchOrder::sample_major ? features : samples;
    }
};

/// A batch in the layout of the kernels: [tile][feature][64 samples], or [feature][1, 2, 4 or 8] of at most eight samples.
class PackedBatch {
public:
    PackedBatch() = default;
    /// Uninitialised. Throws UserError (device) when memory runs out.
    PackedBatch(Index features, Index samples);
    /// In memory of the caller's for floats(), aligned to 64 bytes, which stays as long as this.
    PackedBatch(Index features, Index samples, float* memory);
    [[nodiscard]] static std::size_t floats(Index features, Index samples);
    [[nodiscard]] Index samples() const { return samples_; }
    [[nodiscard]] Index features() const { return features_; }
    /// Samples side by side in memory.
    [[nodiscard]] Index lanes() const;
    [[nodiscard]] float* data() const { return memory_.get(); }
    /// Of more than eight samples.
    [[nodiscard]] Activations tiles() const { return {memory_.get(), features_, samples_, lanes()}; }

private:
    struct Release {
        std::size_t bytes;  // 0: the memory is the caller's
        void operator()(float* memory) const noexcept;
    };
    std::unique_ptr<float, Release> memory_;
    Index features_ = 0, samples_ = 0;
};

/// One topology's products. Belongs to one thread at a time; nothing is kept from one call to the next but memory.
/// Results do not depend on the number of threads.
class SparseProduct {
public:
    /// Copies the topology, which must be without fault(). `threads`: as make_backend's, 0 for one per allowed core.
    /// Throws std::logic_error for a faulty topology, UserError (usage) for the number of threads.
    explicit SparseProduct(const Topology& topology, int threads = 1);
    SparseProduct(SparseProduct&&) noexcept;
    SparseProduct& operator=(SparseProduct&&) noexcept;
    ~SparseProduct();

    [[nodiscard]] Index num_inputs() const;
    [[nodiscard]] Index num_outputs() const;
    [[nodiscard]] EdgeIndex num_edges() const;

    /// `x` [samples, num_inputs], packed once for the forward and the backward pass.
    [[nodiscard]] PackedBatch pack(BatchView<const float> x);

    /// y = x W^T + b; `weights` [num_edges] in input order, `bias` [num_outputs] or null, `y` [samples, num_outputs].
    void forward(const PackedBatch& x, const float* weights, const float* bias, BatchView<float> y);

    /// What backward() writes; what has no data is left out.
    struct Gradients {
        BatchView<float> x;        // [samples, num_inputs]
        float* weights = nullptr;  // [num_edges], input order
        float* bias = nullptr;     // [num_outputs]
    };
    /// The gradients of a loss whose gradient by y is `dy` [samples, num_outputs]: sums over the samples.
    void backward(const PackedBatch& x, const float* weights, BatchView<const float> dy, const Gradients& to);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace espalier
