// The topology after an evolution in one walk without branches on the data: which edges
// go and where new ones come follows no order that a processor could learn.
#pragma once

#include <algorithm>
#include <cstdint>

#include "espalier/common/evolution_steps.hpp"
#include "host/cpu/team.hpp"

namespace espalier {

/// Where the walk stands: the next old edge, pruned edge and new edge. The next edge written has slot `out()`.
struct MergePoint {
    EdgeIndex slot = 0;
    EdgeIndex pruned = 0;
    EdgeIndex grown = 0;
    [[nodiscard]] EdgeIndex out() const { return slot - pruned + grown; }
};

/// What goes and what comes, each list ended by a number that no edge reaches (`gone`, the largest Key), and where the
/// results go; nothing of them lies where the old topology does. The arrays of new edges have room for one more after
/// the last for each part of the walk.
template <class Key>
struct Merge {
    CsrView old;
    Replacement<Key> change;
    Evolved<Key> result;

    /// How many of the cells below an old edge, or below the end of its row, can hold no new edge.
    [[nodiscard]] EdgeIndex excluded(const MergePoint& at) const {
        return change.allow_removed ? at.slot - at.pruned : at.slot;
    }

    /// Where row `row` begins.
    [[nodiscard]] MergePoint point(Index row) const {
        MergePoint at;
        at.slot = old.row_start[row];
        at.pruned = static_cast<EdgeIndex>(std::lower_bound(change.pruned, change.pruned + change.num_pruned, at.slot) -
                                           change.pruned);
        const std::uint64_t missing = std::uint64_t{row} * old.num_inputs - excluded(at);
        at.grown = static_cast<EdgeIndex>(std::lower_bound(change.ranks, change.ranks + change.num_grown, missing) -
                                          change.ranks);
        return at;
    }

    /// Writes what comes of `rows`, the walk's part number `part`.
    void walk(Range rows, EdgeIndex part) const {
        const EdgeIndex last_out = point(rows.end).out();
        const EdgeIndex spare = change.num_grown + part;  // what is no new edge is written here
        MergePoint at = point(rows.begin);
        Key row_begin = static_cast<Key>(rows.begin) * old.num_inputs;
        for (Index row = rows.begin; row < rows.end; ++row, row_begin += old.num_inputs) {
            result.row_start[row] = at.out();
            const EdgeIndex end = old.row_start[row + 1];
            // all edges written: what is left goes, and beyond lies another part's
            while (at.slot < end && at.out() < last_out) step(at, row_begin, spare);
            at.pruned += end - at.slot;
            at.slot = end;
            // the new edges beyond the row's last old one
            const Key past = row_begin + old.num_inputs - excluded(at);
            while (change.ranks[at.grown] < past) grow(at, row_begin);
        }
    }

private:
    /// Writes the new edge if it comes before the old one, else the old one, which may have to go: then the next edge
    /// is written over it.
    void step(MergePoint& at, Key row_begin, EdgeIndex spare) const {
        const Index column = old.column[at.slot];
        const Key rank = change.ranks[at.grown];
        const EdgeIndex below = excluded(at);
        const EdgeIndex grows = rank < row_begin + column - below ? 1 : 0;
        const EdgeIndex goes = change.pruned[at.pruned] == at.slot ? 1 : 0;
        // selected by masks: compilers make branches of what is selected by ?:
        const auto choose = [mask = EdgeIndex{0} - grows](EdgeIndex born, EdgeIndex kept) {
            return kept ^ ((born ^ kept) & mask);
        };
        const EdgeIndex out = at.out();
        const EdgeIndex new_edge = choose(at.grown, spare);
        result.column[out] = choose(static_cast<Index>(rank + below - row_begin), column);
        result.origin[out] = choose(change.pruned[at.grown], at.slot);
        result.grown_cells[new_edge] = rank + below;
        result.grown_slots[new_edge] = out;
        at.grown += grows;
        at.slot += 1 - grows;
        at.pruned += goes & (1 - grows);
    }

    void grow(MergePoint& at, Key row_begin) const {
        const Key cell = change.ranks[at.grown] + excluded(at);
        result.column[at.out()] = static_cast<Index>(cell - row_begin);
        result.origin[at.out()] = change.pruned[at.grown];
        result.grown_cells[at.grown] = cell;
        result.grown_slots[at.grown] = at.out();
        ++at.grown;
    }
};

/// All of it, by so many threads.
template <class Key>
void merge_edges(const Merge<Key>& merge, int threads) {
    const CsrView& old = merge.old;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int part = 0; part < threads; ++part) {
        const Range rows = share_of_edges({part, threads, nullptr}, old.row_start, old.num_outputs);
        const Merge<Key> own = merge;  // nothing written can change it
        own.walk(rows, static_cast<EdgeIndex>(part));
    }
    merge.result.row_start[old.num_outputs] = merge.change.num_edges(old);
}

}  // namespace espalier
