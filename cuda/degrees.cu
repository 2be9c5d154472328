#include "cuda/kernels/degrees.cuh"

#include "cuda/launch.cuh"
#include "cuda/operations.hpp"

namespace espalier::cuda {

void degrees(cudaStream_t stream, const CudaLayer& layer, EdgeIndex* outputs, EdgeIndex* inputs) {
    launch(stream, output_degrees_kernel<degrees_threads>, thread_grid(layer.num_outputs, degrees_threads),
           degrees_threads, layer.row_start.data(), layer.num_outputs, outputs);
    count_neurons(stream, layer.column.data(), layer.num_edges, inputs, layer.num_inputs);
}

void count_neurons(cudaStream_t stream, const Index* of_edge, EdgeIndex num_edges, EdgeIndex* counts, Index neurons) {
    check(cudaMemsetAsync(counts, 0, neurons * sizeof(EdgeIndex), stream), "clearing degrees");
    launch(stream, input_degrees_kernel<degrees_threads>, thread_grid(num_edges, degrees_threads), degrees_threads,
           of_edge, num_edges, counts);
}

}  // namespace espalier::cuda
