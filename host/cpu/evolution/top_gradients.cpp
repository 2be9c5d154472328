#include "host/cpu/evolution/top_gradients.hpp"

#include <omp.h>
#include <thrust/system/cpp/execution_policy.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "espalier/common/top_gradients.hpp"
#include "host/cpu/evolution/best_cells.hpp"
#include "host/cpu/kernels/gradient_block.hpp"

namespace espalier {

namespace {

constexpr Index panel_blocks = 8;  // of outputs: 64 rows whose gradients by the preactivation stay in the cache
constexpr std::size_t own_cells = 1024;

/// One side of the product in blocks of `width` neurons, largest norms first, sample by sample; rows past the last
/// neuron are 0.
struct Blocks {
    Index width = 0;
    Index count = 0;
    std::vector<Index> neuron;    // by place
    std::vector<Index> place;     // by neuron
    std::vector<double> largest;  // norm of each block
    float* values = nullptr;      // [count][samples][width]
};

double norm_of(ConstActivations values, Index row) {
    constexpr Index chains = 8;  // of additions, side by side
    double sums[chains] = {};
    for (Index tile = 0; tile < values.tiles(); ++tile) {
        const float* lanes = values.row(tile, row);
        const Index used = values.used(tile);
        Index lane = 0;
        for (; lane + chains <= used; lane += chains) {
            for (Index c = 0; c < chains; ++c) sums[c] += double{lanes[lane + c]} * lanes[lane + c];
        }
        for (; lane < used; ++lane) sums[0] += double{lanes[lane]} * lanes[lane];
    }
    const double sum = std::accumulate(std::begin(sums), std::end(sums), 0.0);
    // what is no number may be anything
    return std::isnan(sum) ? std::numeric_limits<double>::infinity() : std::sqrt(sum);
}

void pack_block(ConstActivations values, Blocks& blocks, Index block) {
    float* const to = blocks.values + std::size_t{block} * values.batch * blocks.width;
    for (Index j = 0; j < blocks.width; ++j) {
        const Index place = block * blocks.width + j;
        for (Index tile = 0; tile < values.tiles(); ++tile) {
            const float* from = place < values.rows ? values.row(tile, blocks.neuron[place]) : nullptr;
            float* next = to + std::size_t{tile} * values.lanes * blocks.width + j;
            for (Index lane = 0; lane < values.used(tile); ++lane, next += blocks.width) {
                *next = from == nullptr ? 0.0F : from[lane];
            }
        }
    }
}

Blocks pack_blocks(ConstActivations values, Index width, int threads, CpuScratch& scratch) {
    Blocks blocks;
    blocks.width = width;
    blocks.count = (values.rows + width - 1) / width;
    std::vector<double> norms(values.rows);
    const auto rows = static_cast<std::int64_t>(values.rows);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t row = 0; row < rows; ++row) {
        norms[static_cast<std::size_t>(row)] = norm_of(values, static_cast<Index>(row));
    }
    blocks.neuron.resize(values.rows);
    std::iota(blocks.neuron.begin(), blocks.neuron.end(), Index{0});
    std::stable_sort(blocks.neuron.begin(), blocks.neuron.end(), [&](Index a, Index b) { return norms[a] > norms[b]; });
    blocks.place.resize(values.rows);
    for (Index at = 0; at < values.rows; ++at) blocks.place[blocks.neuron[at]] = at;
    for (Index block = 0; block < blocks.count; ++block) blocks.largest.push_back(norms[blocks.neuron[block * width]]);
    blocks.values = scratch.take<float>(std::size_t{blocks.count} * width * values.batch);
    const auto all = static_cast<std::int64_t>(blocks.count);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t block = 0; block < all; ++block) pack_block(values, blocks, static_cast<Index>(block));
    return blocks;
}

/// What all threads share.
template <class Key>
struct GradientScan {
    const CsrView& edges;
    const Replacement<Key>& change;
    const Blocks& outputs;
    const Blocks& inputs;
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
        : scan_(scan), taken_(std::size_t{panel_blocks} * gradient_outputs * scan.inputs.count) {}

