// Gradients of edges out of panels: to the bit what plain loops give that add in the order of every kernel.
#include "cuda/kernels/panel_gradient.cuh"

#include "panel_cases.hpp"

namespace espalier::cuda {
namespace {

using PanelGradientKernels = cuda_on_host::EveryOrder;
INSTANTIATE_TEST_SUITE_P(Orders, PanelGradientKernels, testing::ValuesIn(cuda_on_host::every_order));

/// Blocks smaller than those in use, so that there are several.
template <Index rows_per_warp>
using Small = PanelOf<64, rows_per_warp, 128>;

/// `panel_neurons`: the most that memory is given for.
template <class Block>
void check_gradients(const SparseCase& layer, Index panel_neurons) {
    SCOPED_TRACE(layer.name + ", " + std::to_string(Block::size.rows()) + " rows of a block");
    const DeviceCase device(layer);
    const std::size_t most = gradient_shared_bytes(Block::size, panel_neurons);
    const DevicePanels panels(by_output(device), gradient_layout(Block::size, layer.outputs, layer.inputs, most));
    const std::size_t shared_bytes = gradient_shared_bytes(Block::size, panels.layout.panel_neurons);
    ASSERT_LE(shared_bytes, most);
    const Matrix x(layer.inputs, layer.batch, 3);
    const Matrix dy(layer.outputs, layer.batch, 8);
    const TiledArray d_x(x, 0.5F);  // times a gradient of 0
    const TiledArray d_dy(dy);
    const Index tiles = d_x.view().tiles();
    const DeviceArray<float> parts(std::vector<float>(std::size_t{tiles} * layer.num_edges(), std::nanf("")));
    cuda_on_host::allow_shared(panel_gradient_kernel<Block>, shared_bytes);
    launch(panel_gradient_kernel<Block>, dim3(panels.layout.num_positions / Block::size.rows(), tiles),
           dim3(Block::size.launched_threads()), shared_bytes,
           PanelGradientArguments{device.column.data(), device.row_order.data(), layer.num_edges()}, panels.view(),
           d_x.view(), d_dy.view(), parts.data());
    const auto found = parts.read();
    for (EdgeIndex e = 0; e < layer.num_edges(); ++e) {
        const float in_order = gradient_in_order(x, dy, layer.column[e], layer.row[e]);
        std::vector<float> tile(tiles);
        for (Index t = 0; t < tiles; ++t) tile[t] = found[std::size_t{t} * layer.num_edges() + e];
        add_by_halves(tile);
        ASSERT_EQ(__float_as_uint(tile[0]), __float_as_uint(in_order)) << "edge " << e;
    }
}

TEST_P(PanelGradientKernels, HaveTheBitsOfTheirOrder) {
    for (const SparseCase& layer : sparse_cases()) {
        check_gradients<Small<16>>(layer, 8);
        check_gradients<Small<8>>(layer, 40);
        check_gradients<Small<4>>(layer, 12);
        check_gradients<Small<2>>(layer, 200);
        if (testing::Test::HasFatalFailure()) return;
    }
}

/// Whole rows, so that a panel holds whole 32s of a row's edges and a last chunk of every size; then one row, one neuron.
TEST_P(PanelGradientKernels, FullRows) {
    for (const Index inputs : {32U, 37U, 64U, 65U, 91U}) {
        const SparseCase layer = sparse_case("full rows", inputs, 5, 3, every_cell);
        check_gradients<Small<2>>(layer, 48);
        check_gradients<Small<4>>(layer, 100);
    }
    check_gradients<Small<8>>(sparse_case("one row", 70, 1, 5, every_cell), 32);
    check_gradients<Small<16>>(sparse_case("one neuron", 1, 90, 5, every_cell), 4);
}

/// A warp's edges of a panel, of one row and of several, in every number that a quarter of it may have.
TEST_P(PanelGradientKernels, EveryNumberOfEdges) {
    for (Index inputs = 1; inputs <= 33; ++inputs) {
        check_gradients<Small<2>>(sparse_case("one row", inputs, 1, 2, every_cell), 40);
        if (inputs <= 11) check_gradients<Small<4>>(sparse_case("three rows", inputs, 3, 2, every_cell), 12);
        if (testing::Test::HasFatalFailure()) return;
    }
}

TEST_P(PanelGradientKernels, HugeRow) { check_gradients<Small<2>>(huge_row_case(), 200); }

TEST_P(PanelGradientKernels, ABlockInUse) {
    check_gradients<GradientNumber<2>>(sparse_case("one block in use", 70, 66, 4, 300), 20);
}

TEST(GradientLayout, FitsMemory) {
    for (const PanelBlock& block : gradient_blocks) {
        EXPECT_EQ(gradient_layout(block, 100, 100, gradient_shared_bytes(block, 4) - 1).num_panels, 0U);
        for (const Index neurons : {1U, 5U, 784U, 10000U}) {
            const PanelLayout layout = gradient_layout(block, 100, neurons, 232448);
            ASSERT_GT(layout.num_panels, 0U);
            EXPECT_LE(gradient_shared_bytes(block, layout.panel_neurons), 232448U);
            EXPECT_GE(std::uint64_t{layout.num_panels} * layout.panel_neurons, neurons);
        }
    }
}

}  // namespace
}  // namespace espalier::cuda
