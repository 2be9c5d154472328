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

/// FLOP/s of a dense product of 1024 x 1024 with 128 samples at its best, and of multiply-adds from registers (F)
/// beside it, of all threads.
struct RivalRate {
    double product = 0;
    double fma = 0;
    [[nodiscard]] double share() const { return fma > 0 ? product / fma : 0; }
};
RivalRate rival_rate(int threads, double seconds = 0.2);

/// Below this share of F a dense library runs kernels that are not this processor's.
inline constexpr double least_rival_share = 0.4;

/// Why this rival is none to compare with; empty if it is one.
std::string rival_fault(const RivalRate& rate, int threads);

/// What multiplies large dense layers on this machine, or, in the description, why nothing does.
struct DenseLibraryReport {
    bool usable = false;
    std::string library, kernels, description;
    std::string threads;  // whether several may call it at a time
};
DenseLibraryReport dense_library_report();

/// "OpenBLAS 0.3.21 ... SapphireRapids"
std::string blas_description();

}  // namespace espalier