    void walk(Index panel) {
        const Index first = panel * panel_blocks;
        const Index end = std::min(first + panel_blocks, scan_.outputs.count);
        mark_taken(first, end);
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
    /// A bit for each cell of the panel that can hold no new edge.
    void mark_taken(Index first, Index end) {
        std::fill(taken_.begin(), taken_.end(), 0);
        const CsrView& edges = scan_.edges;
        const Replacement<Key>& change = scan_.change;
        for (Index place = first * gradient_outputs; place < end * gradient_outputs && place < edges.num_outputs;
             ++place) {
            const Index output = scan_.outputs.neuron[place];
            std::uint64_t* const row =
                taken_.data() + std::size_t{place - first * gradient_outputs} * scan_.inputs.count;
            const EdgeIndex* gone_next = std::lower_bound(change.pruned, change.pruned + change.num_pruned,
                                                          edges.row_start[output]);
            for (EdgeIndex slot = edges.row_start[output]; slot < edges.row_start[output + 1]; ++slot) {
                const bool removed = gone_next != change.pruned + change.num_pruned && *gone_next == slot;
                gone_next += removed ? 1 : 0;
                if (removed && change.allow_removed) continue;
                const Index at = scan_.inputs.place[edges.column[slot]];
                row[at / gradient_inputs] |= std::uint64_t{1} << (at % gradient_inputs);
            }
        }
    }

    /// Whether no gradient of a block can reach the threshold: a rounded sum of products is at most the product of the
    /// norms and what rounding adds to it.
    [[nodiscard]] bool is_hopeless(Index block, Index input_block, std::uint32_t threshold) const {
        if (!scan_.skip_blocks) return false;
        const double bound = scan_.outputs.largest[block] * scan_.inputs.largest[input_block] *
                                 (1 + scan_.samples * 0x1p-22) +
                             scan_.samples * 0x1p-149;
        return bound < double{std::bit_cast<float>(threshold)} && bound < 0x1p127;
    }

    void look_at(Index block, Index row_block, Index input_block) {
        const std::uint32_t threshold = scan_.best.threshold();
        if (is_hopeless(block, input_block, threshold)) return;
        alignas(64) std::uint32_t keys[gradient_outputs * gradient_inputs];
        std::uint64_t reached[gradient_outputs];
        gradient_block(scan_.outputs.values + std::size_t{block} * scan_.samples * gradient_outputs,
                       scan_.inputs.values + std::size_t{input_block} * scan_.samples * gradient_inputs, scan_.samples,
                       threshold, keys, reached);
        const Index inputs_left = scan_.edges.num_inputs - input_block * gradient_inputs;
        const std::uint64_t real =
            inputs_left < gradient_inputs ? (std::uint64_t{1} << inputs_left) - 1 : ~std::uint64_t{0};
        for (Index r = 0; r < gradient_outputs; ++r) {
            const Index place = block * gradient_outputs + r;
            if (place >= scan_.edges.num_outputs) break;
            const std::size_t row = std::size_t{row_block} * gradient_outputs + r;
            std::uint64_t hits = reached[r] & real & ~taken_[row * scan_.inputs.count + input_block];
            if (hits == 0) continue;
            if (own_cells - held_ < gradient_inputs) hand_over();
            const Key row_begin = static_cast<Key>(scan_.outputs.neuron[place]) * scan_.edges.num_inputs;
            for (; hits != 0; hits &= hits - 1) {
                const auto i = static_cast<Index>(std::countr_zero(hits));
                const std::uint32_t key = keys[r * gradient_inputs + i];
                own_[held_] = {key, static_cast<Key>(row_begin + scan_.inputs.neuron[input_block * gradient_inputs + i])};
                held_ += key <= 0x7f800000U ? 1 : 0;  // not NaN
            }
        }
    }

    const GradientScan<Key>& scan_;
    std::vector<std::uint64_t> taken_;  // [row of the panel][block of inputs]
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

}  // namespace

template <class Key>
EdgeIndex fast_top_gradients(const Evidence& evidence, const CsrView& edges, const Replacement<Key>& change,
                             const GradientSearch& search, CpuScratch& scratch, Key* ranks) {
    const Blocks outputs = pack_blocks(evidence.dz, gradient_outputs, search.threads, scratch);
    const Blocks inputs = pack_blocks(evidence.x, gradient_inputs, search.threads, scratch);
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
    const double samples = evidence.x.batch;
    EdgeIndex found = 0;
    if (rule.candidates > 0) {
        const EdgeIndex looked_at = num_candidates(rule, edges.num_edges, change.num_grown, missing);
        const detail::PackedEvidence gradient = detail::pack(thrust::cpp::par, scratch, evidence);
        const auto keys_of = [&](const Key* cells, EdgeIndex count, std::uint32_t* keys) {
            keys_of_cells(gradient, cells, count, useful_threads(samples * count, threads), keys);
        };
        found = top_candidates(thrust::cpp::par, scratch, edges, change, missing, looked_at, candidate_stream(stream),
                               keys_of, ranks);
    } else {
        const double products = samples * edges.num_inputs * edges.num_outputs;
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
