// One sparse layer's products on a backend, made to be timed: a problem with random numbers, the layer and its
// activations loaded, and a check against plain loops in double. What is not right must not be timed.
#pragma once

#include <memory>
#include <vector>

#include "espalier/backend.hpp"
#include "espalier/layer.hpp"

namespace espalier {

/// Forward: y = W x + b. Backward: from dy the edge gradient and the update and, unless the layer is loaded as a first
/// layer, dx = W^T dy.
enum class Product { forward, backward };

/// A layer with identity activation, so that dy is the gradient by the preactivation. The same numbers on every run.
struct ProductProblem {
    Index batch;
    Layer layer;
    std::vector<float> x, dy;  // in tiles of `lanes`, lanes past the batch zero

    ProductProblem(Index inputs, Index outputs, double sparsity, Index batch_size, Index lanes);
    /// Of a dense layer.
    ProductProblem(Index inputs, Index outputs, Index batch_size, Index lanes);
    /// The same in tiles of so many lanes, without biases.
    [[nodiscard]] ProductProblem with_lanes(Index lanes) const;
    /// The layer's edges; every cell of a dense layer.
    [[nodiscard]] Topology topology() const;
    [[nodiscard]] double num_edges() const { return static_cast<double>(layer.weights.size()); }
};

/// Uniform in (-1, 1), the same on every run.
std::vector<float> benchmark_numbers(std::size_t count, std::uint32_t stream);

/// The problem in a backend's memory. The learning rate is so small that repeating a step leaves the numbers alone.
struct LoadedProduct {
    Backend& backend;
    std::unique_ptr<DeviceLayer> layer;
    Buffer<float> x_memory, y_memory, dy_memory, dx_memory;
    Buffer<StepScalars> now;
    Activations x, y, dy, dx;

    LoadedProduct(Backend& on, const ProductProblem& problem, bool needs_input_gradient, Spmm spmm = Spmm::automatic);
    void enqueue(Product product);
};

/// The rows and columns a check looks at: every `stride`-th, from the first.
struct CheckedPart {
    Index stride = 1;
    /// As many as cost about `work` multiply-adds.
    static CheckedPart of(const ProductProblem& problem, double work);
};

/// What a product may be off by, relative to the size of its sums: in fp32, and with factors rounded to TF32's 10 bits.
inline constexpr double fp32_tolerance = 1e-5;
inline constexpr double tf32_tolerance = 2e-3;

/// Runs the product once on freshly loaded memory and compares. Empty if right, else what is wrong and by how much.
std::string fault(LoadedProduct& loaded, const ProductProblem& problem, Product product, CheckedPart part = {},
                  double tolerance = fp32_tolerance);

}  // namespace espalier
