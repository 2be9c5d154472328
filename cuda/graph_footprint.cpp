#include "cuda/graph_footprint.hpp"

#include "cuda/check.hpp"
#include "cuda/operations.hpp"
#include "cuda/tile.hpp"

namespace espalier::cuda {
namespace {

// The driver takes memory by megabytes: of so many launches the share of each is known to some hundred bytes.
constexpr int launches = 8192;

std::size_t free_memory(cudaStream_t stream) {
    check(cudaStreamSynchronize(stream), "work on the device");
    std::size_t free = 0;
    std::size_t total = 0;
    check(cudaMemGetInfo(&free, &total), "asking for the free memory");
    return free;
}

/// Launches that are never run.
cudaGraph_t captured(cudaStream_t stream, Activations values) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "the beginning of a capture");
    cudaGraph_t graph = nullptr;
    try {
        for (int i = 0; i < launches; ++i) dropout(stream, values, 0.5F, Stream{}, nullptr, {0, 1, values.batch});
    } catch (...) {
        if (cudaStreamEndCapture(stream, &graph) == cudaSuccess) static_cast<void>(cudaGraphDestroy(graph));
        static_cast<void>(cudaGetLastError());
        throw;
    }
    check(cudaStreamEndCapture(stream, &graph), "a capture");
    return graph;
}

}  // namespace

std::uint64_t bytes_of_graph_node(cudaStream_t stream, Memory& memory) {
    const Array<float> values(memory, tile_lanes);
    const Activations neuron{values.data(), 1, tile_lanes, tile_lanes};
    const cudaGraph_t graph = captured(stream, neuron);
    const std::size_t before = free_memory(stream);
    cudaGraphExec_t executable = nullptr;
    const bool made = cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess;
    static_cast<void>(cudaGraphDestroy(graph));
    if (!made) {
        static_cast<void>(cudaGetLastError());
        return 0;
    }
    static_cast<void>(cudaGraphUpload(executable, stream));
    static_cast<void>(cudaGetLastError());
    const std::size_t after = free_memory(stream);
    static_cast<void>(cudaGraphExecDestroy(executable));
    return after < before ? (before - after + launches - 1) / launches : 0;
}

}  // namespace espalier::cuda
