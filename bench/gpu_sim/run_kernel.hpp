// One launch, said beforehand and waited for.
#pragma once

#include <cstdio>

#include "bench/gpu_sim/layers.hpp"
#include "cuda/launch.cuh"

namespace espalier::gpu_sim {

template <class... Parameters, class... Arguments>
void run_kernel(const char* name, void (*kernel)(Parameters...), dim3 grid, int threads, std::size_t shared,
                const Arguments&... arguments) {
    std::printf("LAUNCH %s, %u x %u blocks of %d\n", name, grid.x, grid.y, threads);
    std::fflush(stdout);
    if (shared > 0) {
        cuda::launch_with_shared(stream(), kernel, grid, static_cast<unsigned>(threads), shared, arguments...);
    } else {
        cuda::launch(stream(), kernel, grid, threads, arguments...);
    }
    cuda::check(cudaStreamSynchronize(stream()), "a kernel");
}

}  // namespace espalier::gpu_sim
