#include "host/cpu/evolution/output_gradients.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <vector>

#include "espalier/common/top_gradients.hpp"
#include "host/cpu/evolution/best_cells.hpp"
#include "host/cpu/evolution/gradient_blocks.hpp"
#include "host/cpu/kernels/gradient_block.hpp"

namespace espalier {
namespace {

/// What all threads share.
template <class Key>
struct OutputScan {
    const CsrView& edges;
    const Replacement<Key>& change;
    const GradientBlocks& outputs;
    const GradientBlocks& inputs;
    Index samples;
    bool skip_blocks;
    Stream draws;
    detail::NewOfOutput begin_of;
    Key* cells;  // [num_grown]
};

/// The best cells of one output so far; cells of gradient 0 are of no interest.
template <class Key>
class BestOfOutput {
public:
    using Ranked = RankedCell<std::uint32_t, Key>;

    void begin(EdgeIndex wanted) {
        wanted_ = wanted;
        threshold_ = wanted > 0 ? 1 : ~std::uint32_t{0};
        cells_.clear();
    }
    [[nodiscard]] std::uint32_t threshold() const { return threshold_; }
    [[nodiscard]] EdgeIndex wanted() const { return wanted_; }
    void add(std::uint32_t key, Key cell) {
        if (key < threshold_ || key > 0x7f800000U) return;  // not NaN
        cells_.push_back({key, cell});
        if (cells_.size() >= 2 * std::size_t{wanted_} + 64) drop_worst();
    }
    /// As many as are wanted, or fewer; in no order.
    std::vector<Ranked>& cells() {
        if (cells_.size() > wanted_) drop_worst();
        return cells_;
    }

private:
    void drop_worst() {
        const auto last = cells_.begin() + static_cast<std::ptrdiff_t>(wanted_ - 1);
        std::nth_element(cells_.begin(), last, cells_.end(), [](const Ranked& a, const Ranked& b) { return a.before(b); });
        threshold_ = last->key;
        cells_.resize(wanted_);
    }

    EdgeIndex wanted_ = 0;
    std::uint32_t threshold_ = 1;
    std::vector<Ranked> cells_;
};

/// One thread's walk over blocks of outputs.
template <class Key>
class OutputWalk {
public:
    explicit OutputWalk(const OutputScan<Key>& scan) : scan_(scan), taken_(scan.edges, scan.inputs, gradient_outputs) {}

    void walk(Index block) {
        const Index first = block * gradient_outputs;
        const Index rows = std::min(gradient_outputs, scan_.edges.num_outputs - first);
        taken_.clear();
        EdgeIndex wanted = 0;
        for (Index r = 0; r < gradient_outputs; ++r) {
            best_[r].begin(r < rows ? scan_.begin_of(first + r + 1) - scan_.begin_of(first + r) : 0);
            wanted += best_[r].wanted();
            if (best_[r].wanted() == 0) continue;
            taken_.mark(r, first + r, scan_.change.pruned, scan_.change.num_pruned, scan_.change.allow_removed);
        }
        if (wanted == 0) return;
        for (Index input_block = 0; input_block < scan_.inputs.count; ++input_block) look_at(block, input_block);
        for (Index r = 0; r < rows; ++r) {
            if (best_[r].wanted() > 0) finish(r, first + r);
        }
    }

private:
    [[nodiscard]] std::uint32_t least_threshold() const {
        std::uint32_t least = ~std::uint32_t{0};
        for (const auto& row : best_) least = std::min(least, row.threshold());
        return least;
    }

