// What the tests of panel kernels share: panels in device memory, and the comparison of bits.
#pragma once

#include "cuda/kernels/panel.cuh"
#include "product_cases.hpp"

namespace espalier::cuda {

/// A view by rows, as panel_starts_kernel takes it.
struct RowView {
    const DeviceArray<EdgeIndex>& start;
    const DeviceArray<Index>& other;
    const DeviceArray<Index>& order;
    Index num_rows;
    Index num_others;
};
inline RowView by_output(const DeviceCase& layer) {
    return {layer.row_start, layer.column, layer.row_order, layer.host.outputs, layer.host.inputs};
}
inline RowView by_input(const DeviceCase& layer) {
    return {layer.column_start, layer.row_by_input, layer.column_order, layer.host.inputs, layer.host.outputs};
}

/// Panels in device memory.
struct DevicePanels {
    PanelLayout layout;
    DeviceArray<EdgeIndex> start;
    std::size_t shared_bytes = 0;

    /// Of a product.
    DevicePanels(const RowView& view, const PanelBlock& block, std::size_t max_bytes)
        : DevicePanels(view, panel_layout(block, view.num_rows, view.num_others, max_bytes)) {
        shared_bytes = panel_shared_bytes(block, layout.panel_neurons);
        EXPECT_LE(shared_bytes, max_bytes);
    }
    DevicePanels(const RowView& view, const PanelLayout& of_panels) : layout(of_panels), start(layout.size()) {
        EXPECT_GT(layout.num_panels, 0U);
        launch(panel_starts_kernel<threads>, dim3(blocks_for(layout.num_positions, threads), layout.num_panels + 1),
               dim3(threads), 0, view.start.data(), view.other.data(), view.order.data(), view.num_rows, layout,
               start.data());
    }
    [[nodiscard]] Panels view() const { return {layout, start.data()}; }
};

/// Equal numbers and signs of zeros.
inline void expect_same_bits(const std::vector<float>& found, const std::vector<float>& expected, const std::string& name) {
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        ASSERT_EQ(__float_as_uint(found[i]), __float_as_uint(expected[i])) << name << " " << i;
    }
}

}  // namespace espalier::cuda
