// The best cells of a search that sees them in any order: a bounded list from which the worst are dropped when it fills.
// What is left at the end does not depend on the order or on when it filled, for the order of cells is total.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "espalier/index.hpp"
#include "host/cpu/evolution/radix_sort.hpp"
#include "host/cpu/evolution/scratch.hpp"

namespace espalier {

/// A missing cell and how it ranks: high keys first, of equal ones the first cell.
template <class Rank, class Key>
struct RankedCell {
    Rank key;
    Key cell;
    [[nodiscard]] bool before(const RankedCell& other) const {
        if constexpr (sizeof(Rank) == 4 && sizeof(Key) == 4) {  // one comparison, which no branch has to guess
            const auto both = [](const RankedCell& each) { return std::uint64_t{each.key} << 32 | ~each.cell; };
            return both(*this) > both(other);
        }
        return key != other.key ? key > other.key : cell < other.cell;
    }
};

/// The best cells so far, from all threads. A cell at least as good as the threshold may be among the best; the
/// threshold never exceeds the key of the last that is, and begins at 1: cells of key 0 are of no interest.
template <class Rank, class Key>
class BestSoFar {
public:
    BestSoFar(EdgeIndex wanted, std::size_t spare, CpuScratch& scratch)
        : wanted_(wanted),
          room_(wanted + spare),
          scratch_(scratch),
          cells_(scratch.take<RankedCell<Rank, Key>>(room_)) {}

    [[nodiscard]] Rank threshold() const { return threshold_.load(std::memory_order_relaxed); }
    /// One thread at a time; no more than the spare room.
    void add(const RankedCell<Rank, Key>* some, std::size_t count) {
        if (held_ + count > room_) drop_worst();
        std::copy_n(some, count, cells_ + held_);
        held_ += count;
    }
    /// The best cells, ascending; whoever calls this is alone. `last`: none lies behind it.
    const Key* result(EdgeIndex& count, Key last) {
        drop_worst();
        count = static_cast<EdgeIndex>(held_);
        Key* const cells = scratch_.take<Key>(held_);
        for (std::size_t i = 0; i < held_; ++i) cells[i] = cells_[i].cell;
        return radix_sort(cells, count, last, scratch_.take<Key>(held_));
    }

private:
    using Ranked = RankedCell<Rank, Key>;

    /// Cells with other leading bits than the last that stays are told apart by these, without a branch: whether a cell
    /// stays follows no order that a processor could learn.
    void drop_worst() {
        if (held_ < wanted_ || wanted_ == 0) return;
        constexpr int leading = 12;
        const auto bin = [](const Ranked& each) { return static_cast<std::size_t>(each.key >> (8 * sizeof(Rank) - leading)); };
        std::vector<std::uint32_t> in_bin(std::size_t{1} << leading, 0);
        for (std::size_t i = 0; i < held_; ++i) ++in_bin[bin(cells_[i])];
        std::size_t last_bin = in_bin.size(), above = 0;  // cells in the bins above
        while (above + in_bin[last_bin - 1] < wanted_) above += in_bin[--last_bin];
        --last_bin;
        std::vector<Ranked> tied(in_bin[last_bin] + 1);  // what is no tied one is written behind the last
        std::size_t stay = 0, ties = 0;
        for (std::size_t i = 0; i < held_; ++i) {
            const Ranked each = cells_[i];
            cells_[stay] = each;
            tied[ties] = each;
            stay += bin(each) > last_bin ? 1 : 0;
            ties += bin(each) == last_bin ? 1 : 0;
        }
        const auto last = tied.begin() + static_cast<std::ptrdiff_t>(wanted_ - above - 1);
        std::nth_element(tied.begin(), last, tied.begin() + static_cast<std::ptrdiff_t>(ties),
                         [](const Ranked& a, const Ranked& b) { return a.before(b); });
        std::copy(tied.begin(), last + 1, cells_ + above);
        held_ = wanted_;
        threshold_.store(last->key, std::memory_order_relaxed);
    }

    EdgeIndex wanted_;
    std::size_t room_;
    CpuScratch& scratch_;
    RankedCell<Rank, Key>* cells_;
    std::size_t held_ = 0;
    std::atomic<Rank> threshold_{1};
};

/// The ranks of ascending cells among the missing ones.
template <class Change, class Edges, class Key>
void ranks_of_cells(const Key* cells, EdgeIndex count, const Edges& edges, const Change& change, Key* ranks) {
    EdgeIndex slot = 0;
    EdgeIndex gone_before = 0;
    for (EdgeIndex i = 0; i < count; ++i) {
        const auto output = static_cast<Index>(cells[i] / edges.num_inputs);
        const auto input = static_cast<Index>(cells[i] % edges.num_inputs);
        slot = std::max(slot, edges.row_start[output]);
        while (slot < edges.row_start[output + 1] && edges.column[slot] < input) ++slot;
        while (gone_before < change.num_pruned && change.pruned[gone_before] < slot) ++gone_before;
        ranks[i] = static_cast<Key>(cells[i] - (change.allow_removed ? slot - gone_before : slot));
    }
}

}  // namespace espalier
