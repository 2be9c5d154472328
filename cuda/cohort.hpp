// Networks of one shape that one process trains at once on one device, each on a thread of its own with a backend of its
// own, a companion of the others. What all of them run at the same time becomes one launch for each of a network's own:
// block z of its grid works for network z (kernels/many.cuh), whose arguments lie in row z of a table in device memory. So
// a small network's launches, which leave most of a device idle, cost what they cost once. Every network has the bits that
// it has by itself: the same blocks do the same work. Whatever is not a program (evolution, uploads) a companion does by
// itself, on its own stream.
//
// A program waits until every companion has come with one, has left, or is gone; whoever comes last launches them all.
// Those whose launches differ, by a kernel or by a block's size, are launched beside each other: same bits, no gain.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "cuda/graph_cache.hpp"
#include "cuda/memory.hpp"
#include "cuda/stream.hpp"

namespace espalier::cuda {

/// Programs of several companions, launched together.
struct JointProgram {
    std::uint64_t number = 0;  // no other's of the cohort
    Array<std::byte> table;
    std::vector<std::function<void(cudaStream_t)>> launches;  // one after the other
};

inline void add_words(ArgumentWords& words, const JointProgram& joint) { words.push_back(joint.number); }

class Cohort {
public:
    Cohort(int device, std::size_t members, bool graphs);
    Cohort(const Cohort&) = delete;
    Cohort& operator=(const Cohort&) = delete;
    ~Cohort();

    /// Lists the launches of a member's program, for so many networks.
    using List = std::function<void(Launches& launches, Index networks)>;
    /// Runs a program of `member`'s with those of the others, and waits for its end. What the member enqueued before is
    /// done. `number`: equal for programs of the member that are equal. Throws what went wrong with it, be it Unlistable.
    void run(std::size_t member, std::uint64_t number, const List& list);
    /// The others no longer wait for `member`.
    void leave(std::size_t member) noexcept;

    /// Backend::keep(): equal bytes once, whichever member asks.
    [[nodiscard]] void* keep(const void* from, std::size_t bytes);
    /// False: no memory of keep()'s.
    bool release(void* memory) noexcept;

private:
    struct Member {
        bool is_here = true;
        const List* list = nullptr;  // of the program it waits with
        std::uint64_t number = 0;
        std::exception_ptr fault;  // of the program
    };
    struct Kept {
        Array<std::byte> memory;
        std::size_t hash = 0;
        int users = 0;
    };
    using Key = std::vector<std::uint64_t>;  // member, number of its program, ..
    // Tables and launches of more bytes are forgotten, with all graphs: programs that never come back have them too.
    static constexpr std::size_t most_table_bytes = std::size_t{1} << 28;
    static constexpr std::size_t launch_bytes = 1024;  // that a launch holds of its arguments, about

    [[nodiscard]] bool all_have_come() const;
    /// Runs what members wait with, and lets them go on.
    void run_all() noexcept;
    /// False if a member's launches cannot be listed, which now has a fault and no program: it is to be tried again.
    [[nodiscard]] bool try_to_run();
    /// Null if a member's cannot be listed.
    [[nodiscard]] const JointProgram* joint_program(const std::vector<Member*>& waiting, const Key& key);
    [[nodiscard]] JointProgram join(std::vector<Launches> networks);
    void upload_table(JointProgram& joint, const std::vector<std::byte>& rows);
    [[nodiscard]] bool holds(const Kept& kept, const std::byte* bytes);

    std::mutex mutex_;
    std::condition_variable done_;
    std::vector<Member> members_;
    int device_;
    // in this order, as in CudaBackend
    OwnStream stream_;
    Memory memory_;
    GraphCache graphs_;
    std::list<Kept> kept_;
    std::map<Key, JointProgram> joint_;
    std::size_t table_bytes_ = 0;
    std::uint64_t last_number_ = 0;
};

/// A backend's place in a cohort, which it leaves at its end.
class Companion {
public:
    Companion(std::shared_ptr<Cohort> cohort, std::size_t member) : cohort_(std::move(cohort)), member_(member) {}
    Companion(const Companion&) = delete;
    Companion& operator=(const Companion&) = delete;
    ~Companion() { part(); }

    /// Runs `program`, whose verbs go through `graphs`, with the others'. False: it has left, or the program cannot be
    /// listed and it now has.
    [[nodiscard]] bool run(GraphCache& graphs, const std::function<void()>& program);
    void part() noexcept;
    [[nodiscard]] Cohort& cohort() const { return *cohort_; }

private:
    [[nodiscard]] std::uint64_t number_of(const GraphCache::Note& note);

    static constexpr std::size_t most_notes = 512;
    std::shared_ptr<Cohort> cohort_;
    std::size_t member_;
    bool has_left_ = false;
    std::unordered_map<GraphCache::Note, std::uint64_t, GraphCache::HashOfNote> numbers_;
    std::uint64_t last_number_ = 0;
};

}  // namespace espalier::cuda
