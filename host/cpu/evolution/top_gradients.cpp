#include "host/cpu/evolution/top_gradients.hpp"

#include <omp.h>
#include <thrust/system/cpp/execution_policy.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "espalier/common/top_gradients.hpp"
#include "host/cpu/evolution/best_cells.hpp"
#include "host/cpu/evolution/gradient_blocks.hpp"
#include "host/cpu/evolution/output_gradients.hpp"
#include "host/cpu/evolution/radix_sort.hpp"
#include "host/cpu/evolution/random_draws.hpp"
#include "host/cpu/kernels/gradient_block.hpp"

namespace espalier {

namespace {

constexpr Index panel_blocks = 8;  // of outputs: 64 rows whose gradients by the preactivation stay in the cache
constexpr std::size_t own_cells = 1024;

/// What all threads share.
template <class Key>
struct GradientScan {
    const CsrView& edges;
    const Replacement<Key>& change;
    const GradientBlocks& outputs;
    const GradientBlocks& inputs;
    Index samples;
    bool skip_blocks;
    BestSoFar<std::uint32_t, Key>& best;

    [[nodiscard]] Index num_panels() const { return (outputs.count + panel_blocks - 1) / panel_blocks; }
};

/// One thread's walk over panels of outputs.
template <class Key>
class PanelWalk {
public:
    explicit PanelWalk(const GradientScan<Key>& scan)
        : scan_(scan), taken_(scan.edges, scan.inputs, panel_blocks * gradient_outputs) {}

    void walk(Index panel) {
        const Index first = panel * panel_blocks;
        const Index end = std::min(first + panel_blocks, scan_.outputs.count);
        taken_.clear();
        const Index last_place = std::min(end * gradient_outputs, scan_.edges.num_outputs);
        for (Index place = first * gradient_outputs; place < last_place; ++place) {
            taken_.mark(place - first * gradient_outputs, scan_.outputs.neuron[place], scan_.change.pruned,
                        scan_.change.num_pruned, scan_.change.allow_removed);
        }
        for (Index input_block = 0; input_block < scan_.inputs.count; ++input_block) {
            for (Index block = first; block < end; ++block) look_at(block, block - first, input_block);
        }
    }
    void hand_over() {
#pragma omp critical(espalier_best_gradients)
        scan_.best.add(own_, held_);
        held_ = 0;
    }

private:
    /// Whether no gradient of a block can reach the threshold.
    [[nodiscard]] bool is_hopeless(Index block, Index input_block, std::uint32_t threshold) const {
        return scan_.skip_blocks && is_below(scan_.outputs.largest[block], scan_.inputs.largest[input_block],
                                             scan_.samples, std::bit_cast<float>(threshold));
    }

    void look_at(Index block, Index row_block, Index input_block) {
        const std::uint32_t threshold = scan_.best.threshold();
        if (is_hopeless(block, input_block, threshold)) return;
        BlockKeys found;
        found.look(scan_.outputs, block, scan_.inputs, input_block, scan_.samples, scan_.edges.num_inputs, threshold);
        for (Index r = 0; r < gradient_outputs; ++r) {
            const Index place = block * gradient_outputs + r;
            if (place >= scan_.edges.num_outputs) break;
            std::uint64_t hits = found.reached[r] & ~taken_.bits(row_block * gradient_outputs + r, input_block);
            if (hits == 0) continue;
            if (own_cells - held_ < gradient_inputs) hand_over();
            const Key row_begin = static_cast<Key>(scan_.outputs.neuron[place]) * scan_.edges.num_inputs;
            for (; hits != 0; hits &= hits - 1) {
                const auto i = static_cast<Index>(std::countr_zero(hits));
                const std::uint32_t key = found.keys[r * gradient_inputs + i];
                own_[held_] = {key, static_cast<Key>(row_begin + scan_.inputs.neuron[input_block * gradient_inputs + i])};
                held_ += key <= 0x7f800000U ? 1 : 0;  // not NaN
            }
        }
    }

