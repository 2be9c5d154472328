// The dense layer that a sparse one has to beat: the same step by OpenBLAS, in the layout that suits it best.
#pragma once

#include <string>
#include <vector>

#include "espalier/index.hpp"

namespace espalier {

/// A dense layer with momentum, [neuron][sample] matrices, one matrix product over the whole batch each.
class DenseRival {
public:
    DenseRival(Index inputs, Index outputs, Index batch, int threads);

    /// y = W x + b
    void forward();
    /// dx = W^T dy, dW = dy x^T, the momentum update of W and b.
    void backward();

    /// Compares both with loops in double at every `stride`-th row and column; empty if right. Call it first.
    [[nodiscard]] std::string fault(Index stride);

    /// Weights and momentum.
    [[nodiscard]] double parameter_bytes() const { return 8.0 * static_cast<double>(weights_.size()); }

private:
    Index inputs_, outputs_, batch_;
    int threads_;
    std::vector<float> weights_, momentum_, gradient_, bias_, x_, y_, dy_, dx_;
};

/// "OpenBLAS 0.3.21 ... SapphireRapids"
std::string blas_description();

}  // namespace espalier
