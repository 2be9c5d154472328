// The head kernel has the bits of the kernels that do the same one after the other: forward, loss, input gradient,
// derivative.
#include "cuda/kernels/head.cuh"

#include <cstring>
#include <limits>

#include "product_cases.hpp"

namespace espalier::cuda {
namespace {

using HeadKernel = cuda_on_host::EveryOrder;
INSTANTIATE_TEST_SUITE_P(Orders, HeadKernel, testing::ValuesIn(cuda_on_host::every_order));

struct HeadCase {
    DeviceCase layer;
    TiledArray h;
    TiledArray saved;
    DeviceArray<std::int32_t> labels;
    DeviceArray<float> class_weights;

    HeadCase(const SparseCase& host, bool has_bad_label)
        : layer(host),
          h(Matrix(host.inputs, host.batch, 3), 0.5F),
          saved(Matrix(host.inputs, host.batch, 7), 0.25F),
          labels(labels_of(host, has_bad_label)),
          class_weights(random_values(8, host.outputs)) {}

    static std::vector<std::int32_t> labels_of(const SparseCase& host, bool has_bad_label) {
        std::vector<std::int32_t> all((host.batch + tile_lanes - 1) / tile_lanes * tile_lanes, -1);
        for (Index s = 0; s < host.batch; ++s) all[s] = static_cast<std::int32_t>(s * 7 % host.outputs);
        if (has_bad_label) all[0] = static_cast<std::int32_t>(host.outputs);
        return all;
    }
};

struct HeadResult {
    Matrix z, dz, dh;
    std::vector<float> beyond;
    MetricSums sums;
};

template <class Below>
HeadResult one_after_the_other(const HeadCase& head, const Below& below, bool weighted) {
    const SparseCase& host = head.layer.host;
    const TiledArray z(Matrix(host.outputs, host.batch));
    const TiledArray dz(Matrix(host.outputs, host.batch), 7);
    const TiledArray dh(Matrix(host.inputs, host.batch), 7);
    const DeviceArray<MetricSums> sums(std::vector<MetricSums>(1));
    gather_forward(head.layer, Identity{}, head.h.view(), Activations{}, z.view());
    launch(loss_kernel<SoftmaxNll>, dim3(z.view().tiles()), dim3(loss_threads), 0, SoftmaxNll{}, z.view(),
           head.labels.data(), dz.view(), weighted ? head.class_weights.data() : nullptr, nullptr, sums.data(),
           RankShare{0, 1, host.batch});
    launch(input_gradient_kernel<threads, Below>, dim3(blocks_for(host.inputs, threads / 32), dh.view().tiles()),
           dim3(threads), 0, head.layer.input_gradient(), below, dz.view(), head.saved.view(), dh.view());
    return {z.read(), dz.read(), dh.read(), dh.beyond(), sums.read()[0]};
}

template <class Below>
HeadResult together(const HeadCase& head, const Below& below, bool weighted) {
    constexpr int block = 96;
    const SparseCase& host = head.layer.host;
    const TiledArray z(Matrix(host.outputs, host.batch));
    const TiledArray dz(Matrix(host.outputs, host.batch), 7);
    const TiledArray dh(Matrix(host.inputs, host.batch), 7);
    const DeviceArray<MetricSums> sums(std::vector<MetricSums>(1));
    const HeadArguments arguments{head.layer.weight.data(),
                                  head.layer.bias.data(),
                                  head.h.view(),
                                  z.view(),
                                  dz.view(),
                                  dh.view(),
                                  head.labels.data(),
                                  weighted ? head.class_weights.data() : nullptr,
                                  sums.data(),
                                  RankShare{0, 1, host.batch}};
    cuda_on_host::allow_shared(head_kernel<block, SoftmaxNll, Below>, std::size_t{227} << 10);
    launch(head_kernel<block, SoftmaxNll, Below>, dim3(z.view().tiles() * (tile_lanes / head_samples)), dim3(block),
           head_shared_bytes(host.inputs, host.outputs), arguments, SoftmaxNll{}, below, head.saved.view());
    return {z.read(), dz.read(), dh.read(), dh.beyond(), sums.read()[0]};
}

template <class Below>
void check_head(Index inputs, Index classes, Index batch, const Below& below, bool weighted = false,
                bool has_bad_label = false) {
    SCOPED_TRACE(std::to_string(inputs) + " inputs, " + std::to_string(classes) + " classes, batch " +
                 std::to_string(batch) + ", " + std::string(Below::name));
    const SparseCase host = sparse_case("dense", inputs, classes, batch, every_cell);
    ASSERT_EQ(host.num_edges(), inputs * classes);
    const HeadCase head(host, has_bad_label);
    const HeadResult want = one_after_the_other(head, below, weighted);
    const HeadResult found = together(head, below, weighted);
    EXPECT_EQ(found.z.values, want.z.values);
    EXPECT_EQ(found.dz.values, want.dz.values);
    EXPECT_EQ(found.dh.values, want.dh.values);
    EXPECT_EQ(found.beyond, want.beyond);
    EXPECT_EQ(std::memcmp(&found.sums, &want.sums, sizeof want.sums), 0);
}

TEST_P(HeadKernel, HasTheBitsOfItsParts) {
    for (const Index classes : {1U, 2U, 10U, 32U}) {
        for (const Index batch : {1U, 31U, 128U, 300U}) check_head(37, classes, batch, Relu{});
    }
    check_head(1, 10, 130, Relu{});
    check_head(500, 10, 64, Identity{});
}

TEST_P(HeadKernel, WithEveryActivationBelow) {
    const auto check_all = [&]<class... Rules>(std::variant<Rules...>*) {
        const auto check = [&]<class Rule>(const Rule& rule) {
            if constexpr (Rule::num_parameters == 0) check_head(33, 10, 140, rule);
        };
        (check(Rules{}), ...);
    };
    check_all(static_cast<Activation*>(nullptr));
}

TEST_P(HeadKernel, WithClassWeightsAndALabelThatIsNoClass) {
    check_head(20, 7, 150, Relu{}, true);
    check_head(20, 7, 150, Relu{}, false, true);
}

}  // namespace
}  // namespace espalier::cuda