    const GradientScan<Key>& scan_;
    TakenCells taken_;
    RankedCell<std::uint32_t, Key> own_[own_cells];
    std::size_t held_ = 0;
};

/// Threads worth waking for so many multiplications.
int useful_threads(double products, int threads) {
    constexpr double per_thread = 4e6;
    return static_cast<int>(std::clamp(products / per_thread, 1.0, static_cast<double>(threads)));
}

/// keys[i] of cells[i], as detail::KeyOfCell.
template <class Key>
void keys_of_cells(const detail::PackedEvidence& gradient, const Key* cells, EdgeIndex count, int threads,
                   std::uint32_t* keys) {
    constexpr EdgeIndex some = 4096;
    const auto pieces = static_cast<std::int64_t>(count / some + 1);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t piece = 0; piece < pieces; ++piece) {
        Index outputs[some];
        Index inputs[some];
        const EdgeIndex first = static_cast<EdgeIndex>(piece) * some;
        const EdgeIndex own = std::min(some, count - first);
        for (EdgeIndex i = 0; i < own; ++i) {
            outputs[i] = static_cast<Index>(cells[first + i] / gradient.num_inputs);
            inputs[i] = static_cast<Index>(cells[first + i] % gradient.num_inputs);
        }
        gradient_keys(gradient.dz, gradient.num_outputs, gradient.x, gradient.num_inputs, gradient.samples, outputs,
                      inputs, own, keys + first);
        for (EdgeIndex i = 0; i < own; ++i) keys[first + i] = keys[first + i] > 0x7f800000U ? 0 : keys[first + i];
    }
}

/// The cells of ascending ranks among the missing ones: one walk along the edges.
template <class Key>
void cells_of_ascending(const CsrView& edges, const Replacement<Key>& change, const Key* ranks, EdgeIndex count,
                        Key* cells) {
    EdgeIndex at = 0;
    EdgeIndex taken = 0;  // cells so far that can hold no new edge
    EdgeIndex gone_before = 0;
    for (Index output = 0; output < edges.num_outputs; ++output) {
        const Key row = static_cast<Key>(output) * edges.num_inputs;
        for (EdgeIndex slot = edges.row_start[output]; slot < edges.row_start[output + 1]; ++slot) {
            const bool removed = gone_before < change.num_pruned && change.pruned[gone_before] == slot;
            gone_before += removed ? 1 : 0;
            if (removed && change.allow_removed) continue;
            const Key cell = row + edges.column[slot];
            for (; at < count && ranks[at] + taken < cell; ++at) cells[at] = ranks[at] + taken;
            ++taken;
        }
    }
    for (; at < count; ++at) cells[at] = ranks[at] + taken;
}

/// Keeps the ranks of the `wanted` largest keys above 0, of equal ones the first, in their order; returns how many.
/// `spare` has room for all keys.
template <class Key>
EdgeIndex keep_largest(const std::uint32_t* keys, EdgeIndex count, EdgeIndex wanted, std::uint32_t* spare, Key* ranks) {
    std::uint32_t least = 1;  // that is kept
    EdgeIndex ties = count;   // of the least that are
    if (wanted == 0) return 0;
    if (wanted < count) {
        std::copy_n(keys, count, spare);
        std::nth_element(spare, spare + (wanted - 1), spare + count, std::greater<>());
        const std::uint32_t last = spare[wanted - 1];
        if (last > 0) {
            least = last;
            ties = wanted - static_cast<EdgeIndex>(std::count_if(keys, keys + count, [=](auto key) { return key > last; }));
        }
    }
    EdgeIndex kept = 0;
    for (EdgeIndex i = 0; i < count; ++i) {
        const bool tie = keys[i] == least && ties > 0;
        ties -= tie ? 1 : 0;
        ranks[kept] = ranks[i];
        kept += keys[i] > least || tie ? 1 : 0;
    }
    return kept;
}

/// As detail::top_candidates, in one walk each along the edges and the candidates.
template <class Key>
EdgeIndex fast_top_candidates(const Evidence& evidence, const CsrView& edges, const Replacement<Key>& change,
                              Cell missing, EdgeIndex candidates, const Stream& stream, int threads,
                              CpuScratch& scratch, Key* ranks) {
    const detail::PackedEvidence gradient = detail::pack(thrust::cpp::par, scratch, evidence);
    auto* drawn = scratch.take<Key>(candidates);
    permute(Permutation(missing, candidate_stream(stream)), 0, candidates, drawn);
    drawn = radix_sort(drawn, candidates, missing - 1, scratch.take<Key>(candidates));
    auto* cells = scratch.take<Key>(candidates);
    cells_of_ascending(edges, change, drawn, candidates, cells);
    auto* keys = scratch.take<std::uint32_t>(candidates);
    const double products = static_cast<double>(gradient.samples) * candidates;
    keys_of_cells(gradient, cells, candidates, useful_threads(products, threads), keys);
    const EdgeIndex found =
        keep_largest(keys, candidates, change.num_grown, scratch.take<std::uint32_t>(candidates), drawn);
    std::copy_n(drawn, found, ranks);
    return found;
}

}  // namespace

