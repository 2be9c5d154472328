// Forward kernel against plain double loops, for every activation.
#include "cuda/kernels/forward.cuh"

#include "product_cases.hpp"

namespace espalier::cuda {
namespace {

using ForwardKernel = cuda_on_host::EveryOrder;
INSTANTIATE_TEST_SUITE_P(Orders, ForwardKernel, testing::ValuesIn(cuda_on_host::every_order));

TEST_P(ForwardKernel, EqualsPlainLoops) {
    for (const SparseCase& layer : sparse_cases()) check_forward(layer, Relu{}, gather_forward);
}

TEST_P(ForwardKernel, EveryActivation) {
    check_forward_of_every_activation(sparse_case("activations", 12, 10, 5, 400), gather_forward);
}

TEST_P(ForwardKernel, LeavesOutItsNeighboursEdges) { check_neighbours_left_out(gather_forward); }

TEST_P(ForwardKernel, GathersWholeSectors) {
    if (!cuda_on_host::watch::enabled()) GTEST_SKIP() << "this program's accesses are not watched";
    const SparseCase layer = sparse_case("traffic", 50, 20, 128, 100);
    cuda_on_host::watch::count_traffic(true);
    forward_of(DeviceCase(layer), Relu{}, Matrix(layer.inputs, layer.batch, 3), false, gather_forward);
    // 512 bytes of x for a warp, or 16 bytes of indices or weights for all its lanes
    EXPECT_LE(cuda_on_host::watch::traffic(16, false).sectors_per_request(), 16);
    EXPECT_EQ(cuda_on_host::watch::traffic(16, true).sectors_per_request(), 16);
}

}  // namespace
}  // namespace espalier::cuda
