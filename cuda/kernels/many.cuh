// Many networks in one launch: block z of the grid does what the kernel does in the launch of network z alone. A kernel that
// has this form gives its work as a struct: block_threads, Arguments (a Pack of the kernel's parameters), and an operator()
// that takes them. So the kernel of one network, whose arguments are parameters of its own, costs what it did without.
#pragma once

#include "cuda/kernels/warp.cuh"

namespace espalier::cuda {

/// A kernel's arguments, one after the other, as they lie in a table in device memory.
template <class... Types>
struct Pack {};
template <class First, class... Rest>
struct Pack<First, Rest...> {
    First first;
    Pack<Rest...> rest;
};

inline Pack<> pack_of() { return {}; }
template <class First, class... Rest>
Pack<First, Rest...> pack_of(const First& first, const Rest&... rest) {
    return {first, pack_of(rest...)};
}

template <class Work, class... Unpacked>
__device__ void work_on(const Pack<>& /*left*/, const Unpacked&... unpacked) {
    Work{}(unpacked...);
}
template <class Work, class First, class... Rest, class... Unpacked>
__device__ void work_on(const Pack<First, Rest...>& left, const Unpacked&... unpacked) {
    work_on<Work>(left.rest, unpacked..., left.first);
}

/// A network's row of the table.
template <class Arguments>
struct OfNetwork {
    Index blocks;  // in x of its own launch; the grid's are those of the network that has most
    Arguments arguments;
};

/// Blocks that a multiprocessor is to hold at least, 0: as many as ptxas sees fit. For the sake of more threads than a number
/// here asks for it would spill registers of some kernels.
template <class Work>
inline constexpr int many_blocks = 0;

/// `networks`: a row for each z of the grid. Grid: x as the kernel's own, of the network that has most of it, y as its own.
/// Dynamic shared memory likewise.
template <class Work>
__global__ void __launch_bounds__(Work::block_threads, many_blocks<Work>)
    many_kernel(const OfNetwork<typename Work::Arguments>* __restrict__ networks) {
    const OfNetwork<typename Work::Arguments>& own = networks[blockIdx.z];
    if (blockIdx.x >= own.blocks) return;  // all threads of the block alike
    work_on<Work>(own.arguments);
}

}  // namespace espalier::cuda
