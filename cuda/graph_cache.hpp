// Programs of verbs as CUDA graphs. A program is first noted down: each verb gives itself and its arguments as words,
// instead of enqueueing anything. A program seen for the first time then simply runs; seen again it is captured; after
// that its graph is replayed. So a program that never comes back costs no capture, and one whose addresses or shapes
// changed is another program.
#pragma once

#include <cstdint>
#include <functional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cuda/argument_words.hpp"
#include "cuda_calls.hpp"

namespace espalier::cuda {

class GraphCache {
public:
    /// graphs false: every program just runs.
    GraphCache(cudaStream_t stream, bool graphs) : stream_(stream), enabled_(graphs) {}
    GraphCache(const GraphCache&) = delete;
    GraphCache& operator=(const GraphCache&) = delete;
    ~GraphCache() { clear(); }

    void run(const std::function<void()>& program);

    /// What a verb that only enqueues does: `operation` with these arguments, which are all that it depends on. While a
    /// program is noted down they are noted instead.
    template <class... Parameters, class... Arguments>
    void enqueue(void (*operation)(cudaStream_t, Parameters...), const Arguments&... arguments) {
        if (!noting_) return operation(stream_, arguments...);
        add_words(noted_, operation);
        (add_words(noted_, arguments), ...);
    }
    /// Every other verb calls this first: no graph can hold it, so a program with it always just runs.
    void forbid() const {
        if (noting_) throw Unrecordable{};
    }

private:
    struct Unrecordable {};
    using Note = ArgumentWords;
    struct HashOfNote {
        std::size_t operator()(const Note& note) const;
    };
    // Graphs hold memory for every node; past this many, all are dropped and captured again when seen again.
    static constexpr std::size_t max_graphs = 1024;
    static constexpr std::size_t max_seen = 65536;

    /// False if the program holds what no graph can.
    bool note(const std::function<void()>& program);
    [[nodiscard]] cudaGraphExec_t capture(const std::function<void()>& program);
    void clear() noexcept;

    cudaStream_t stream_;
    bool enabled_;
    bool noting_ = false;
    Note noted_;
    std::unordered_set<std::size_t> seen_;  // hashes: a mistaken one only captures early
    std::unordered_map<Note, cudaGraphExec_t, HashOfNote> captured_;
};

}  // namespace espalier::cuda
