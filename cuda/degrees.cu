#include "cuda/kernels/degrees.cuh"

#include "cuda/launch.cuh"
#include "cuda/operations.hpp"

namespace espalier::cuda {

void degrees(cudaStream_t stream, const CudaLayer& layer, EdgeIndex* outputs, EdgeIndex* inputs) {
    launch(stream, output_degrees_kernel<degrees_threads>, thread_grid(layer.num_outputs, degrees_threads),
           degrees_threads, layer.row_start.data(), layer.num_outputs, outputs);
    check(cudaMemsetAsync(inputs, 0, layer.num_inputs * sizeof(EdgeIndex), stream), "clearing degrees");
    launch(stream, input_degrees_kernel<degrees_threads>, thread_grid(layer.num_edges, degrees_threads),
           degrees_threads, layer.column.data(), layer.num_edges, inputs);
}

}  // namespace espalier::cuda
