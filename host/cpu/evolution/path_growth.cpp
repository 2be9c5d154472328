#include "host/cpu/evolution/path_growth.hpp"

#include <omp.h>
#include <thrust/system/cpp/execution_policy.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <numeric>
#include <vector>

#include "espalier/common/top_gradients.hpp"
#include "espalier/portable_math.hpp"
#include "host/cpu/evolution/best_cells.hpp"

namespace espalier {

namespace {

/// Neighbours of each neuron of one side, ascending.
struct Neighbours {
    std::vector<EdgeIndex> start;
    std::vector<Index> other;
    [[nodiscard]] Index degree(Index neuron) const { return static_cast<Index>(start[neuron + 1] - start[neuron]); }
};

/// The edges that were not pruned, by output.
template <class Key>
Neighbours kept_by_output(const CsrView& edges, const Replacement<Key>& change) {
    Neighbours kept;
    kept.start.push_back(0);
    EdgeIndex gone_before = 0;
    for (Index output = 0; output < edges.num_outputs; ++output) {
        for (EdgeIndex slot = edges.row_start[output]; slot < edges.row_start[output + 1]; ++slot) {
            const bool removed = gone_before < change.num_pruned && change.pruned[gone_before] == slot;
            gone_before += removed ? 1 : 0;
            if (!removed) kept.other.push_back(edges.column[slot]);
        }
        kept.start.push_back(static_cast<EdgeIndex>(kept.other.size()));
    }
    return kept;
}

/// The same edges from the other side.
Neighbours turned(const Neighbours& by_output, Index num_outputs, Index num_inputs) {
    Neighbours by_input;
    by_input.start.assign(std::size_t{num_inputs} + 1, 0);
    for (const Index input : by_output.other) ++by_input.start[std::size_t{input} + 1];
    std::partial_sum(by_input.start.begin(), by_input.start.end(), by_input.start.begin());
    by_input.other.resize(by_output.other.size());
    std::vector<EdgeIndex> next(by_input.start.begin(), by_input.start.end() - 1);
    for (Index output = 0; output < num_outputs; ++output) {
        for (EdgeIndex e = by_output.start[output]; e < by_output.start[output + 1]; ++e) {
            by_input.other[next[by_output.other[e]]++] = output;
        }
    }
    return by_input;
}

/// How many neighbours neurons of one side have in common with a neuron; those that have any.
class CommonNeighbours {
public:
    explicit CommonNeighbours(Index neurons) : count_(neurons, 0) {}

    void count(const Neighbours& own_side, const Neighbours& other_side, Index neuron) {
        for (const Index each : touched_) count_[each] = 0;
        touched_.clear();
        for (EdgeIndex e = own_side.start[neuron]; e < own_side.start[neuron + 1]; ++e) {
            const Index between = own_side.other[e];
            for (EdgeIndex back = other_side.start[between]; back < other_side.start[between + 1]; ++back) {
                const Index other = other_side.other[back];
                if (count_[other]++ == 0) touched_.push_back(other);
            }
        }
    }
    [[nodiscard]] const std::vector<Index>& touched() const { return touched_; }
    [[nodiscard]] Index operator[](Index neuron) const { return count_[neuron]; }

private:
    std::vector<Index> count_;
    std::vector<Index> touched_;
};

/// f of a pair with so many common neighbours, `degree` being that of the neuron between: in units, rounded once.
std::uint64_t path_weight(int form, Index common, Index degree) {
    const std::uint64_t above = form == 2 ? std::uint64_t{common} + 1 : 1;
    const std::uint64_t below = degree > common ? degree - common : 1;
    return (above * path_unit + below / 2) / below;
}

/// The scores of a row of cells, one output's.
class RowScores {
public:
    RowScores(const Neighbours& by_output, const Neighbours& by_input, Index num_inputs, Index num_outputs, int form)
        : by_output_(by_output),
          by_input_(by_input),
          form_(form),
          outputs_(num_outputs),
          inputs_(num_inputs),
          scores_(num_inputs, 0) {}

