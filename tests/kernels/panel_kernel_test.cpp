// Panel kernels: against plain double loops, and bit for bit against the kernels that gather.
#include "cuda/kernels/panel.cuh"

#include <algorithm>

#include "panel_cases.hpp"

namespace espalier::cuda {
namespace {

using PanelKernels = cuda_on_host::EveryOrder;
INSTANTIATE_TEST_SUITE_P(Orders, PanelKernels, testing::ValuesIn(cuda_on_host::every_order));

/// Blocks smaller than those in use, so that there are several, and one that is in use.
using Small16 = PanelOf<64, 16, 128>;
using Small4 = PanelOf<64, 4, 128>;
using Half4 = PanelOf<64, 4, 64>;
using Small8 = PanelOf<64, 8, 32>;
using Small2 = PanelOf<64, 2, 32>;
using Used = PanelNumber<1>;

/// `panel_neurons`: the most that memory is given for.
template <class Block>
auto panel_forward(Index panel_neurons) {
    return [=](const DeviceCase& layer, const auto& rule, ConstActivations x, Activations saved, Activations y) {
        const DevicePackedPanels panels(by_output(layer), Block::size, panel_shared_bytes(Block::size, panel_neurons));
        const auto kernel = forward_panel_kernel<Block, std::decay_t<decltype(rule)>>;
        cuda_on_host::allow_shared(kernel, panels.shared_bytes);
        launch(forward_panel_kernel<Block, std::decay_t<decltype(rule)>>,
               dim3(panels.panels.layout.num_positions / Block::size.rows(), y.tiles() * (tile_lanes / Block::size.columns)),
               dim3(Block::size.launched_threads()), panels.shared_bytes, layer.forward(), panels.view(), rule, x, saved, y);
    };
}
template <class Block>
auto panel_input_gradient(Index panel_neurons) {
    return [=](const DeviceCase& layer, ConstActivations dy, Activations dx) {
        const DevicePackedPanels panels(by_input(layer), Block::size, panel_shared_bytes(Block::size, panel_neurons));
        cuda_on_host::allow_shared(input_gradient_panel_kernel<Block>, panels.shared_bytes);
        launch(input_gradient_panel_kernel<Block>,
               dim3(panels.panels.layout.num_positions / Block::size.rows(), dx.tiles() * (tile_lanes / Block::size.columns)),
               dim3(Block::size.launched_threads()), panels.shared_bytes, layer.input_gradient(), panels.view(), dy, dx);
    };
}

template <class Block>
void check_layer(const SparseCase& layer, Index panel_neurons) {
    SCOPED_TRACE(std::to_string(Block::size.rows()) + " x " + std::to_string(Block::size.columns));
    const DeviceCase device(layer);
    const Matrix x(layer.inputs, layer.batch, 3);
    check_forward(layer, Relu{}, panel_forward<Block>(panel_neurons));
    expect_same_bits(forward_of(device, Tanh{}, x, false, panel_forward<Block>(panel_neurons)).y.values,
                     forward_of(device, Tanh{}, x, false, gather_forward).y.values, layer.name);
    expect_same_bits(input_gradient_of(device, panel_input_gradient<Block>(panel_neurons)).values,
                     input_gradient_of(device, gather_input_gradient).values, layer.name);
}

TEST_P(PanelKernels, EqualPlainLoopsAndGatheringToTheBit) {
    for (const SparseCase& layer : sparse_cases()) {
        check_layer<Small16>(layer, 8);
        check_layer<Small4>(layer, 16);
        check_layer<Half4>(layer, 20);
        check_layer<Small8>(layer, 12);
        check_layer<Small2>(layer, 40);
        if (testing::Test::HasFatalFailure()) return;
    }
}

TEST_P(PanelKernels, HugeRow) {
    const SparseCase layer = huge_row_case();
    const Matrix x(layer.inputs, layer.batch, 3);
    check_forward(layer, Relu{}, panel_forward<Small2>(200));
    expect_same_bits(forward_of(DeviceCase(layer), Identity{}, x, false, panel_forward<Small2>(300)).y.values,
                     forward_of(DeviceCase(layer), Identity{}, x, false, gather_forward).y.values, layer.name);
}

TEST_P(PanelKernels, ABlockInUse) { check_layer<Used>(sparse_case("one block in use", 70, 66, 4, 300), 20); }

TEST_P(PanelKernels, EveryActivation) {
    check_forward_of_every_activation(sparse_case("activations", 12, 10, 5, 400), panel_forward<Small4>(4));
}

TEST_P(PanelKernels, LeaveOutTheirNeighboursEdges) {
    check_neighbours_left_out(panel_forward<Small4>(4));
    check_neighbours_left_out(panel_forward<Half4>(8));
    check_neighbours_left_out(panel_forward<Small2>(100));
}

TEST_P(PanelKernels, TableOfFirstEdges) {
    const SparseCase layer = sparse_case("table", 50, 13, 1, 300);
    const DeviceCase device(layer);
    const PanelBlock block = Small4::size;
    const DevicePanels panels(by_output(device),
                              panel_layout(block, layer.outputs, layer.inputs, panel_shared_bytes(block, 8)));
    const PanelLayout& layout = panels.layout;
    EXPECT_EQ(layout.num_panels, 7U);
    EXPECT_EQ(layout.panel_neurons, 8U);
    EXPECT_EQ(layout.num_positions, 16U);
    const auto start = panels.start.read();
    const auto order = some_order(layer.outputs);
    for (Index position = 0; position < layout.num_positions; ++position) {
        for (Index panel = 0; panel <= layout.num_panels; ++panel) {
            EdgeIndex expected = 0;  // a position past the rows has no edge
            if (position < layer.outputs) {
                expected = layer.row_start[order[position]];
                const EdgeIndex end = layer.row_start[order[position] + 1];
                while (expected < end && layer.column[expected] < panel * layout.panel_neurons) ++expected;
            }
            ASSERT_EQ(start[panel * layout.num_positions + position], expected) << panel << ", " << position;
        }
    }
}

TEST(PanelLayout, FitsMemoryWithPanelsAlikeInSize) {
    for (const PanelBlock& block : panel_blocks) {
        const std::size_t fixed = panel_fixed_bytes(block);
        EXPECT_EQ(panel_layout(block, 100, 100, 0).num_panels, 0U);
        EXPECT_EQ(panel_layout(block, 100, 100, fixed).num_panels, 0U);
        EXPECT_EQ(panel_layout(block, 100, 100, panel_shared_bytes(block, 4) - 1).num_panels, 0U);
        for (const Index neurons : {1U, 5U, 784U, 10000U}) {
            for (const std::size_t bytes : {panel_shared_bytes(block, 4), std::size_t{65536}, std::size_t{232448}}) {
                const PanelLayout layout = panel_layout(block, 100, neurons, bytes);
                ASSERT_GT(layout.num_panels, 0U);
                EXPECT_LE(panel_shared_bytes(block, layout.panel_neurons), bytes);
                EXPECT_GE(std::uint64_t{layout.num_panels} * layout.panel_neurons, neurons);
                EXPECT_LT(std::uint64_t{layout.num_panels - 1} * layout.panel_neurons, neurons);
                EXPECT_EQ(layout.num_positions % block.rows(), 0U);
                EXPECT_GE(layout.num_positions, 100U);
                EXPECT_LT(layout.num_positions - 100, block.rows());
            }
        }
    }
}

}  // namespace
}  // namespace espalier::cuda
