#include "cuda/evolution.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <variant>
#include <vector>

#include "cuda/kernels/merge.cuh"
#include "cuda/kernels/prune.cuh"
#include "cuda/launch.cuh"
#include "cuda/layer_transfer.hpp"

namespace espalier::cuda {
namespace {

QuotaOf quota_of(double zeta) {
    int exponent = 0;
    const double fraction = std::frexp(zeta, &exponent);
    return {static_cast<std::uint64_t>(std::ldexp(fraction, 53)), static_cast<unsigned>(53 - exponent)};
}

/// Words for every cell and the one after the last.
std::uint32_t words_of(Cell cells) { return static_cast<std::uint32_t>(cells / word_bits + 1); }

/// An empty set in borrowed memory.
class BorrowedSet {
public:
    BorrowedSet(cudaStream_t stream, Memory& memory, Cell cells) : memory_(memory, cell_set_bytes(cells)) {
        set_.counts = static_cast<std::uint32_t*>(memory_.data());
        set_.words = set_.counts + max_chunks;
        set_.num_words = words_of(cells);
        set_.chunk_shift = chunks_of(set_.num_words).shift;
        check(cudaMemsetAsync(memory_.data(), 0, cell_set_bytes(cells), stream), "clearing a set of cells");
    }
    [[nodiscard]] const CellSet& set() const { return set_; }
    [[nodiscard]] dim3 chunks() const { return {chunks_of(set_.num_words).count, 1, 1}; }

private:
    Borrowed memory_;
    CellSet set_;
};

/// Room for what a layer has by edge.
class BorrowedEdges {
public:
    BorrowedEdges(Memory& memory, const CudaLayer& layer, EdgeIndex num_edges) {
        const auto take = [&]<class T>(std::size_t count, T*& place) {
            blocks_.emplace_back(memory, count * sizeof(T));
            place = static_cast<T*>(blocks_.back().data());
        };
        take(num_edges, arrays_.column);
        take(std::size_t{layer.num_outputs} + 1, arrays_.row_start);
        arrays_.num_values = 1 + static_cast<int>(layer.weights.states.size());
        for (int i = 0; i < arrays_.num_values; ++i) take(num_edges, arrays_.values[i]);
    }
    [[nodiscard]] const EdgeArrays& arrays() const { return arrays_; }

private:
    std::vector<Borrowed> blocks_;
    EdgeArrays arrays_;
};

EdgeArrays arrays_of(const CudaLayer& layer) {
    EdgeArrays arrays{layer.column.data(), layer.row_start.data(), {layer.weights.values.data()}, 1};
    for (const auto& state : layer.weights.states) arrays.values[arrays.num_values++] = state.data();
    return arrays;
}

/// A thread for every edge, and for every row and its end.
dim3 edges_and_rows(const CudaLayer& layer) {
    return thread_grid(std::max<std::size_t>(layer.num_edges, std::size_t{layer.num_outputs} + 1), evolution_threads);
}

template <class Key>
void merge_edges(cudaStream_t stream, const CudaLayer& layer, const Replacement<Key>& change, const Regrowth* regrowth,
                 const EdgeArrays& to) {
    const auto by_law = [&]<class Law>(const Law& law) {
        const NewWeights<Law> born{law, regrowth == nullptr ? Stream{} : regrowth->event.stream(Purpose::new_weight),
                                   regrowth == nullptr || regrowth->reset_state};
        launch(stream, merge_edges_kernel<evolution_threads, Key, Law>,
               dim3(merge_edge_blocks<evolution_threads>(layer.num_edges) +
                    groups(std::size_t{layer.num_outputs} + 1, evolution_threads)),
               evolution_threads, Merge<Key, Law>{{csr_of_layer(layer), change}, born, arrays_of(layer), to});
    };
    std::visit(by_law, regrowth == nullptr ? WeightLaw{} : regrowth->new_weights);
}

void settle_edges(cudaStream_t stream, const CudaLayer& layer, const EdgeArrays& from, const CellSet& by_input) {
    launch(stream, settle_edges_kernel<evolution_threads>, edges_and_rows(layer), evolution_threads, from,
           arrays_of(layer), layer.num_edges, layer.num_outputs, by_input);
}

}  // namespace

std::uint64_t cell_set_bytes(Cell cells) {
    return (std::uint64_t{max_chunks} + words_of(cells)) * sizeof(std::uint32_t);
}

Pruned take_least(cudaStream_t stream, Memory& memory, CudaLayer& layer, const float* scores, const PruneOrder& order,
                  double zeta) {
    const EdgeIndex num_edges = layer.num_edges;
    layer.pruned = {};
    layer.num_pruned = 0;
    if (num_edges == 0) return {};
    const Chunks chunks = chunks_of(num_edges);
    const PruneTask task{scores, num_edges, order, quota_of(zeta), chunks.shift};
    const Borrowed search_memory(memory, sizeof(PruneSearch));
    auto* const search = static_cast<PruneSearch*>(search_memory.data());
    const Borrowed counts_memory(memory, 3 * max_chunks * sizeof(std::uint32_t));
    auto* const counts = static_cast<std::uint32_t*>(counts_memory.data());
    // each of two groups may round its share
    const std::uint64_t room = std::min<std::uint64_t>(num_edges, std::uint64_t{prune_quota(zeta, num_edges)} + 2);
    Borrowed pruned(memory, room * sizeof(EdgeIndex));
    check(cudaMemsetAsync(search, 0, sizeof(PruneSearch), stream), "clearing a search");
    const dim3 grid(chunks.count);
    launch(stream, prune_digits_kernel<evolution_threads, 0>, grid, evolution_threads, task, search);
    launch(stream, prune_digits_kernel<evolution_threads, 1>, grid, evolution_threads, task, search);
    launch(stream, prune_digits_kernel<evolution_threads, 2>, grid, evolution_threads, task, search);
    launch(stream, prune_count_kernel<evolution_threads>, grid, evolution_threads, task, search, counts);
    launch(stream, prune_list_kernel<evolution_threads>, grid, evolution_threads, task, search, counts,
           layer.weights.values.data(), static_cast<EdgeIndex*>(pruned.data()));
    const auto sign = downloaded(stream, static_cast<const std::uint32_t*>(search->sign), 3);
    const Pruned found{sign[0], sign[1], sign[2]};
    layer.pruned = std::move(pruned);
    layer.num_pruned = found.total();
    return found;
}

void draw_by_set(cudaStream_t stream, Memory& memory, std::uint64_t size, EdgeIndex count, const Stream& draws,
                 std::uint32_t* numbers) {
    if (count == 0) return;
    const BorrowedSet drawn(stream, memory, size);
    launch(stream, draw_cells_kernel<evolution_threads>, thread_grid(count, evolution_threads), evolution_threads, size,
           draws, count, drawn.set());
    launch(stream, list_cells_kernel<evolution_threads>, drawn.chunks(), evolution_threads, drawn.set(), numbers);
}

template <class Key>
bool replace_edges(cudaStream_t stream, Memory& memory, CudaLayer& layer, const Replacement<Key>& change,
                   const Regrowth* regrowth) {
    const EdgeIndex num_edges = change.num_edges(csr_of_layer(layer));
    const BorrowedEdges merged(memory, layer, num_edges);
    merge_edges(stream, layer, change, regrowth, merged.arrays());
    const Cell cells = Cell{layer.num_inputs} * layer.num_outputs;
    if (num_edges != layer.num_edges) ++layer.versions;
    layer.num_edges = num_edges;
    if (!layer.by_input() || !sorts_as_set(cells, num_edges)) {
        settle_edges(stream, layer, merged.arrays(), {});
        return false;
    }
    const BorrowedSet by_input(stream, memory, cells);
    settle_edges(stream, layer, merged.arrays(), by_input.set());
    launch(stream, list_by_input_kernel<evolution_threads>, by_input.chunks(), evolution_threads, by_input.set(),
           csr_of_layer(layer), layer.column_start.data(), layer.row.data(), layer.slot.data());
    return true;
}
template bool replace_edges(cudaStream_t, Memory&, CudaLayer&, const Replacement<std::uint32_t>&, const Regrowth*);
template bool replace_edges(cudaStream_t, Memory&, CudaLayer&, const Replacement<std::uint64_t>&, const Regrowth*);

void order_few_neurons(cudaStream_t stream, const CudaLayer& layer) {
    NeuronsOfSide rows, columns;
    if (layer.num_outputs <= max_compared_neurons) {
        rows = {layer.row_start.data(), layer.num_outputs, layer.row_order.data()};
    }
    if (layer.by_input() && layer.num_inputs <= max_compared_neurons) {
        columns = {layer.column_start.data(), layer.num_inputs, layer.column_order.data()};
    }
    const Index blocks = ordering_blocks(rows.count, evolution_threads) + ordering_blocks(columns.count, evolution_threads);
    launch(stream, order_neurons_kernel<evolution_threads>, dim3(blocks), evolution_threads, rows, columns);
}

}  // namespace espalier::cuda