    const std::vector<std::uint64_t>& of(Index output) {
        std::fill(scores_.begin(), scores_.end(), 0);
        outputs_.count(by_output_, by_input_, output);
        for (const Index other : outputs_.touched()) {
            const std::uint64_t weight = path_weight(form_, outputs_[other], by_output_.degree(other));
            for (EdgeIndex e = by_output_.start[other]; e < by_output_.start[other + 1]; ++e) {
                scores_[by_output_.other[e]] += weight;
            }
        }
        for (EdgeIndex e = by_output_.start[output]; e < by_output_.start[output + 1]; ++e) {
            const Index between = by_output_.other[e];
            inputs_.count(by_input_, by_output_, between);
            for (const Index input : inputs_.touched()) {
                scores_[input] += path_weight(form_, inputs_[input], by_input_.degree(between));
            }
        }
        return scores_;
    }

private:
    const Neighbours& by_output_;
    const Neighbours& by_input_;
    int form_;
    CommonNeighbours outputs_, inputs_;
    std::vector<std::uint64_t> scores_;
};

/// The score, or its logarithm with Gumbel noise of the cell's own: the highest of these are a sample without
/// replacement in proportion to the scores (Efraimidis and Spirakis). Above 0 as integers.
std::uint64_t path_key(std::uint64_t score, bool soft, const Stream& noise, Cell cell) {
    if (!soft) return score;
    return gumbel_key(portable_log(static_cast<float>(score)), noise.bits(cell));
}

}  // namespace

template <class Key>
void draw_by_paths(const GrowByPaths& rule, const CsrView& edges, const Replacement<Key>& change, Cell missing,
                   const Stream& stream, int threads, CpuScratch& scratch, Key* ranks) {
    const Neighbours by_output = kept_by_output(edges, change);
    const Neighbours by_input = turned(by_output, edges.num_outputs, edges.num_inputs);
    Stream noise = stream;
    noise.purpose = Purpose::path_noise;
    BestSoFar<std::uint64_t, Key> best(change.num_grown, std::size_t{change.num_grown} + edges.num_inputs, scratch);
    std::atomic<Index> next{0};
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        RowScores row(by_output, by_input, edges.num_inputs, edges.num_outputs, rule.form);
        std::vector<RankedCell<std::uint64_t, Key>> found;
        std::vector<std::uint8_t> taken(edges.num_inputs);
        for (Index output = next++; output < edges.num_outputs; output = next++) {
            std::fill(taken.begin(), taken.end(), std::uint8_t{0});
            const auto mark = [&](EdgeIndex begin, EdgeIndex end, const Index* column) {
                for (EdgeIndex e = begin; e < end; ++e) taken[column[e]] = 1;
            };
            if (change.allow_removed) {
                mark(by_output.start[output], by_output.start[output + 1], by_output.other.data());
            } else {
                mark(edges.row_start[output], edges.row_start[output + 1], edges.column);
            }
            const std::vector<std::uint64_t>& scores = row.of(output);
            const std::uint64_t threshold = best.threshold();
            found.clear();
            for (Index input = 0; input < edges.num_inputs; ++input) {
                if (scores[input] == 0 || taken[input] != 0) continue;
                const Cell cell = Cell{output} * edges.num_inputs + input;
                const std::uint64_t key = path_key(scores[input], rule.soft, noise, cell);
                if (key >= threshold) found.push_back({key, static_cast<Key>(cell)});
            }
#pragma omp critical(espalier_best_paths)
            best.add(found.data(), found.size());
        }
    }
    EdgeIndex count = 0;
    const Cell last_cell = Cell{edges.num_inputs} * edges.num_outputs - 1;
    const auto* const cells = best.result(count, static_cast<Key>(last_cell));
    ranks_of_cells(cells, count, edges, change, ranks);
    detail::add_uniform_ranks(thrust::cpp::par, scratch, count, change.num_grown, missing, stream, ranks);
}

template void draw_by_paths(const GrowByPaths&, const CsrView&, const Replacement<std::uint32_t>&, Cell, const Stream&,
                            int, CpuScratch&, std::uint32_t*);
template void draw_by_paths(const GrowByPaths&, const CsrView&, const Replacement<std::uint64_t>&, Cell, const Stream&,
                            int, CpuScratch&, std::uint64_t*);

}  // namespace espalier
