// Degrees: edges per output neuron from the row starts, edges per input neuron by counting. Integer atomics only.
#pragma once

#include "cuda/portable.cuh"
#include "espalier/index.hpp"

namespace espalier::cuda {

inline constexpr int degrees_threads = 256;

/// outputs[r] = edges of row r. A thread owns a row.
template <int block_threads>
__global__ void __launch_bounds__(block_threads)
    output_degrees_kernel(const EdgeIndex* row_start, Index num_outputs, EdgeIndex* outputs) {
    const Index row = blockIdx.x * block_threads + threadIdx.x;
    if (row < num_outputs) outputs[row] = row_start[row + 1] - row_start[row];
}

/// inputs[c] += edges in column c. A thread owns an edge.
template <int block_threads>
__global__ void __launch_bounds__(block_threads)
    input_degrees_kernel(const Index* column, EdgeIndex num_edges, EdgeIndex* inputs) {
    const EdgeIndex edge = blockIdx.x * block_threads + threadIdx.x;
    if (edge < num_edges) atomicAdd(&inputs[column[edge]], 1U);
}

}  // namespace espalier::cuda
