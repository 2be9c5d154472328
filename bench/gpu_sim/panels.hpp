// Panel products, gradients out of panels and the packing before them, in the launches of cuda/products/product.cu and
// cuda/panel_gradient.cu.
#pragma once

#include <cstdlib>

#include "bench/gpu_sim/layers.hpp"
#include "bench/gpu_sim/run_kernel.hpp"
#include "cuda/kernels/pack.cuh"
#include "cuda/kernels/panel.cuh"
#include "cuda/kernels/panel_gradient.cuh"

namespace espalier::gpu_sim {

/// Bytes of shared memory that a block may ask for: with fewer there are more panels.
inline std::size_t shared_bytes() {
    const char* const said = std::getenv("ESPALIER_SHARED_BYTES");
    return said == nullptr ? 232448 : static_cast<std::size_t>(std::atoll(said));
}

/// A layer by rows, in the order of a product.
struct RowView {
    const EdgeIndex* start;
    const Index* other;
    const Index* order;
    Index rows, others;
    const EdgeIndex* slot;
    const float* weight;
    EdgeIndex num_edges;
};
inline RowView view_by_output(const RandomLayer& layer) {
    return {layer.row_start.data, layer.column.data, layer.row_order.data, layer.outputs, layer.inputs, nullptr,
            layer.weight.data,    layer.num_edges()};
}
inline RowView view_by_input(const RandomLayer& layer) {
    return {layer.column_start.data, layer.row.data,    layer.column_order.data, layer.inputs, layer.outputs,
            layer.slot.data,         layer.weight.data, layer.num_edges()};
}

/// The layout and its table of first edges.
class PanelTable {
public:
    cuda::PanelLayout layout;

    PanelTable(const RowView& view, const cuda::PanelLayout& of_panels)
        : layout(of_panels), start_(std::vector<EdgeIndex>(layout.size())) {
        std::printf("%u panels of %u neurons\n", layout.num_panels, layout.panel_neurons);
        expects(layout.num_panels > 0, "shared memory for four neurons");
        dim3 grid = cuda::thread_grid(layout.num_positions, cuda::panel_starts_threads);
        grid.y = layout.num_panels + 1;
        run_kernel("first edges of panels", cuda::panel_starts_kernel<cuda::panel_starts_threads>, grid,
                   cuda::panel_starts_threads, 0, view.start, view.other, view.order, view.rows, layout, start_.data);
    }
    [[nodiscard]] cuda::Panels view() const { return {layout, start_.data}; }
    void say_digests() const { say_digest("first edges of panels", start_); }

private:
    DeviceArray<EdgeIndex> start_;
};

/// A product's panels and packed edges.
class PackedLayer {
public:
    PackedLayer(const RowView& view, const cuda::PanelBlock& block)
        : view_(view),
          block_(block),
          table_(view, cuda::panel_layout(block, view.rows, view.others, shared_bytes())),
          pair_start_(std::vector<EdgeIndex>(table_.layout.num_groups(block))),
          used_(std::vector<EdgeIndex>(1)),
          pairs_(std::vector<cuda::EdgePair>(cuda::most_pairs(block, table_.layout, view.num_edges))) {
        const Index groups = table_.layout.num_positions / block.rows_per_warp;
        run_kernel("first pairs", cuda::pair_starts_kernel<cuda::pack_threads>, cuda::warp_grid(groups, cuda::pack_threads),
                   cuda::pack_threads, 0, product(), used_.data);
        pack<true>("packing places and weights");
    }
    /// Packs the weights anew, from `weight`.
    void pack_weights(const float* weight) {
        view_.weight = weight;
        pack<false>("packing weights");
    }
    [[nodiscard]] const cuda::PanelLayout& layout() const { return table_.layout; }
    [[nodiscard]] cuda::PackedPanels packed() const { return {table_.layout, pair_start_.data, pairs_.data}; }

    /// Of each warp's pairs in the order of warps: where they lie among those of others is left to chance.
    void say_digests(const char* when) const {
        table_.say_digests();
        say_digest("pairs in use", used_);
        const auto groups = static_cast<std::size_t>(table_.layout.num_positions / block_.rows_per_warp);
        const std::vector<EdgeIndex> start = read(pair_start_);
        const std::vector<cuda::EdgePair> pairs = read(pairs_);
        const std::vector<std::size_t> count = counts(start, groups);
        std::vector<cuda::EdgePair> in_order;
        for (std::size_t group = 0; group < groups; ++group) {
            const auto first = pairs.begin() + start[group];
            in_order.insert(in_order.end(), first, first + static_cast<std::ptrdiff_t>(count[group]));
        }
        say_digest(when, in_order);
    }

private:
    [[nodiscard]] cuda::PackedProduct product() const {
        return {table_.view(), block_, view_.other, view_.slot, view_.weight, pair_start_.data, pairs_.data};
    }
    template <bool with_places>
    void pack(const char* name) {
        cuda::PackedProducts all{};
        all.product[0] = product();
        all.end_block[0] = cuda::groups(table_.layout.num_groups(block_), cuda::pack_threads / cuda::warp_lanes);
        run_kernel(name, cuda::pack_kernel<cuda::pack_threads, with_places>, dim3(all.end_block[0]), cuda::pack_threads, 0, all);
    }
    /// Pairs of each group, whose panels follow each other: up to the next group that lies behind.
    [[nodiscard]] std::vector<std::size_t> counts(const std::vector<EdgeIndex>& start, std::size_t groups) const {
        std::vector<EdgeIndex> first(start.begin(), start.begin() + static_cast<std::ptrdiff_t>(groups));
        first.push_back(read(used_)[0]);
        std::sort(first.begin(), first.end());
        std::vector<std::size_t> count(groups);
        for (std::size_t group = 0; group < groups; ++group) {
            count[group] = *std::upper_bound(first.begin(), first.end(), start[group]) - start[group];
        }
        return count;
    }

