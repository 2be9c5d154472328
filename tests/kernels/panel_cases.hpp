// What the tests of panel kernels share: panels in device memory, and the comparison of bits.
#pragma once

#include "cuda/kernels/pack.cuh"
#include "cuda/kernels/panel.cuh"
#include "product_cases.hpp"

namespace espalier::cuda {

/// A view by rows, as panel_starts_kernel takes it, and where its edges' weights are.
struct RowView {
    const DeviceArray<EdgeIndex>& start;
    const DeviceArray<Index>& other;
    const DeviceArray<Index>& order;
    Index num_rows;
    Index num_others;
    const EdgeIndex* slot;
    const float* weight;
    EdgeIndex num_edges;
};
inline RowView by_output(const DeviceCase& layer) {
    return {layer.row_start,   layer.column, layer.row_order,     layer.host.outputs,
            layer.host.inputs, nullptr,      layer.weight.data(), layer.host.num_edges()};
}
inline RowView by_input(const DeviceCase& layer) {
    return {layer.column_start, layer.row_by_input, layer.column_order,  layer.host.inputs,
            layer.host.outputs, layer.slot.data(),  layer.weight.data(), layer.host.num_edges()};
}

/// Panels in device memory.
struct DevicePanels {
    PanelLayout layout;
    DeviceArray<EdgeIndex> start;

    DevicePanels(const RowView& view, const PanelLayout& of_panels) : layout(of_panels), start(layout.size()) {
        EXPECT_GT(layout.num_panels, 0U);
        launch(panel_starts_kernel<threads>, dim3(blocks_for(layout.num_positions, threads), layout.num_panels + 1),
               dim3(threads), 0, view.start.data(), view.other.data(), view.order.data(), view.num_rows, layout,
               start.data());
    }
    [[nodiscard]] Panels view() const { return {layout, start.data()}; }
};

/// A product's, and its packed edges, of which so many are in use.
struct DevicePackedPanels {
    static constexpr int pack_threads = 64;

    PanelBlock block;
    DevicePanels panels;
    DeviceArray<EdgeIndex> pair_start;
    DeviceArray<EdgePair> pairs;
    std::size_t shared_bytes;
    EdgeIndex used = 0;

    DevicePackedPanels(const RowView& view, const PanelBlock& of_block, std::size_t max_bytes)
        : block(of_block),
          panels(view, panel_layout(block, view.num_rows, view.num_others, max_bytes)),
          pair_start(panels.layout.num_groups(block)),
          pairs(most_pairs(block, panels.layout, view.num_edges)),
          shared_bytes(panel_shared_bytes(block, panels.layout.panel_neurons)) {
        EXPECT_LE(shared_bytes, max_bytes);
        const DeviceArray<EdgeIndex> count(std::vector<EdgeIndex>{0});
        const Index groups = panels.layout.num_positions / block.rows_per_warp;
        launch(pair_starts_kernel<pack_threads>, dim3(blocks_for(groups, pack_threads / 32)), dim3(pack_threads), 0,
               product(view), count.data());
        used = count.read()[0];
        pack<true>({product(view)});
    }
    [[nodiscard]] PackedProduct product(const RowView& of) const {
        return {panels.view(), block, of.other.data(), of.slot, of.weight, pair_start.data(), pairs.data()};
    }
    template <bool with_places>
    static void pack(const std::vector<PackedProduct>& products) {
        PackedProducts all{};
        Index blocks = 0;
        for (std::size_t i = 0; i < products.size(); ++i) {
            all.product[i] = products[i];
            const auto warps = static_cast<Index>(products[i].panels.layout.num_groups(products[i].block));
            all.end_block[i] = blocks += blocks_for(warps, pack_threads / 32);
        }
        launch(pack_kernel<pack_threads, with_places>, dim3(blocks), dim3(pack_threads), 0, all);
    }
    [[nodiscard]] PackedPanels view() const { return {panels.layout, pair_start.data(), pairs.data()}; }
};

/// Equal numbers and signs of zeros.
inline void expect_same_bits(const std::vector<float>& found, const std::vector<float>& expected, const std::string& name) {
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        ASSERT_EQ(__float_as_uint(found[i]), __float_as_uint(expected[i])) << name << " " << i;
    }
}

}  // namespace espalier::cuda
