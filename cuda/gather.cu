#include "cuda/kernels/gather.cuh"

#include "cuda/launch.cuh"
#include "cuda/operations.hpp"

namespace espalier::cuda {

void gather(const Launcher& to, const Samples& samples, const BatchChoice& choice, Activations x, std::int32_t* labels,
            const StepScalars* step, const RankShare& share) {
    expect_batch(choice.size);
    const dim3 grid(groups(x.rows, gather_block), x.tiles() * (tile_lanes / gather_block));
    if (samples.bytes != nullptr) {
        launch(to, ForMany<GatherWork<gather_threads, std::uint8_t>>{}, gather_kernel<gather_threads, std::uint8_t>, grid,
               gather_threads, samples, samples.bytes, choice, x, labels, step, share);
    } else {
        launch(to, ForMany<GatherWork<gather_threads, float>>{}, gather_kernel<gather_threads, float>, grid, gather_threads,
               samples, samples.floats, choice, x, labels, step, share);
    }
}

const void* some_kernel() { return reinterpret_cast<const void*>(&gather_kernel<gather_threads, float>); }

}  // namespace espalier::cuda