    RowView view_;
    cuda::PanelBlock block_;
    PanelTable table_;
    DeviceArray<EdgeIndex> pair_start_, used_;
    DeviceArray<cuda::EdgePair> pairs_;
};

template <class Block>
void forward_by_panels(const RandomLayer& layer, ConstActivations x, Activations y) {
    const PackedLayer packed(view_by_output(layer), Block::size);
    run_kernel("forward by panels", cuda::forward_panel_kernel<Block, Relu>,
               dim3(packed.layout().num_positions / Block::size.rows(), y.tiles() * (cuda::tile_lanes / Block::size.columns)),
               Block::size.launched_threads(), cuda::panel_shared_bytes(Block::size, packed.layout().panel_neurons),
               layer.by_output(), packed.packed(), Relu{}, x, Activations{}, y);
}
template <class Block>
void input_gradient_by_panels(const RandomLayer& layer, ConstActivations dy, Activations dx) {
    const PackedLayer packed(view_by_input(layer), Block::size);
    run_kernel("input gradient by panels", cuda::input_gradient_panel_kernel<Block>,
               dim3(packed.layout().num_positions / Block::size.rows(), dx.tiles() * (cuda::tile_lanes / Block::size.columns)),
               Block::size.launched_threads(), cuda::panel_shared_bytes(Block::size, packed.layout().panel_neurons),
               layer.by_input(), packed.packed(), dy, dx);
}
template <class Block>
void gradient_by_panels(const RandomLayer& layer, ConstActivations x, ConstActivations dy) {
    const RowView view = view_by_output(layer);
    const PanelTable table(view, cuda::gradient_layout(Block::size, view.rows, view.others, shared_bytes()));
    const DeviceArray<float> parts(std::vector<float>(std::size_t{x.tiles()} * view.num_edges));
    run_kernel("gradient by panels", cuda::panel_gradient_kernel<Block>,
               dim3(table.layout.num_positions / Block::size.rows(), x.tiles()), Block::size.launched_threads(),
               cuda::gradient_shared_bytes(Block::size, table.layout.panel_neurons),
               cuda::PanelGradientArguments{view.other, view.order, view.num_edges}, table.view(), x, dy, parts.data);
    say_digest("gradients of edges", parts);
}
/// Both products' edges, and once more with other weights.
template <class Block>
void pack_products(const RandomLayer& layer) {
    for (const RowView& view : {view_by_output(layer), view_by_input(layer)}) {
        PackedLayer packed(view, Block::size);
        packed.say_digests("pairs");
        packed.pack_weights(layer.momentum.data);
        packed.say_digests("pairs with other weights");
    }
}

/// Whether there is such a case.
inline bool run_panel_case(const std::string& name, const RandomLayer& layer, const RandomTiles& x, const RandomTiles& y,
                           const RandomTiles& dx, const RandomTiles& dy) {
    using Large = cuda::PanelOf<512, 16, 128>;
    using Half = cuda::PanelOf<512, 4, 64>;
    using Few = cuda::PanelOf<512, 2, 128>;
    if (name == "forward-panel") return forward_by_panels<Large>(layer, x.view(), y.view()), true;
    if (name == "forward-panel-half") return forward_by_panels<Half>(layer, x.view(), y.view()), true;
    if (name == "dx-panel") return input_gradient_by_panels<Large>(layer, dy.view(), dx.view()), true;
    if (name == "dx-panel-half") return input_gradient_by_panels<Half>(layer, dy.view(), dx.view()), true;
    if (name == "gradient-panel") return gradient_by_panels<Large>(layer, x.view(), dy.view()), true;
    if (name == "gradient-panel-few") return gradient_by_panels<Few>(layer, x.view(), dy.view()), true;
    if (name == "pack") return pack_products<Large>(layer), true;
    if (name == "pack-half") return pack_products<Half>(layer), true;
    return false;
}

}  // namespace espalier::gpu_sim
