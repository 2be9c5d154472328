// The threads of the CPU backend. Work is a list of phases; every thread walks the whole list inside one OpenMP
// region, with a barrier between two phases unless both are cut by whole batch tiles, so that a thread only meets
// what it wrote itself, or are said to touch nothing in common. The cut never decides the order of a sum: results are
// the same for any number of threads.
#pragma once

#include <cstddef>
#include <new>
#include <type_traits>
#include <vector>

#include "espalier/index.hpp"
#include "host/cpu/memory.hpp"
#include "host/cpu/tile_share.hpp"

namespace espalier {

/// One thread's place in the team and its own memory.
struct TeamMember {
    int index = 0;
    int count = 1;
    float* scratch = nullptr;  // as many floats as Team::reserve_scratch asked for
    TileShare tiles{};         // of the process
};

/// A half-open range of rows, tiles or other items.
struct Range {
    Index begin = 0;
    Index end = 0;
};

/// The member's share of `items` equal items.
inline Range share(const TeamMember& member, Index items) {
    const auto cut = [&](int part) {
        return static_cast<Index>(std::uint64_t{items} * static_cast<unsigned>(part) /
                                  static_cast<unsigned>(member.count));
    };
    return {cut(member.index), cut(member.index + 1)};
}

/// The member's share of rows whose edges lie at start[row] .. start[row + 1], about equal in edges.
Range share_of_edges(const TeamMember& member, const EdgeIndex* start, Index rows);

/// Whether `tiles` batch tiles are dealt out whole to `count` threads.
inline bool whole_tiles(Index tiles, int count) {
    const auto threads = static_cast<Index>(count);
    return tiles % threads == 0 || tiles >= 8 * threads;
}

/// A step of work that every member of a team takes part in: a trivially copyable function of a TeamMember, held in
/// place, so that enqueueing allocates nothing.
class Phase {
public:
    /// Instead of a number of tiles: cut otherwise, and independent of any phase of this kind before or after it.
    static constexpr Index disjoint = ~Index{0};

    /// `tiles`: the number of this process's batch tiles by which the phase is cut, 0 when it is cut otherwise.
    template <class Function>
    Phase(Index tiles, const Function& function) : tiles_(tiles) {
        static_assert(std::is_trivially_copyable_v<Function> && sizeof(Function) <= sizeof(storage_));
        ::new (static_cast<void*>(storage_)) Function(function);
        call_ = [](const void* held, const TeamMember& member) { (*static_cast<const Function*>(held))(member); };
    }
    void operator()(const TeamMember& member) const { call_(storage_, member); }
    [[nodiscard]] Index tiles() const { return tiles_; }

private:
    alignas(std::max_align_t) std::byte storage_[256];
    void (*call_)(const void*, const TeamMember&);
    Index tiles_;
};

class Team {
public:
    /// Throws UserError (usage) unless 0 <= threads <= 1024, or (device) if the system gives fewer; 0: default_threads()
    /// of host/system.
    /// `sharing`: processes that compute on the same CPUs, this one included.
    explicit Team(int threads, const TileShare& tiles = {}, int sharing = 1);
    [[nodiscard]] int threads() const { return threads_; }

    /// Gives every member at least `floats` floats of scratch.
    void reserve_scratch(std::size_t floats);

    /// Runs the phases in order on all threads with subnormals flushed to zero; the caller is one of them. The first
    /// exception ends the run and is thrown again here. Throws UserError (device) for several threads in
    /// a forked child of a process that ran as many: OpenMP's do not follow, and the child would wait for ever.
    void run(const std::vector<Phase>& phases);

private:
    int threads_;
    TileShare tiles_;
    bool spin_ = false;      // a CPU for every thread: waiting a moment costs nobody
    std::vector<int> cpus_;  // one per thread; empty: threads are not pinned
    std::vector<AlignedVector<float>> scratch_;
};

}  // namespace espalier
