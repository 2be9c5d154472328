// GraphCache of verbs as CUDA graphs. A program is first noted down: each verb gives its name and arguments as words,
// instead of enqueueing anything. A program seen for the first time then simply runs; seen again it is captured; after
// that its graph is replayed. So a program that never comes back costs no capture, and one whose addresses or shapes
// changed is another program.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cuda_calls.hpp"

namespace espalier::cuda {

enum class Operation : std::uint64_t { gather = 1, forward, dropout, loss, backward, transposed, sample, score };

class GraphCache {
public:
    /// graphs false: every program just runs.
    GraphCache(cudaStream_t stream, bool graphs) : stream_(stream), enabled_(graphs) {}
    GraphCache(const GraphCache&) = delete;
    GraphCache& operator=(const GraphCache&) = delete;
    ~GraphCache() { clear(); }

    void run(const std::function<void()>& program);

    /// Every verb that only enqueues calls this first, with all it depends on, and returns at once if it gives true.
    template <class... Words>
    [[nodiscard]] bool record(Operation verb, const Words&... words) {
        if (!noting_) return false;
        noted_.push_back(static_cast<std::uint64_t>(verb));
        (noted_.push_back(word_of(words)), ...);
        return true;
    }
    /// Every other verb calls this first: no graph can hold it, so a program with it always just runs.
    void forbid() const {
        if (noting_) throw Unrecordable{};
    }

private:
    struct Unrecordable {};
    using Note = std::vector<std::uint64_t>;
    struct HashOfNote {
        std::size_t operator()(const Note& note) const;
    };
    // Graphs hold memory for every node; past this many, all are dropped and captured again when seen again.
    static constexpr std::size_t max_graphs = 1024;
    static constexpr std::size_t max_seen = 65536;

    template <class Word>
    static std::uint64_t word_of(const Word& word) {
        static_assert(std::is_scalar_v<Word> && sizeof(Word) <= 8, "padding would differ between equal words");
        std::uint64_t result = 0;
        std::memcpy(&result, &word, sizeof word);
        return result;
    }
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