template <class Key>
EdgeIndex fast_top_gradients(const Evidence& evidence, const CsrView& edges, const Replacement<Key>& change,
                             const GradientSearch& search, CpuScratch& scratch, Key* ranks) {
    const GradientBlocks outputs =
        pack_blocks(evidence.dz, gradient_outputs, BlockOrder::by_size, search.threads, scratch);
    const GradientBlocks inputs =
        pack_blocks(evidence.x, gradient_inputs, BlockOrder::by_size, search.threads, scratch);
    const std::size_t spare =
        std::max<std::size_t>(search.spare_cells > 0 ? search.spare_cells : change.num_grown, own_cells);
    BestSoFar<std::uint32_t, Key> best(change.num_grown, spare, scratch);
    const GradientScan<Key> scan{edges, change, outputs, inputs, evidence.x.batch, search.skip_blocks, best};
    std::atomic<Index> next{0};
#pragma omp parallel num_threads(search.threads) if (search.threads > 1)
    {
        const auto walk = std::make_unique<PanelWalk<Key>>(scan);
        for (Index panel = next++; panel < scan.num_panels(); panel = next++) walk->walk(panel);
        walk->hand_over();
    }
    EdgeIndex found = 0;
    const Cell last_cell = Cell{edges.num_inputs} * edges.num_outputs - 1;
    const auto* const cells = best.result(found, static_cast<Key>(last_cell));
    ranks_of_cells(cells, found, edges, change, ranks);
    return found;
}

template <class Key>
void fast_draw_by_gradient(const GrowGradient& rule, const Evidence& evidence, const CsrView& edges,
                           const Replacement<Key>& change, Cell missing, const Stream& stream, int threads,
                           CpuScratch& scratch, Key* ranks) {
    const double products = static_cast<double>(evidence.x.batch) * edges.num_inputs * edges.num_outputs;
    if (rule.per_output) {
        fast_gradients_by_output(evidence, edges, change, {useful_threads(products, threads)}, stream, scratch, ranks);
        return;
    }
    EdgeIndex found = 0;
    if (rule.candidates > 0) {
        const EdgeIndex looked_at = num_candidates(rule, edges.num_edges, change.num_grown, missing);
        found = fast_top_candidates(evidence, edges, change, missing, looked_at, stream, threads, scratch, ranks);
    } else {
        found = fast_top_gradients(evidence, edges, change, {useful_threads(products, threads)}, scratch, ranks);
    }
    detail::add_uniform_ranks(thrust::cpp::par, scratch, found, change.num_grown, missing, stream, ranks);
}

template EdgeIndex fast_top_gradients(const Evidence&, const CsrView&, const Replacement<std::uint32_t>&,
                                      const GradientSearch&, CpuScratch&, std::uint32_t*);
template EdgeIndex fast_top_gradients(const Evidence&, const CsrView&, const Replacement<std::uint64_t>&,
                                      const GradientSearch&, CpuScratch&, std::uint64_t*);
template void fast_draw_by_gradient(const GrowGradient&, const Evidence&, const CsrView&,
                                    const Replacement<std::uint32_t>&, Cell, const Stream&, int, CpuScratch&,
                                    std::uint32_t*);
template void fast_draw_by_gradient(const GrowGradient&, const Evidence&, const CsrView&,
                                    const Replacement<std::uint64_t>&, Cell, const Stream&, int, CpuScratch&,
                                    std::uint64_t*);

}  // namespace espalier
