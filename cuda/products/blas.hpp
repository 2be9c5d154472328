// Products of large dense layers, by cuBLAS, which is opened when the first such layer is loaded: the module needs no
// library of CUDA's to run. w is [num_outputs][num_inputs]; activations are tiles. Everything is enqueued on one stream
// and sums in the same order every time.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "cuda/memory.hpp"
#include "cuda_calls.hpp"
#include "espalier/tiled_view.hpp"

namespace espalier::cuda {

/// Of device memory, for a handle; cuBLAS asks for so much on Hopper and for less elsewhere.
inline constexpr std::size_t blas_workspace_bytes = std::size_t{32} << 20;

class Blas {
public:
    Blas() = default;
    Blas(const Blas&) = delete;
    Blas& operator=(const Blas&) = delete;
    virtual ~Blas() = default;

    /// y = w x
    virtual void forward(const float* w, ConstActivations x, Activations y) = 0;
    /// dx = transposed w * dy
    virtual void input_gradient(const float* w, ConstActivations dy, Activations dx) = 0;
    /// gradient [num_outputs][num_inputs] = dy * transposed x, summed over the samples of one tile
    virtual void weight_gradient(ConstActivations dy, ConstActivations x, Index tile, float* gradient) = 0;
};

/// Why there is no cuBLAS to open, one sentence; empty if there is.
std::string blas_fault();

/// blas_fault() must be empty. Throws UserError (device) when cuBLAS fails or memory runs out.
std::unique_ptr<Blas> open_blas(cudaStream_t stream, Memory& memory, bool tf32);

}  // namespace espalier::cuda
