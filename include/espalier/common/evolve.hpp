// What the backends share of topology evolution, as templates over a Thrust execution policy: what a rule prunes by,
// which missing cells get an edge, the view by input. The topology that follows is merged by each backend in its own
// way (host/cpu/evolution/merge_edges.hpp, cuda/kernels/merge.cuh). Integers only, so every policy and every number of
// threads yields the same bits. A step reads plain arrays in the policy's memory and writes plain arrays; `Scratch` is
// whatever has `T* take<T>(count)`, uninitialised memory of the policy that outlives the step.
//
// The j-th new edge (in canonical order) takes over from the j-th pruned one, so every edge comes from a slot, and no
// rule needs to know what an edge carries.
#pragma once

#include <thrust/copy.h>
#include <thrust/execution_policy.h>
#include <thrust/fill.h>
#include <thrust/for_each.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/reduce.h>
#include <thrust/sequence.h>
#include <thrust/sort.h>
#include <thrust/transform.h>

#include <type_traits>
#include <variant>

#include "espalier/common/evolution_steps.hpp"
#include "espalier/index.hpp"
#include "espalier/random.hpp"

namespace espalier {

/// What a prune rule orders: the weights, or keys of its own that it made for this once.
struct PruneScores {
    const float* values = nullptr;  // [num_edges], by canonical slot
    PruneOrder order;
};

/// The same edges by input: column_start [num_inputs + 1], row and slot [num_edges].
template <class Policy, class Scratch>
void transpose_by_sorting(const Policy& policy, Scratch& scratch, const CsrView& csr, EdgeIndex* column_start,
                          Index* row, EdgeIndex* slot) {
    auto* sorted = scratch.template take<Index>(csr.num_edges);
    if (csr.num_edges == 0) {  // Thrust would hand null to memmove
        thrust::fill_n(policy, column_start, csr.num_inputs + 1, EdgeIndex{0});
        return;
    }
    thrust::copy(policy, csr.column, csr.column + csr.num_edges, sorted);
    thrust::sequence(policy, slot, slot + csr.num_edges);
    thrust::stable_sort_by_key(policy, sorted, sorted + csr.num_edges, slot);
    const thrust::counting_iterator<Index> inputs(0);
    thrust::transform(policy, inputs, inputs + csr.num_inputs + 1, column_start,
                      detail::GroupStart<Index>{sorted, csr.num_edges, 1});
    thrust::transform(policy, slot, slot + csr.num_edges, row, detail::RowOfSlot{csr.row_start, csr.num_outputs});
}

/// Gives a rule's keys the sums of the magnitudes of each neuron's edges.
template <class Policy, class Scratch, class PruneKey>
void add_sums(const Policy& policy, Scratch& scratch, const CsrView& edges, const float* weights, PruneKey& key) {
    const thrust::counting_iterator<Index> neurons(0);
    auto* outputs = scratch.template take<float>(edges.num_outputs);
    thrust::transform(policy, neurons, neurons + edges.num_outputs, outputs,
                      detail::SumOfNeuron{edges.row_start, nullptr, weights});
    auto* column_start = scratch.template take<EdgeIndex>(edges.num_inputs + 1);
    auto* slots = scratch.template take<EdgeIndex>(edges.num_edges);
    transpose_by_sorting(policy, scratch, edges, column_start, scratch.template take<Index>(edges.num_edges), slots);
    auto* inputs = scratch.template take<float>(edges.num_inputs);
    thrust::transform(policy, neurons, neurons + edges.num_inputs, inputs,
                      detail::SumOfNeuron{column_start, slots, weights});
    key.input_sums = inputs;
    key.output_sums = outputs;
}

template <class Policy, class Scratch>
PruneScores prune_scores(const Policy& policy, Scratch& scratch, const PruneRule& rule, const CsrView& edges,
                         const float* weights, const Stream& draws) {
    const auto of_rule = [&](const auto& each) -> PruneScores {
        if constexpr (requires { each.order(); }) {
            return {weights, each.order()};
        } else {
            auto* keys = scratch.template take<float>(edges.num_edges);
            const thrust::counting_iterator<EdgeIndex> slots(0);
            detail::PruneKey<std::decay_t<decltype(each)>> key{each, edges, weights, draws};
            if constexpr (requires { each.needs_sums; }) add_sums(policy, scratch, edges, weights, key);
            thrust::transform(policy, slots, slots + edges.num_edges, keys, key);
            return {keys, {0xffffffffU, 1, {0, 0}, {0xffffffffU, 0}}};
        }
    };
    return std::visit(of_rule, rule);
}

/// The cut with its surplus of ties resolved: those in the first slots go. `scratch_slots` has room for `count`.
template <class Policy>
PruneCut resolve_ties(const Policy& policy, const float* weights, EdgeIndex count, const PruneOrder& order,
                      PruneCut cut, EdgeIndex* scratch_slots) {
    const thrust::counting_iterator<EdgeIndex> slots(0);
    for (int group = 0; group < order.num_groups; ++group) {
        if (cut.ties[group] == cut.ties_taken[group]) continue;
        thrust::copy_if(policy, slots, slots + count, scratch_slots,
                        detail::IsTie{weights, order, cut.threshold[group]});
        const EdgeIndex* last = scratch_slots + cut.ties_taken[group] - 1;
        cut.tie_slots[group] = thrust::reduce(policy, last, last + 1, EdgeIndex{1});
    }
    return cut;
}

/// Writes `count` distinct numbers of [0, size), chosen uniformly, ascending. Key must hold size - 1.
template <class Key, class Policy>
void draw_distinct(const Policy& policy, std::uint64_t size, EdgeIndex count, const Stream& stream, Key* numbers) {
    if (count == 0) return;
    const thrust::counting_iterator<EdgeIndex> draws(0);
    thrust::transform(policy, draws, draws + count, numbers, detail::DrawRank<Key>{Permutation(size, stream)});
    thrust::sort(policy, numbers, numbers + count);
}

/// Maps `count` ascending ranks among the numbers that an ascending list leaves out to those numbers.
template <class Key, class Ranks, class Policy>
void complement(const Policy& policy, const Key* listed, EdgeIndex num_listed, Ranks ranks, EdgeIndex count,
                Key* numbers) {
    const thrust::counting_iterator<EdgeIndex> runs(0);
    thrust::for_each_n(policy, runs, detail::num_runs(count),
                       detail::ComplementRun<Key, Ranks>{listed, num_listed, ranks, count, numbers});
}

/// The CSR topology of ascending cells: row_start [num_outputs + 1], column [num_edges].
template <class Key, class Policy>
void csr_of(const Policy& policy, Index num_inputs, Index num_outputs, const Key* cells, EdgeIndex num_edges,
            EdgeIndex* row_start, Index* column) {
    const thrust::counting_iterator<Index> rows(0);
    thrust::transform(policy, rows, rows + num_outputs + 1, row_start,
                      detail::GroupStart<Key>{cells, num_edges, num_inputs});
    const thrust::counting_iterator<EdgeIndex> runs(0);
    thrust::for_each_n(policy, runs, detail::num_runs(num_edges),
                       detail::ColumnRun<Key>{num_inputs, cells, num_edges, column});
}

}  // namespace espalier
