#include "cuda/graph_cache.hpp"

#include "cuda/check.hpp"
#include "espalier/error.hpp"

namespace espalier::cuda {

std::size_t GraphCache::HashOfNote::operator()(const Note& note) const {
    std::uint64_t hash = note.size();
    for (const std::uint64_t word : note) {
        hash = (hash ^ word) * 0x9E3779B97F4A7C15U;
        hash ^= hash >> 32;
    }
    return hash;
}

void GraphCache::run(const std::function<void()>& program) {
    expects(!noting_, "no program within a program");
    if (!enabled_ || !note(program)) return program();
    const auto known = captured_.find(noted_);
    if (known != captured_.end()) {
        check(cudaGraphLaunch(known->second, stream_), "the launch of a graph");
        return;
    }
    const std::size_t hash = HashOfNote{}(noted_);
    if (!seen_.contains(hash)) {
        if (seen_.size() >= max_seen) seen_.clear();
        seen_.insert(hash);
        return program();
    }
    if (captured_.size() >= max_graphs) clear();
    const cudaGraphExec_t graph = capture(program);
    try {
        captured_.emplace(noted_, graph);
    } catch (...) {
        static_cast<void>(cudaGraphExecDestroy(graph));
        throw;
    }
    check(cudaGraphLaunch(graph, stream_), "the launch of a graph");
}

bool GraphCache::note(const std::function<void()>& program) {
    noted_.clear();
    noting_ = true;
    try {
        program();
    } catch (const Unrecordable&) {
        noting_ = false;
        return false;
    } catch (...) {
        noting_ = false;
        throw;
    }
    noting_ = false;
    return true;
}

cudaGraphExec_t GraphCache::capture(const std::function<void()>& program) {
    // other threads may go on using the runtime
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "the beginning of a capture");
    cudaGraph_t graph = nullptr;
    try {
        program();
    } catch (...) {
        if (cudaStreamEndCapture(stream_, &graph) == cudaSuccess) static_cast<void>(cudaGraphDestroy(graph));
        static_cast<void>(cudaGetLastError());
        throw;
    }
    check(cudaStreamEndCapture(stream_, &graph), "a capture");
    cudaGraphExec_t executable = nullptr;
    const cudaError_t error = cudaGraphInstantiate(&executable, graph, 0);
    static_cast<void>(cudaGraphDestroy(graph));
    if (error != cudaSuccess) static_cast<void>(cudaGetLastError());
    check(error, "making a graph of a captured program");
    return executable;
}

void GraphCache::clear() noexcept {
    for (const auto& [note, graph] : captured_) static_cast<void>(cudaGraphExecDestroy(graph));
    captured_.clear();
}

}  // namespace espalier::cuda
