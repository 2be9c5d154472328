#include "cuda/kernels/dropout.cuh"

#include "cuda/launch.cuh"
#include "cuda/operations.hpp"

namespace espalier::cuda {

void dropout(cudaStream_t stream, const DropoutMask& mask, Activations values, const StepScalars* step) {
    launch(stream, dropout_kernel<dropout_threads>, warp_grid(values.rows, dropout_threads, values.tiles()),
           dropout_threads, mask, values, step);
}

}  // namespace espalier::cuda
