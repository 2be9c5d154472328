// Backward kernels against plain double loops: gradient by the preactivation, input gradient, updates of edges and
// neurons by every optimizer.
#include "cuda/kernels/backward.cuh"
#include "cuda/kernels/update.cuh"

#include <algorithm>

#include "product_cases.hpp"

namespace espalier::cuda {
namespace {

using BackwardKernels = cuda_on_host::EveryOrder;
INSTANTIATE_TEST_SUITE_P(Orders, BackwardKernels, testing::ValuesIn(cuda_on_host::every_order));

template <class Rule>
void check_differentiate(const SparseCase& layer, const Rule& rule) {
    const Matrix saved(layer.outputs, layer.batch, 7);
    const Matrix dy(layer.outputs, layer.batch, 8);
    std::vector<float> parameters = random_values(5, std::size_t{4} * layer.outputs);
    for (Index n = 0; n < layer.outputs; ++n) parameters[2 * layer.outputs + n] = parameters[n] + 0.5F;
    constexpr std::size_t num_sums = num_neuron_sums<Rule>;
    const DeviceArray<float> d_parameters(parameters);
    const DeviceArray<float> d_sums(num_sums * layer.outputs);
    const TiledArray d_saved(saved, 0.25F);  // lanes past the batch hold what the forward pass made of zeros
    const TiledArray d_dy(dy);
    launch(differentiate_kernel<threads, Rule>, dim3(blocks_for(layer.outputs, threads / 32)), dim3(threads), 0, rule,
           d_parameters.data(), d_saved.view(), d_dy.view(), d_sums.data());
    const Matrix found = d_dy.read();
    const auto found_sums = d_sums.read();
    for (const float each : d_dy.beyond()) ASSERT_EQ(each, 0.0F) << "gradients past the batch stay 0";
    for (Index n = 0; n < layer.outputs; ++n) {
        const Rule own = for_neuron(rule, parameters.data(), n, layer.outputs);
        std::vector<double> sums(num_sums);
        for (Index s = 0; s < layer.batch; ++s) {
            const float expected = dy(n, s) * own.derivative(saved(n, s));
            ASSERT_EQ(found(n, s), expected) << layer.name << " neuron " << n << " sample " << s;
            sums[0] += static_cast<double>(expected);
            if constexpr (num_sums > 1) {
                float d[4];
                own.parameter_derivatives(saved(n, s), d);
                for (std::size_t p = 0; p < 4; ++p)
                    sums[p + 1] += static_cast<double>(dy(n, s)) * static_cast<double>(d[p]);
            }
        }
        for (std::size_t p = 0; p < num_sums; ++p) {
            ASSERT_NEAR(found_sums[p * layer.outputs + n], sums[p], allowance(layer.batch))
                << layer.name << " neuron " << n << " sum " << p;
        }
    }
}

TEST_P(BackwardKernels, GradientByThePreactivation) {
    for (const SparseCase& layer : sparse_cases()) check_differentiate(layer, Relu{});
}

TEST_P(BackwardKernels, GradientByThePreactivationForEveryActivation) {
    const SparseCase layer = sparse_case("activations", 2, 11, 133, 400);
    const auto check_all = [&]<class... Rules>(std::variant<Rules...>*) { (check_differentiate(layer, Rules{}), ...); };
    check_all(static_cast<Activation*>(nullptr));
}

TEST_P(BackwardKernels, InputGradient) {
    for (const SparseCase& layer : sparse_cases()) check_input_gradient(layer, gather_input_gradient);
}

TEST_P(BackwardKernels, PermutedWeights) {
    for (const SparseCase& layer : sparse_cases()) {
        if (layer.num_edges() == 0) continue;
        const DeviceCase device(layer);
        const DeviceArray<float> permuted(layer.num_edges());
        launch(permute_weights_kernel<threads>, dim3(blocks_for(layer.num_edges(), threads)), dim3(threads), 0,
               device.weight.data(), device.slot.data(), layer.num_edges(), permuted.data());
        const auto found = permuted.read();
        for (EdgeIndex e = 0; e < layer.num_edges(); ++e) ASSERT_EQ(found[e], layer.weight[layer.slot[e]]);
    }
}

/// Parameters and optimizer memory in device memory.
struct Trained {
    std::vector<float> before;
    std::vector<float> states_before[2];
    DeviceArray<float> value;
    DeviceArray<float> first;
    DeviceArray<float> second;

