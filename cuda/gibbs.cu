#include "cuda/kernels/gibbs.cuh"

#include "cuda/kernels/dense.cuh"
#include "cuda/launch.cuh"
#include "cuda/operations.hpp"

namespace espalier::cuda {

void transposed(cudaStream_t stream, const CudaLayer& layer, const CudaLayer& offsets, ConstActivations y,
                Activations x) {
    input_gradient(stream, layer, y, {}, x);
    launch(stream, activate_kernel<activate_threads, Identity>, warp_grid(x.rows, activate_threads, x.tiles()),
           activate_threads, Identity{}, offsets.weights.values.data(), nullptr, Activations{}, x, Dropped{});
}

void sample(cudaStream_t stream, const UnitDraw& draw, ConstActivations values, Activations means, Activations states,
            const StepScalars* step) {
    launch(stream, sample_kernel<units_threads>, warp_grid(values.rows, units_threads, values.tiles()), units_threads,
           draw, values, means, states, step);
}

void score_reconstruction(cudaStream_t stream, ConstActivations probabilities, ConstActivations data,
                          MetricSums* sums) {
    launch(stream, reconstruction_kernel<loss_threads>, dim3(data.tiles()), loss_threads, probabilities, data, sums);
}

}  // namespace espalier::cuda
