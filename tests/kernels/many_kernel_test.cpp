// A kernel's form for many networks beside its launches network by network: the same bits, whichever network has most blocks.
#include "cuda/kernels/many.cuh"

#include "product_cases.hpp"

namespace espalier::cuda {
namespace {

using ManyKernel = cuda_on_host::EveryOrder;
INSTANTIATE_TEST_SUITE_P(Orders, ManyKernel, testing::ValuesIn(cuda_on_host::every_order));

/// Launches `Work` for networks whose own launches have so many blocks each.
template <class Work>
void launch_many(const std::vector<OfNetwork<typename Work::Arguments>>& networks, Index tiles) {
    const DeviceArray<OfNetwork<typename Work::Arguments>> rows(networks);
    Index most = 0;
    for (const auto& each : networks) most = std::max(most, each.blocks);
    launch(many_kernel<Work>, dim3(most, tiles, static_cast<unsigned>(networks.size())), dim3(Work::block_threads), 0,
           rows.data());
}

TEST_P(ManyKernel, NetworksOfUnlikeSizesHaveTheBitsOfEachAlone) {
    constexpr Index per_block = gather_test_threads / warp_lanes;
    const std::vector<SparseCase> layers{sparse_case("small", 12, 5, 130, 400), sparse_case("large", 30, 17, 130, 300),
                                         sparse_case("one row", 7, 1, 130, 900)};
    std::vector<DeviceCase> devices;
    devices.reserve(layers.size());
    for (const SparseCase& each : layers) devices.emplace_back(each);
    using Forward = ForwardWork<gather_test_threads, Tanh>;
    using Gradient = InputGradientWork<gather_test_threads, Identity>;
    std::vector<OfNetwork<Forward::Arguments>> forward;
    std::vector<OfNetwork<Gradient::Arguments>> gradient;
    std::vector<std::unique_ptr<TiledArray>> arrays;
    const auto array = [&](const Matrix& matrix) {
        arrays.push_back(std::make_unique<TiledArray>(matrix));
        return arrays.back()->view();
    };
    for (const DeviceCase& each : devices) {
        const Activations x = array(Matrix(each.host.inputs, each.host.batch, 3));
        const Activations y = array(Matrix(each.host.outputs, each.host.batch));
        const Activations dx = array(Matrix(each.host.inputs, each.host.batch));
        forward.push_back({blocks_for(y.rows, per_block),
                           pack_of(each.forward(), Tanh{}, ConstActivations(x), Activations{}, y)});
        gradient.push_back({blocks_for(x.rows, per_block), pack_of(each.input_gradient(), Identity{}, ConstActivations(y),
                                                                   ConstActivations{}, dx)});
    }
    launch_many<Forward>(forward, 2);
    launch_many<Gradient>(gradient, 2);
    for (std::size_t n = 0; n < layers.size(); ++n) {
        const TiledArray x(Matrix(layers[n].inputs, layers[n].batch, 3));
        const TiledArray y(Matrix(layers[n].outputs, layers[n].batch));
        const TiledArray dx(Matrix(layers[n].inputs, layers[n].batch));
        gather_forward(devices[n], Tanh{}, x.view(), Activations{}, y.view());
        gather_input_gradient(devices[n], y.view(), dx.view());
        EXPECT_EQ(arrays[3 * n + 1]->tiles(), y.tiles()) << layers[n].name;
        EXPECT_EQ(arrays[3 * n + 2]->tiles(), dx.tiles()) << layers[n].name;
    }
}

}  // namespace
}  // namespace espalier::cuda
