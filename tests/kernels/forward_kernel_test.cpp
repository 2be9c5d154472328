// Forward kernel against plain double loops, for every activation.
#include "cuda/kernels/forward.cuh"

#include "kernel_cases.hpp"

namespace espalier::cuda {
namespace {

using ForwardKernel = cuda_on_host::EveryOrder;
INSTANTIATE_TEST_SUITE_P(Orders, ForwardKernel, testing::ValuesIn(cuda_on_host::every_order));

/// Trained SReLU parameters, different in every neuron.
std::vector<float> neuron_parameters(Index neurons) {
    std::vector<float> parameters = random_values(5, std::size_t{4} * neurons);
    for (Index n = 0; n < neurons; ++n) parameters[2 * neurons + n] = parameters[n] + 0.5F;  // right of the left
    return parameters;
}

struct ForwardResult {
    Matrix saved;
    Matrix y;
};

template <class Rule>
ForwardResult run_forward(const SparseCase& layer, const Rule& rule, const Matrix& x, const std::vector<float>& bias,
                          bool save_apart) {
    const DeviceArray<EdgeIndex> start(layer.row_start);
    const DeviceArray<Index> column(padded(layer.column));
    const DeviceArray<float> weight(padded(layer.weight));
    const DeviceArray<Index> order(some_order(layer.outputs));
    const DeviceArray<float> d_bias(bias);
    const DeviceArray<float> parameters(neuron_parameters(layer.outputs));
    const TiledArray d_x(x);
    const TiledArray saved(Matrix(layer.outputs, layer.batch));
    const TiledArray y(Matrix(layer.outputs, layer.batch));
    constexpr int threads = 64;  // several blocks even for a few rows
    launch(forward_kernel<threads, Rule>, dim3(blocks_for(layer.outputs, threads / 32), y.view().tiles()),
           dim3(threads), 0,
           {start.data(), column.data(), weight.data(), order.data(), d_bias.data(), parameters.data()}, rule,
           d_x.view(), save_apart ? saved.view() : Activations{}, y.view());
    return {saved.read(), y.read()};
}

template <class Rule>
void check_forward(const SparseCase& layer, const Rule& rule) {
    const Matrix x(layer.inputs, layer.batch, 3);
    const auto bias = random_values(4, layer.outputs);
    const auto parameters = neuron_parameters(layer.outputs);
    const ForwardResult found = run_forward(layer, rule, x, bias, true);
    const ForwardResult evaluated = run_forward(layer, rule, x, bias, false);
    EXPECT_EQ(evaluated.y.values, found.y.values) << layer.name;
    for (Index r = 0; r < layer.outputs; ++r) {
        const Rule own = of_neuron(rule, parameters.data(), r, layer.outputs);
        for (Index s = 0; s < layer.batch; ++s) {
            double z = static_cast<double>(bias[r]);
            double size = std::abs(z);
            for (EdgeIndex e = layer.row_start[r]; e < layer.row_start[r + 1]; ++e) {
                const double term = static_cast<double>(layer.weight[e]) * static_cast<double>(x(layer.column[e], s));
                z += term;
                size += std::abs(term);
            }
            const float y = own.value(static_cast<float>(z));
            ASSERT_NEAR(found.y(r, s), y, allowance(size)) << layer.name << " row " << r << " sample " << s;
            ASSERT_NEAR(found.saved(r, s), Rule::saves_input ? z : static_cast<double>(y), allowance(size))
                << layer.name << " row " << r << " sample " << s;
        }
    }
}

TEST_P(ForwardKernel, EqualsPlainLoops) {
    for (const SparseCase& layer : sparse_cases()) check_forward(layer, Relu{});
}

TEST_P(ForwardKernel, EveryActivation) {
    const SparseCase layer = sparse_case("activations", 12, 10, 5, 400);
    const auto check_all = [&]<class... Rules>(std::variant<Rules...>*) { (check_forward(layer, Rules{}), ...); };
    check_all(static_cast<Activation*>(nullptr));
}

TEST_P(ForwardKernel, LeavesOutItsNeighboursEdges) {
    const SparseCase layer = sparse_case("infinite", 6, 4, 3, 400);  // row 2 has all inputs, row 1 none
    Matrix x(layer.inputs, layer.batch, 3);
    const Index only_row_2 = [&] {
        for (Index c = 0; c < layer.inputs; ++c) {
            if (layer.column_start[c + 1] - layer.column_start[c] == 1) return c;
        }
        return ~Index{0};
    }();
    ASSERT_NE(only_row_2, ~Index{0});
    x(only_row_2, 0) = INFINITY;
    const auto y = run_forward(layer, Identity{}, x, std::vector<float>(layer.outputs, 0.0F), false).y;
    for (const Index r : {0U, 1U, 3U}) EXPECT_TRUE(std::isfinite(y(r, 0))) << "row " << r;
    EXPECT_FALSE(std::isfinite(y(2, 0)));
}

TEST_P(ForwardKernel, GathersWholeSectors) {
    if (!cuda_on_host::watch::enabled()) GTEST_SKIP() << "this program's accesses are not watched";
    const SparseCase layer = sparse_case("traffic", 50, 20, 128, 100);
    cuda_on_host::watch::count_traffic(true);
    run_forward(layer, Relu{}, Matrix(layer.inputs, layer.batch, 3), random_values(4, layer.outputs), false);
    // 512 bytes of x for a warp, or 16 bytes of indices or weights for all its lanes
    EXPECT_LE(cuda_on_host::watch::traffic(16, false).sectors_per_request(), 16);
    EXPECT_EQ(cuda_on_host::watch::traffic(16, true).sectors_per_request(), 16);
}

}  // namespace
}  // namespace espalier::cuda
