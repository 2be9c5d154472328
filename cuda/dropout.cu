#include "cuda/kernels/dropout.cuh"

#include "cuda/launch.cuh"
#include "cuda/operations.hpp"

namespace espalier::cuda {

void dropout(const Launcher& to, Activations values, float rate, const Stream& draws, const StepScalars* step,
             const RankShare& share) {
    launch(to, ForMany<DropoutWork<dropout_threads>>{}, dropout_kernel<dropout_threads>,
           warp_grid(values.rows, dropout_threads, values.tiles()), dropout_threads, DropoutMask(rate, draws), values, step,
           share);
}

}  // namespace espalier::cuda
