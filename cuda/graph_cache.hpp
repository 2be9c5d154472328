// Programs of verbs as CUDA graphs. A program is first noted down: each verb gives itself and its arguments as words,
// instead of enqueueing anything. A program seen for the first time then simply runs; seen again it is captured; after
// that its graph is replayed. So a program that never comes back costs no capture, and one whose addresses or shapes
// changed is another program.
#pragma once

#include <cstdint>
#include <functional>
#include <unordered_map>
#include <vector>

#include "cuda/argument_words.hpp"
#include "cuda/launcher.hpp"
#include "cuda_calls.hpp"

namespace espalier::cuda {

class GraphCache {
public:
    /// graphs false: every program just runs.
    GraphCache(cudaStream_t stream, bool graphs) : stream_(stream), to_(stream), enabled_(graphs) {}
    GraphCache(const GraphCache&) = delete;
    GraphCache& operator=(const GraphCache&) = delete;
    ~GraphCache() { clear(); }

    [[nodiscard]] bool enabled() const { return enabled_; }
    void run(const std::function<void()>& program);

    /// What a verb that only enqueues does: `operation` with these arguments, which are all that it depends on. While a
    /// program is noted down they are noted instead.
    template <class... Parameters, class... Arguments>
    void enqueue(void (*operation)(const Launcher&, Parameters...), const Arguments&... arguments) {
        if (!noting_) return operation(to_, arguments...);
        note_down(operation, arguments...);
    }
    /// Likewise, for what no list can hold.
    template <class... Parameters, class... Arguments>
    void enqueue(void (*operation)(cudaStream_t, Parameters...), const Arguments&... arguments) {
        if (!noting_) return operation(to_.stream(), arguments...);
        note_down(operation, arguments...);
    }
    /// Every other verb calls this first: no graph can hold it, so a program with it always just runs.
    void forbid() const {
        if (noting_ || to_.lists()) throw Unlistable{};
    }

    // For a program that others run together with theirs (cohort.hpp).
    using Note = ArgumentWords;
    struct HashOfNote {
        std::size_t operator()(const Note& note) const;
    };
    /// What the program holds, until the next is noted down. Throws Unlistable if it holds what no graph can.
    [[nodiscard]] const Note& noted(const std::function<void()>& program);
    /// Lists the program's launches. Throws Unlistable.
    void list(const std::function<void()>& program, Launches& launches, Index networks);
    /// Forgets every program.
    void clear() noexcept;

private:
    // Graphs hold memory for every node. With this many no more programs are captured, unless some of them never come
    // back: their places go to others. (To drop one that does come back, as the oldest of more programs than there are
    // places would, is to capture all of them again in every round.)
    static constexpr std::size_t max_graphs = 1024;
    static constexpr std::size_t max_seen = 65536;

    struct Graph {
        cudaGraphExec_t executable = nullptr;
        std::uint64_t last_run = 0;  // of runs_
    };

    /// False if the program holds what no graph can.
    bool note(const std::function<void()>& program);
    /// Null if it cannot be made into a graph that runs, for want of memory say.
    [[nodiscard]] cudaGraphExec_t capture(const std::function<void()>& program);
    void came_back(std::uint64_t& last_run);
    void replay(Graph& graph);
    /// Whether there is a place for one more graph.
    bool makes_room();
    template <class Operation, class... Arguments>
    void note_down(Operation* operation, const Arguments&... arguments) {
        add_words(noted_, operation);
        (add_words(noted_, arguments), ...);
    }

    cudaStream_t stream_;
    Launcher to_;  // the stream, but for programs that are listed
    bool enabled_;
    bool noting_ = false;
    Note noted_;
    std::unordered_map<std::size_t, std::uint64_t> seen_;  // last run by hash: a mistaken one only captures early
    std::unordered_map<Note, Graph, HashOfNote> captured_;
    std::uint64_t runs_ = 0;
    std::uint64_t longest_absence_ = 0;  // of a program that came back, in runs
    std::uint64_t next_search_ = 0;      // for graphs that do not come back
};

}  // namespace espalier::cuda
