// One way to launch a kernel, and the table of grids: each kernel's first comment says what its grid covers.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <utility>

#include "cuda/check.hpp"
#include "cuda/kernels/warp.cuh"
#include "cuda/limits.hpp"
#include "cuda_calls.hpp"
#include "espalier/error.hpp"

namespace espalier::cuda {

static_assert(max_batch == max_grid_rows / 4 * tile_lanes);

/// How many groups of `size` cover `count`.
inline unsigned groups(std::size_t count, std::size_t size) { return static_cast<unsigned>((count + size - 1) / size); }

/// A warp per neuron (or per anything counted), in blocks of `threads`; y counts tiles.
inline dim3 warp_grid(std::size_t warps, int threads, Index tiles = 1) {
    expects(tiles <= max_grid_rows, "at most 65,535 tiles of a batch");
    return {groups(warps, static_cast<std::size_t>(threads) / warp_lanes), tiles, 1};
}
/// Threads of a block of `most` or less: fewer, though not below 64, where so few warps are wanted that multiprocessors
/// would be left without a block.
inline int threads_for(std::size_t warps, Index tiles, int most, Index multiprocessors) {
    constexpr int least = 64;
    int threads = most;
    while (threads > least && groups(warps, static_cast<std::size_t>(threads) / warp_lanes) * tiles < multiprocessors) {
        threads /= 2;
    }
    return threads;
}
/// A thread per thing counted.
inline dim3 thread_grid(std::size_t count, int threads) {
    return {groups(count, static_cast<std::size_t>(threads)), 1, 1};
}

/// kernel(arguments...) on a stream. An empty grid is no launch.
template <class... Parameters, class... Arguments>
void launch(cudaStream_t stream, void (*kernel)(Parameters...), dim3 grid, int threads, Arguments&&... arguments) {
    if (grid.x == 0 || grid.y == 0) return;
    enqueue_kernel(stream, kernel, grid, dim3(static_cast<unsigned>(threads)), 0,
                   std::forward<Arguments>(arguments)...);
    check(cudaGetLastError(), "the launch of a kernel");
}

/// Lets launches of `kernel` on the current device take so much dynamic shared memory. Never lowers what was allowed
/// before: recorded launches that need more are still to come.
inline void allow_shared(const void* kernel, std::size_t bytes) {
    static std::mutex mutex;
    static std::map<std::pair<int, const void*>, std::size_t> allowed;
    int device = 0;
    check(cudaGetDevice(&device), "asking for the current device");
    const std::lock_guard<std::mutex> lock(mutex);
    std::size_t& most = allowed[{device, kernel}];
    if (bytes <= most) return;
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
          "asking for shared memory");
    most = bytes;
}

/// Likewise, with dynamic shared memory, of which a kernel may take more than 48 KiB only when that is said first.
template <class... Parameters, class... Arguments>
void launch_with_shared(cudaStream_t stream, void (*kernel)(Parameters...), dim3 grid, unsigned threads,
                        std::size_t shared_bytes, Arguments&&... arguments) {
    if (grid.x == 0 || grid.y == 0) return;
    allow_shared(reinterpret_cast<const void*>(kernel), shared_bytes);
    enqueue_kernel(stream, kernel, grid, dim3(threads), shared_bytes, std::forward<Arguments>(arguments)...);
    check(cudaGetLastError(), "the launch of a kernel");
}

}  // namespace espalier::cuda
