// One evolution of a layer by magnitude and random growth, in the launches of cuda/evolution.cu.
#pragma once

#include <cmath>

#include "bench/gpu_sim/layers.hpp"
#include "bench/gpu_sim/run_kernel.hpp"
#include "cuda/chunks.hpp"
#include "cuda/kernels/cell_set.cuh"
#include "cuda/kernels/merge.cuh"
#include "cuda/kernels/prune.cuh"

namespace espalier::gpu_sim {

struct RandomSet {
    std::uint32_t num_words;
    cuda::Chunks chunks;
    DeviceArray<std::uint32_t> counts, words;

    explicit RandomSet(Cell cells)
        : num_words(static_cast<std::uint32_t>(cells / cuda::word_bits + 1)),
          chunks(cuda::chunks_of(num_words)),
          counts(std::vector<std::uint32_t>(cuda::max_chunks)),
          words(std::vector<std::uint32_t>(num_words)) {}
    [[nodiscard]] cuda::CellSet set() const { return {words.data, counts.data, num_words, chunks.shift}; }
};

class Evolution {
public:
    Evolution(RandomLayer& layer, double zeta)
        : layer_(layer),
          zeta_(zeta),
          count_(prune_quota(zeta, layer.num_edges())),
          search_(std::vector<cuda::PruneSearch>(1)),
          counts_(std::vector<std::uint32_t>(std::size_t{3} * cuda::max_chunks)),
          pruned_(std::vector<EdgeIndex>(count_)),
          ranks_(std::vector<std::uint32_t>(count_)),
          row_start_(layer.edges.row_start),
          column_(layer.edges.column),
          weight_(std::vector<float>(layer.num_edges())),
          momentum_(std::vector<float>(layer.num_edges())),
          drawn_(cells() - layer.num_edges()),
          by_input_(cells()) {}

    void run() {
        prune();
        draw();
        merge();
        settle();
    }
    void say_digests() const {
        say_digest("pruned", pruned_);
        say_digest("ranks", ranks_);
        say_digest("row starts", layer_.row_start);
        say_digest("columns", layer_.column);
        say_digest("column starts", layer_.column_start);
        say_digest("rows", layer_.row);
        say_digest("slots", layer_.slot);
        say_digest("row order", layer_.row_order);
        say_digest("column order", layer_.column_order);
    }

private:
    static constexpr int threads = cuda::evolution_threads;

    [[nodiscard]] Cell cells() const { return Cell{layer_.inputs} * layer_.outputs; }
    [[nodiscard]] CsrView view() const {
        return {layer_.inputs, layer_.outputs, layer_.num_edges(), layer_.row_start.data, layer_.column.data};
    }
    [[nodiscard]] cuda::EdgeArrays arrays() const {
        return {layer_.column.data, layer_.row_start.data, {layer_.weight.data, layer_.momentum.data}, 2};
    }
    [[nodiscard]] cuda::EdgeArrays merged() const { return {column_.data, row_start_.data, {weight_.data, momentum_.data}, 2}; }

    void prune() {
        int exponent = 0;
        const double fraction = std::frexp(zeta_, &exponent);
        const cuda::QuotaOf quota{static_cast<std::uint64_t>(std::ldexp(fraction, 53)), static_cast<unsigned>(53 - exponent)};
        const cuda::Chunks chunks = cuda::chunks_of(layer_.num_edges());
        const cuda::PruneTask task{layer_.weight.data, layer_.num_edges(), PruneByMagnitude::order(), quota, chunks.shift};
        const dim3 grid(chunks.count);
        run_kernel("prune, digits 1", cuda::prune_digits_kernel<threads, 0>, grid, threads, 0, task, search_.data);
        run_kernel("prune, digits 2", cuda::prune_digits_kernel<threads, 1>, grid, threads, 0, task, search_.data);
        run_kernel("prune, digits 3", cuda::prune_digits_kernel<threads, 2>, grid, threads, 0, task, search_.data);
        run_kernel("prune, counts", cuda::prune_count_kernel<threads>, grid, threads, 0, task, search_.data, counts_.data);
        run_kernel("prune, list", cuda::prune_list_kernel<threads>, grid, threads, 0, task, search_.data,
                   static_cast<const std::uint32_t*>(counts_.data), layer_.weight.data, pruned_.data);
    }
    void draw() {
        run_kernel("draw cells", cuda::draw_cells_kernel<threads>, dim3(cuda::groups(count_, threads)), threads, 0,
                   std::uint64_t{cells() - layer_.num_edges()}, Stream{1, Purpose::grow, 0, 1}, count_, drawn_.set());
        run_kernel("list drawn cells", cuda::list_cells_kernel<threads>, dim3(drawn_.chunks.count), threads, 0,
                   drawn_.set(), ranks_.data);
    }
    void merge() {
        using Merge = cuda::Merge<std::uint32_t, HeNormal>;
        const Replacement<std::uint32_t> change{pruned_.data, count_, ranks_.data, count_, false};
        const unsigned blocks = cuda::merge_edge_blocks<threads>(layer_.num_edges()) +
                                cuda::groups(std::size_t{layer_.outputs} + 1, threads);
        run_kernel("merge", cuda::merge_edges_kernel<threads, std::uint32_t, HeNormal>, dim3(blocks), threads, 0,
                   Merge{{view(), change}, {HeNormal{}, Stream{1, Purpose::new_weight, 0, 1}, true}, arrays(), merged()});
    }
    void settle() {
        run_kernel("settle", cuda::settle_edges_kernel<threads>, dim3(cuda::groups(layer_.num_edges(), threads)), threads, 0,
                   merged(), arrays(), layer_.num_edges(), layer_.outputs, by_input_.set());
        run_kernel("list by input", cuda::list_by_input_kernel<threads>, dim3(by_input_.chunks.count), threads, 0,
                   by_input_.set(), view(), layer_.column_start.data, layer_.row.data, layer_.slot.data);
        const cuda::NeuronsOfSide rows{layer_.row_start.data, layer_.outputs, layer_.row_order.data};
        const cuda::NeuronsOfSide columns{layer_.column_start.data, layer_.inputs, layer_.column_order.data};
        const Index blocks =
            cuda::ordering_blocks(layer_.outputs, threads) + cuda::ordering_blocks(layer_.inputs, threads);
        run_kernel("order neurons", cuda::order_neurons_kernel<threads>, dim3(blocks), threads, 0, rows, columns);
    }

    RandomLayer& layer_;
    double zeta_;
    EdgeIndex count_;
    DeviceArray<cuda::PruneSearch> search_;
    DeviceArray<std::uint32_t> counts_;
    DeviceArray<EdgeIndex> pruned_;
    DeviceArray<std::uint32_t> ranks_;
    DeviceArray<EdgeIndex> row_start_;
    DeviceArray<Index> column_;
    DeviceArray<float> weight_, momentum_;
    RandomSet drawn_, by_input_;
};

}  // namespace espalier::gpu_sim
