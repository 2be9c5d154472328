#include "cuda/graph_cache.hpp"

#include <algorithm>

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
    ++runs_;
    if (const auto known = captured_.find(noted_); known != captured_.end()) return replay(known->second);
    const std::size_t hash = HashOfNote{}(noted_);
    const auto before = seen_.find(hash);
    if (before == seen_.end()) {
        if (seen_.size() >= max_seen) seen_.clear();
        seen_.emplace(hash, runs_);
        return program();
    }
    came_back(before->second);
    if (!makes_room()) return program();
    const cudaGraphExec_t executable = capture(program);
    if (executable == nullptr) {
        // Every program can run without; the memory of the other graphs may be what this one's kernels need.
        enabled_ = false;
        clear();
        return program();
    }
    Graph* graph = nullptr;
    try {
        graph = &captured_.emplace(noted_, Graph{executable, runs_}).first->second;
    } catch (...) {
        static_cast<void>(cudaGraphExecDestroy(executable));
        throw;
    }
    replay(*graph);
}

void GraphCache::came_back(std::uint64_t& last_run) {
    longest_absence_ = std::max(longest_absence_, runs_ - last_run);
    last_run = runs_;
}

void GraphCache::replay(Graph& graph) {
    came_back(graph.last_run);
    check(cudaGraphLaunch(graph.executable, stream_), "the launch of a graph");
}

bool GraphCache::makes_room() {
    if (captured_.size() < max_graphs) return true;
    if (runs_ < next_search_) return false;
    next_search_ = runs_ + max_graphs;
    const std::uint64_t patience = 2 * longest_absence_ + max_graphs;
    std::erase_if(captured_, [&](const auto& each) {
        const Graph& graph = each.second;
        const bool is_gone = runs_ - graph.last_run > patience;
        if (is_gone) static_cast<void>(cudaGraphExecDestroy(graph.executable));
        return is_gone;
    });
    return captured_.size() < max_graphs;
}

const GraphCache::Note& GraphCache::noted(const std::function<void()>& program) {
    noted_.clear();
    noting_ = true;
    try {
        program();
    } catch (...) {
        noting_ = false;
        throw;
    }
    noting_ = false;
    return noted_;
}

bool GraphCache::note(const std::function<void()>& program) {
    try {
        static_cast<void>(noted(program));
    } catch (const Unlistable&) {
        return false;
    }
    return true;
}

void GraphCache::list(const std::function<void()>& program, Launches& launches, Index networks) {
    to_ = Launcher(launches, networks);
    try {
        program();
    } catch (...) {
        to_ = stream_;
        throw;
    }
    to_ = stream_;
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
    cudaError_t error = cudaStreamEndCapture(stream_, &graph);
    if (error != cudaErrorMemoryAllocation) check(error, "a capture");
    cudaGraphExec_t executable = nullptr;
    if (error == cudaSuccess) {
        error = cudaGraphInstantiate(&executable, graph, 0);
        static_cast<void>(cudaGraphDestroy(graph));
    }
    if (error == cudaSuccess) return executable;
    static_cast<void>(cudaGetLastError());
    return nullptr;
}

void GraphCache::clear() noexcept {
    for (const auto& [note, graph] : captured_) static_cast<void>(cudaGraphExecDestroy(graph.executable));
    captured_.clear();
    seen_.clear();
}

}  // namespace espalier::cuda