    Trained(const std::vector<float>& values, int num_states)
        : before(values),
          states_before{random_values(11, values.size()), random_values(12, values.size())},
          value(values),
          first(num_states > 0 ? positive(states_before[0]) : std::vector<float>{}),
          second(num_states > 1 ? positive(states_before[1]) : std::vector<float>{}) {}
    /// Second moments are positive.
    static std::vector<float> positive(std::vector<float>& values) {
        for (float& each : values) each = std::abs(each);
        return values;
    }
    [[nodiscard]] TrainedArrays arrays() const { return {value.data(), {first.data(), second.data()}}; }
};

constexpr UpdateStep step{0.05F, 0.01F, 0.002F, 1.5F, 1.25F, 0.003F, 0.001F};

/// Each parameter must lie between its updates by gradients that differ by `slack`, or within rounding of that.
template <class Rule>
void check_update(const Rule& rule, const Trained& trained, const std::vector<double>& gradient,
                  const std::vector<double>& slack, const std::string& name) {
    const auto value = trained.value.read();
    const std::vector<float> states[2] = {trained.first.read(), trained.second.read()};
    for (std::size_t i = 0; i < gradient.size(); ++i) {
        float low[3] = {INFINITY, INFINITY, INFINITY};
        float high[3] = {-INFINITY, -INFINITY, -INFINITY};
        for (const double shift : {-slack[i], 0.0, slack[i]}) {
            OptimizerState<Rule::num_states> state{};
            for (int k = 0; k < Rule::num_states; ++k) state[static_cast<std::size_t>(k)] = trained.states_before[k][i];
            float w = trained.before[i];
            update_parameter(rule, w, static_cast<float>(gradient[i] + shift), state, step);
            float after[3] = {w, 0, 0};
            for (std::size_t k = 0; k < state.size(); ++k) after[k + 1] = state[k];
            for (int k = 0; k < 3; ++k) {
                low[k] = std::min(low[k], after[k]);
                high[k] = std::max(high[k], after[k]);
            }
        }
        const auto inside = [&](float found, int k) {
            const float rounding = 1e-6F * std::max(std::abs(low[k]), std::abs(high[k]));
            return found >= low[k] - rounding && found <= high[k] + rounding;
        };
        ASSERT_TRUE(inside(value[i], 0)) << name << " parameter " << i << ": " << value[i] << " outside [" << low[0]
                                         << ", " << high[0] << "]";
        for (int k = 0; k < Rule::num_states; ++k) {
            ASSERT_TRUE(inside(states[k][i], k + 1)) << name << " state " << k << " of parameter " << i;
        }
    }
}

template <class Rule>
void check_edges(const SparseCase& layer, const Rule& rule) {
    const Matrix x(layer.inputs, layer.batch, 3);
    const Matrix dy(layer.outputs, layer.batch, 8);
    const Trained trained(layer.weight, Rule::num_states);
    const DeviceArray<EdgeIndex> start(layer.row_start);
    const DeviceArray<Index> column(layer.column);
    const DeviceArray<StepScalars> now(std::vector<StepScalars>{{step, 0, 0}});
    const TiledArray d_x(x, 0.5F);  // times a gradient of 0
    const TiledArray d_dy(dy);
    launch(update_edges_kernel<threads, Rule>, dim3(std::max(1U, blocks_for(layer.num_edges(), threads))),
           dim3(threads), 0, rule, start.data(), column.data(), layer.num_edges(), trained.arrays(), d_x.view(),
           d_dy.view(), now.data());
    std::vector<double> gradient(layer.num_edges());
    std::vector<double> slack(layer.num_edges());
    for (EdgeIndex e = 0; e < layer.num_edges(); ++e) {
        double size = 0;
        for (Index s = 0; s < layer.batch; ++s) {
            const double term = static_cast<double>(dy(layer.row[e], s)) * static_cast<double>(x(layer.column[e], s));
            gradient[e] += term;
            size += std::abs(term);
        }
        slack[e] = allowance(size);
    }
    check_update(rule, trained, gradient, slack, layer.name + " " + std::string(Rule::name));
}

TEST_P(BackwardKernels, UpdateOfEdges) {
    for (const SparseCase& layer : sparse_cases()) check_edges(layer, Momentum{});
}

TEST_P(BackwardKernels, UpdateOfEdgesByEveryOptimizer) {
    const SparseCase layer = sparse_case("optimizers", 13, 8, 21, 300);
    const auto check_all = [&]<class... Rules>(std::variant<Rules...>*) { (check_edges(layer, Rules{}), ...); };
    check_all(static_cast<Optimizer*>(nullptr));
}

template <class Rule>
void check_parameters(const Rule& rule, Index count) {
    const auto gradient = random_values(9, count);
    const Trained trained(random_values(10, count), Rule::num_states);
    const DeviceArray<float> d_gradient(gradient);
    const DeviceArray<StepScalars> now(std::vector<StepScalars>{{step, 0, 0}});
    launch(update_parameters_kernel<threads, Rule>, dim3(blocks_for(count, threads)), dim3(threads), 0, rule,
           trained.arrays(), d_gradient.data(), count, now.data());
    check_update(rule, trained, {gradient.begin(), gradient.end()}, std::vector<double>(count),
                 std::string(Rule::name));
}

TEST_P(BackwardKernels, UpdateOfNeuronsByEveryOptimizer) {
    const auto check_all = [&]<class... Rules>(std::variant<Rules...>*, Index count) {
        (check_parameters(Rules{}, count), ...);
    };
    for (const Index count : {1U, 64U, 151U}) check_all(static_cast<Optimizer*>(nullptr), count);
}

}  // namespace
}  // namespace espalier::cuda
