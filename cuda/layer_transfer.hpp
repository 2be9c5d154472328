// Between a layer at rest (canonical order, host memory) and the same layer in the CUDA backend's memory.
#pragma once

#include <memory>

#include "cuda/layer.hpp"
#include "cuda_calls.hpp"
#include "espalier/backend.hpp"

namespace espalier::cuda {

/// Waits. Optimizer memory that the layer does not bring starts at 0. Throws UserError (device) when memory runs out or
/// the layer has too many edges. `blas` null: a dense layer
/// holds every cell as an edge; `library` null: our kernels multiply.
std::unique_ptr<CudaLayer> layer_in_use(cudaStream_t stream, Memory& memory, const Layer& layer, const LayerUse& use,
                                        Blas* blas, SparseLibrary* library);

/// Lets a large dense layer, or one with panels, sum the gradients of so many tiles. What was recorded before may be void.
void make_room_for_tiles(Memory& memory, CudaLayer& layer, Index tiles);

/// Waits.
Layer layer_at_rest(cudaStream_t stream, const CudaLayer& layer);

/// Enqueues: sets the optimizer's memory to 0.
void clear_state(cudaStream_t stream, const CudaLayer& layer);

/// `count` elements from device memory; waits.
template <class T>
std::vector<T> downloaded(cudaStream_t stream, const T* from, std::size_t count);

}  // namespace espalier::cuda
