// Sets of cells as bits, from which their members come sorted: cheaper than sorting where a layer is not too sparse for
// it. Bits are set by atomics, so in any order.
#pragma once

#include <new>

#include "cuda/kernels/block_sums.cuh"
#include "cuda/kernels/edges.cuh"
#include "espalier/common/evolution_steps.hpp"

namespace espalier::cuda {

inline constexpr unsigned word_bits = 32;

/// Device memory, all 0 for the empty set.
struct CellSet {
    std::uint32_t* words = nullptr;   // [num_words] bit `cell`
    std::uint32_t* counts = nullptr;  // [max_chunks] cells of each chunk of words
    std::uint32_t num_words = 0;
    unsigned chunk_shift = 0;

    __device__ void insert(std::uint32_t cell) const {
        const std::uint32_t word = cell / word_bits;
        atomicOr(&words[word], 1U << cell % word_bits);
        atomicAdd(&counts[word >> chunk_shift], 1U);
    }
};

/// Calls visit(word, bits, members in the words before) for every word of the block's chunk.
template <int block_threads, class Visit>
__device__ void visit_words(const CellSet& set, BlockSums<block_threads>& shared, const Visit& visit) {
    unsigned members = sum_of_list(set.counts, blockIdx.x, shared);
    const std::uint64_t begin = std::uint64_t{blockIdx.x} << set.chunk_shift;
    const std::uint64_t chunk_end = std::uint64_t{blockIdx.x + 1} << set.chunk_shift;
    const std::uint64_t end = chunk_end < set.num_words ? chunk_end : set.num_words;
    for (std::uint64_t first = begin; first < end; first += block_threads) {
        const std::uint64_t word = first + threadIdx.x;
        const std::uint32_t bits = word < end ? set.words[word] : 0;
        unsigned all = 0;
        const unsigned before = sum_before(static_cast<unsigned>(__popc(bits)), all, shared);
        if (word < end) visit(static_cast<std::uint32_t>(word), bits, members + before);
        members += all;
    }
}

/// Calls visit(member) for each of a word's, ascending.
template <class Visit>
__device__ void visit_members(std::uint32_t word, std::uint32_t bits, const Visit& visit) {
    for (; bits != 0; bits &= bits - 1) {
        visit(word * word_bits + static_cast<std::uint32_t>(__ffs(static_cast<int>(bits)) - 1));
    }
}

/// Puts the first `count` images of the permutation of [0, size) into the set. Grid: x covers them.
template <int block_threads>
__global__ void __launch_bounds__(block_threads)
    draw_cells_kernel(std::uint64_t size, Stream stream, EdgeIndex count, CellSet set) {
    // there, because the rounds' keys are an array by index
    struct Order {
        alignas(Permutation) unsigned char bytes[sizeof(Permutation)];
    };
    auto& shared = block_shared<Order>();
    if (threadIdx.x == 0) new (shared.bytes) Permutation(size, stream);
    __syncthreads();
    const EdgeIndex i = blockIdx.x * block_threads + threadIdx.x;
    if (i >= count) return;
    set.insert(static_cast<std::uint32_t>((*reinterpret_cast<const Permutation*>(shared.bytes))(i)));
}

/// Lists the members, ascending. Grid: x covers the chunks of words.
template <int block_threads>
__global__ void __launch_bounds__(block_threads) list_cells_kernel(CellSet set, std::uint32_t* cells) {
    visit_words(set, block_shared<BlockSums<block_threads>>(),
                [&](std::uint32_t word, std::uint32_t bits, unsigned at) {
                    visit_members(word, bits, [&](std::uint32_t cell) { cells[at++] = cell; });
                });
}

/// The view by input of `edges`, whose cells by input (input * num_outputs + output) are the members; bit
/// num_inputs * num_outputs belongs to a word too. Grid: x covers the chunks of words.
template <int block_threads>
__global__ void __launch_bounds__(block_threads)
    list_by_input_kernel(CellSet set, CsrView edges, EdgeIndex* column_start, Index* row, EdgeIndex* slot) {
    visit_words(
        set, block_shared<BlockSums<block_threads>>(), [&](std::uint32_t word, std::uint32_t bits, unsigned at) {
            const Index height = edges.num_outputs;
            const std::uint64_t first = std::uint64_t{word} * word_bits;
            std::uint64_t input = (static_cast<std::uint32_t>(first) + height - 1) / height;
            for (; input <= edges.num_inputs && input * height < first + word_bits; ++input) {
                const auto below = static_cast<unsigned>(input * height - first);
                column_start[input] = at + static_cast<EdgeIndex>(__popc(bits & ((1U << below) - 1)));
            }
            visit_members(word, bits, [&](std::uint32_t cell) {
                const Index column = cell / height;
                const Index output = cell % height;
                const Index* const columns = edges.column;
                row[at] = output;
                slot[at++] = detail::partition_point(edges.row_start[output], edges.row_start[output + 1],
                                                     [columns, column](EdgeIndex e) { return columns[e] < column; });
            });
        });
}

/// One side's neurons, to be ordered by their edges.
struct NeuronsOfSide {
    const EdgeIndex* start = nullptr;  // [count + 1]
    Index count = 0;
    Index* order = nullptr;  // [count]
};
/// Lanes that look at the others of a neuron together.
inline constexpr Index comparing_lanes = 8;
/// Blocks of so many threads for a side.
ESPALIER_HOST_DEVICE constexpr Index ordering_blocks(Index count, Index block_threads) {
    const Index neurons = block_threads / comparing_lanes;
    return (count + neurons - 1) / neurons;
}

/// How many edges each of a side's neurons has, of so many at a time; 0 for those that there are not.
template <int block_threads>
struct EdgesOfNeurons {
    static constexpr Index in_flight = 4;
    static constexpr Index size = in_flight * block_threads;
    alignas(16) EdgeIndex count[size];