    void look_at(Index block, Index input_block) {
        const std::uint32_t threshold = least_threshold();
        if (scan_.skip_blocks && is_below(scan_.outputs.largest[block], scan_.inputs.largest[input_block], scan_.samples,
                                          std::bit_cast<float>(threshold))) {
            return;
        }
        BlockKeys found;
        found.look(scan_.outputs, block, scan_.inputs, input_block, scan_.samples, scan_.edges.num_inputs, threshold);
        for (Index r = 0; r < gradient_outputs; ++r) {
            if (best_[r].wanted() == 0) continue;
            const Key row_begin = static_cast<Key>(block * gradient_outputs + r) * scan_.edges.num_inputs;
            for (std::uint64_t hits = found.reached[r] & ~taken_.bits(r, input_block); hits != 0; hits &= hits - 1) {
                const auto i = static_cast<Index>(std::countr_zero(hits));
                best_[r].add(found.keys[r * gradient_inputs + i],
                             static_cast<Key>(row_begin + scan_.inputs.neuron[input_block * gradient_inputs + i]));
            }
        }
    }

    /// Writes the row's cells, those without a gradient at random.
    void finish(Index r, Index output) {
        const EdgeIndex wanted = best_[r].wanted();
        Key* const cells = scan_.cells + scan_.begin_of(output);
        EdgeIndex found = 0;
        for (const auto& each : best_[r].cells()) cells[found++] = each.cell;
        std::sort(cells, cells + found);
        if (found == wanted) return;
        others_.clear();
        const Key row_begin = static_cast<Key>(output) * scan_.edges.num_inputs;
        for (Index input = 0; input < scan_.edges.num_inputs; ++input) {
            const Index at = scan_.inputs.place[input];
            const bool taken = (taken_.bits(r, at / gradient_inputs) >> (at % gradient_inputs) & 1) != 0;
            const Key cell = row_begin + input;
            if (taken || std::binary_search(cells, cells + found, cell)) continue;
            others_.push_back({detail::rank_at_random(scan_.draws, cell), cell});
        }
        const EdgeIndex more = wanted - found;
        std::nth_element(others_.begin(), others_.begin() + (more - 1), others_.end(),
                         [](const auto& a, const auto& b) { return a.before(b); });
        for (EdgeIndex i = 0; i < more; ++i) cells[found + i] = others_[i].cell;
        std::sort(cells, cells + wanted);
    }

    const OutputScan<Key>& scan_;
    TakenCells taken_;
    BestOfOutput<Key> best_[gradient_outputs];
    std::vector<RankedCell<std::uint32_t, Key>> others_;
};

}  // namespace

template <class Key>
void fast_gradients_by_output(const Evidence& evidence, const CsrView& edges, const Replacement<Key>& change,
                              const GradientSearch& search, const Stream& draws, CpuScratch& scratch, Key* ranks) {
    const GradientBlocks outputs =
        pack_blocks(evidence.dz, gradient_outputs, BlockOrder::by_neuron, search.threads, scratch);
    const GradientBlocks inputs =
        pack_blocks(evidence.x, gradient_inputs, BlockOrder::by_size, search.threads, scratch);
    Key* const cells = scratch.take<Key>(change.num_grown);
    const OutputScan<Key> scan{edges,
                               change,
                               outputs,
                               inputs,
                               evidence.x.batch,
                               search.skip_blocks,
                               draws,
                               {edges.row_start, change.pruned, change.num_pruned, change.num_grown},
                               cells};
    std::atomic<Index> next{0};
#pragma omp parallel num_threads(search.threads) if (search.threads > 1)
    {
        OutputWalk<Key> walk(scan);
        for (Index block = next++; block < outputs.count; block = next++) walk.walk(block);
    }
    ranks_of_cells(cells, change.num_grown, edges, change, ranks);
}

template void fast_gradients_by_output(const Evidence&, const CsrView&, const Replacement<std::uint32_t>&,
                                       const GradientSearch&, const Stream&, CpuScratch&, std::uint32_t*);
template void fast_gradients_by_output(const Evidence&, const CsrView&, const Replacement<std::uint64_t>&,
                                       const GradientSearch&, const Stream&, CpuScratch&, std::uint64_t*);

}  // namespace espalier
