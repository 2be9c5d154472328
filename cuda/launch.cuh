// One way to launch a kernel, and the table of grids: each kernel's first comment says what its grid covers.
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cuda/check.hpp"
#include "cuda/kernels/many.cuh"
#include "cuda/launcher.hpp"
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

/// A launch for a list.
template <class... Parameters>
ListedLaunch listed(void (*kernel)(Parameters...), dim3 grid, unsigned threads, std::size_t shared_bytes,
                    Parameters... arguments) {
    ListedLaunch one;
    one.kernel = reinterpret_cast<const void*>(kernel);
    one.grid = grid;
    one.threads = threads;
    one.shared_bytes = shared_bytes;
    one.alone = [kernel, grid, threads, shared_bytes, all = std::tuple<Parameters...>(arguments...)](cudaStream_t stream) {
        if (shared_bytes > 0) allow_shared(reinterpret_cast<const void*>(kernel), shared_bytes);
        std::apply(
            [&](const Parameters&... each) {
                enqueue_kernel(stream, kernel, grid, dim3(threads), shared_bytes, each...);
            },
            all);
        check(cudaGetLastError(), "the launch of a kernel");
    };
    return one;
}

/// ListedLaunch::Together of a kernel's work.
template <class Work>
void launch_together(cudaStream_t stream, dim3 grid, unsigned threads, std::size_t shared_bytes, const std::byte* rows) {
    const auto kernel = many_kernel<Work>;
    if (shared_bytes > 0) allow_shared(reinterpret_cast<const void*>(kernel), shared_bytes);
    enqueue_kernel(stream, kernel, grid, dim3(threads), shared_bytes,
                   reinterpret_cast<const OfNetwork<typename Work::Arguments>*>(rows));
    check(cudaGetLastError(), "the launch of many networks' kernel");
}

/// kernel(arguments...), with dynamic shared memory, of which a kernel may take more than 48 KiB only when that is said
/// first. An empty grid is no launch.
template <class... Parameters, class... Arguments>
void launch_with_shared(const Launcher& to, void (*kernel)(Parameters...), dim3 grid, unsigned threads,
                        std::size_t shared_bytes, Arguments&&... arguments) {
    if (grid.x == 0 || grid.y == 0) return;
    if (to.lists()) return to.add(listed(kernel, grid, threads, shared_bytes, Parameters(arguments)...));
    if (shared_bytes > 0) allow_shared(reinterpret_cast<const void*>(kernel), shared_bytes);
    enqueue_kernel(to.stream(), kernel, grid, dim3(threads), shared_bytes, std::forward<Arguments>(arguments)...);
    check(cudaGetLastError(), "the launch of a kernel");
}

/// Likewise, without.
template <class... Parameters, class... Arguments>
void launch(const Launcher& to, void (*kernel)(Parameters...), dim3 grid, int threads, Arguments&&... arguments) {
    launch_with_shared(to, kernel, grid, static_cast<unsigned>(threads), 0, std::forward<Arguments>(arguments)...);
}

/// Says that a kernel's work has a form for many networks.
template <class Work>
struct ForMany {};

/// Likewise, where the kernel has that form.
template <class Work, class... Parameters, class... Given>
void launch_with_shared(const Launcher& to, ForMany<Work> /*form*/, void (*kernel)(Parameters...), dim3 grid,
                        unsigned threads, std::size_t shared_bytes, Given&&... given) {
    static_assert(std::is_same_v<typename Work::Arguments, Pack<Parameters...>>);
    if (!to.lists()) {
        return launch_with_shared(to, kernel, grid, threads, shared_bytes, std::forward<Given>(given)...);
    }
    if (grid.x == 0 || grid.y == 0) return;
    ListedLaunch one = listed(kernel, grid, threads, shared_bytes, Parameters(given)...);
    one.together = &launch_together<Work>;
    const OfNetwork<Pack<Parameters...>> row{grid.x, pack_of(Parameters(given)...)};
    one.row.resize(sizeof row);
    std::memcpy(one.row.data(), &row, sizeof row);
    to.add(std::move(one));
}
template <class Work, class... Parameters, class... Given>
void launch(const Launcher& to, ForMany<Work> form, void (*kernel)(Parameters...), dim3 grid, int threads,
            Given&&... given) {
    launch_with_shared(to, form, kernel, grid, static_cast<unsigned>(threads), 0, std::forward<Given>(given)...);
}

}  // namespace espalier::cuda