    /// Of neurons from `first` on. All loads are on their way before one is waited for: every block goes through the same
    /// neurons at the same time, and would wait for each part of a cache line by itself.
    __device__ void load(const EdgeIndex* start, Index num_neurons, Index first) {
        EdgeIndex begin[in_flight], end[in_flight];
        ESPALIER_UNROLL
        for (Index u = 0; u < in_flight; ++u) {
            const Index neuron = first + u * block_threads + threadIdx.x;
            begin[u] = start[neuron < num_neurons ? neuron : num_neurons];
            end[u] = start[neuron < num_neurons ? neuron + 1 : num_neurons];
        }
        __syncwarp();  // keeps the loads together
        ESPALIER_UNROLL
        for (Index u = 0; u < in_flight; ++u) count[u * block_threads + threadIdx.x] = end[u] - begin[u];
    }
};

/// Each side's neurons, those with most edges first, in their own order where they have as many: a neuron comes after
/// all that one look at every other finds to come before it. Grid: x covers ordering_blocks of one side, then of the other.
template <int block_threads>
__global__ void __launch_bounds__(block_threads) order_neurons_kernel(NeuronsOfSide one, NeuronsOfSide other) {
    using Edges = EdgesOfNeurons<block_threads>;
    auto& others = block_shared<Edges>();
    const Index blocks_of_one = ordering_blocks(one.count, block_threads);
    const bool of_one = blockIdx.x < blocks_of_one;
    const EdgeIndex* const start = of_one ? one.start : other.start;
    const Index count = of_one ? one.count : other.count;
    const Index neuron = ((of_one ? blockIdx.x : blockIdx.x - blocks_of_one) * block_threads + threadIdx.x) / comparing_lanes;
    const EdgeIndex edges = neuron < count ? start[neuron + 1] - start[neuron] : 0;
    Index place = 0;
    for (Index first = 0; first < count; first += Edges::size) {
        __syncthreads();
        others.load(start, count, first);
        __syncthreads();
        const Index here = count - first < Edges::size ? count - first : Edges::size;
        for (Index at = threadIdx.x % comparing_lanes * 4; at < here; at += comparing_lanes * 4) {
            const uint4 four = load_numbers(others.count + at);
            const auto compare = [&](EdgeIndex has, Index each) {  // of as many edges, those before it
                place += has + (each < neuron ? 1U : 0U) > edges ? 1 : 0;
            };
            compare(four.x, first + at);
            compare(four.y, first + at + 1);
            compare(four.z, first + at + 2);
            compare(four.w, first + at + 3);
        }
    }
    ESPALIER_UNROLL
    for (int lanes = static_cast<int>(comparing_lanes) / 2; lanes > 0; lanes /= 2) {
        place += __shfl_xor_sync(full_warp, place, lanes);
    }
    if (neuron < count && threadIdx.x % comparing_lanes == 0) (of_one ? one.order : other.order)[place] = neuron;
}

}  // namespace espalier::cuda
