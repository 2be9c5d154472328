// Backward kernels against plain double loops: gradient by the preactivation, input gradient, updates of edges and
// neurons by every optimizer.
#include "cuda/kernels/backward.cuh"
#include "cuda/kernels/update.cuh"

#include <algorithm>
#include <memory>

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
    constexpr std::size_t num_sums = Rule::num_parameters;
    const DeviceArray<float> d_parameters(parameters);
    const DeviceArray<float> d_sums(num_sums * layer.outputs);
    const TiledArray d_saved(saved, 0.25F);  // lanes past the batch hold what the forward pass made of zeros
    const TiledArray d_dy(dy);
    const std::size_t shared = num_sums == 0 ? 0 : halves_shared_bytes(d_dy.view().tiles(), threads, num_sums + 1);
    launch(differentiate_kernel<threads, Rule>, dim3(blocks_for(layer.outputs, threads / 32)), dim3(threads), shared, rule,
           d_parameters.data(), d_saved.view(), d_dy.view(), Dropped{}, d_sums.data());
    const Matrix found = d_dy.read();
    const auto found_sums = d_sums.read();
    for (const float each : d_dy.beyond()) ASSERT_EQ(each, 0.0F) << "gradients past the batch stay 0";
    for (Index n = 0; n < layer.outputs; ++n) {
        const Rule own = for_neuron(rule, parameters.data(), n, layer.outputs);
        std::vector<double> sums(num_sums);
        for (Index s = 0; s < layer.batch; ++s) {
            const float expected = dy(n, s) * own.derivative(saved(n, s));
            ASSERT_EQ(found(n, s), expected) << layer.name << " neuron " << n << " sample " << s;
            if constexpr (num_sums > 0) {
                float d[4];
                own.parameter_derivatives(saved(n, s), d);
                for (std::size_t p = 0; p < 4; ++p)
                    sums[p] += static_cast<double>(dy(n, s)) * static_cast<double>(d[p]);
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

/// The product that multiplies by the derivative below has the bits of the product and the derivative one after the other.
template <class Rule>
void check_derivative_below(const SparseCase& layer, const Rule& rule) {
    if constexpr (Rule::num_parameters == 0) {
        const DeviceCase device(layer);
        const TiledArray saved(Matrix(layer.inputs, layer.batch, 7), 0.25F);
        const TiledArray dy(Matrix(layer.outputs, layer.batch, 8));
        const TiledArray apart(Matrix(layer.inputs, layer.batch));
        const TiledArray together(Matrix(layer.inputs, layer.batch));
        gather_input_gradient(device, dy.view(), apart.view());
        launch(differentiate_kernel<threads, Rule>, dim3(blocks_for(layer.inputs, threads / 32)), dim3(threads), 0, rule,
               nullptr, saved.view(), apart.view(), Dropped{}, nullptr);
        launch(input_gradient_kernel<threads, Rule>, dim3(blocks_for(layer.inputs, threads / 32), together.view().tiles()),
               dim3(threads), 0, device.input_gradient(), rule, dy.view(), saved.view(), together.view());
        EXPECT_EQ(together.read().values, apart.read().values) << layer.name << ' ' << Rule::name;
        for (const float each : together.beyond()) ASSERT_EQ(each, 0.0F) << "gradients past the batch stay 0";
    }
}

TEST_P(BackwardKernels, InputGradientTimesTheDerivativeBelow) {
    for (const SparseCase& layer : sparse_cases()) check_derivative_below(layer, Relu{});
    const SparseCase layer = sparse_case("activations", 2, 133, 11, 400);
    const auto check_all = [&]<class... Rules>(std::variant<Rules...>*) {
        (check_derivative_below(layer, Rules{}), ...);
    };
    check_all(static_cast<Activation*>(nullptr));
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

/// A layer to be updated, and what its gradients are.
template <class Rule>
struct UpdateCase {
    const SparseCase& host;
    Matrix x;
    Matrix dy;
    Trained weights;
    Trained bias;
    DeviceArray<EdgeIndex> start;
    DeviceArray<Index> column;
    TiledArray d_x;
    TiledArray d_dy;

    explicit UpdateCase(const SparseCase& layer)
        : host(layer),
          x(layer.inputs, layer.batch, 3),
          dy(layer.outputs, layer.batch, 8),
          weights(layer.weight, Rule::num_states),
          bias(random_values(13, layer.outputs), Rule::num_states),
          start(layer.row_start),
          column(layer.column),
          d_x(x, 0.5F),  // times a gradient of 0
          d_dy(dy) {}

    [[nodiscard]] UpdatedLayer<Rule> layer(const Rule& rule, const StepScalars* now) const {
        return {rule,          start.data(),       column.data(), host.num_edges(), host.outputs,
                weights.arrays(), bias.arrays(), d_x.view(),    d_dy.view(),      now};
    }
    void check(const Rule& rule) const {
        const std::string name = host.name + " " + std::string(Rule::name);
        std::vector<double> gradient(host.num_edges());
        std::vector<double> slack(host.num_edges());
        for (EdgeIndex e = 0; e < host.num_edges(); ++e) {
            double size = 0;
            for (Index s = 0; s < host.batch; ++s) {
                const double term = static_cast<double>(dy(host.row[e], s)) * static_cast<double>(x(host.column[e], s));
                gradient[e] += term;
                size += std::abs(term);
            }
            slack[e] = allowance(size);
        }
        check_update(rule, weights, gradient, slack, name);
        std::vector<double> sums(host.outputs);
        for (Index n = 0; n < host.outputs; ++n) {
            for (Index s = 0; s < host.batch; ++s) sums[n] += static_cast<double>(dy(n, s));
        }
        check_update(rule, bias, sums, std::vector<double>(host.outputs, allowance(host.batch)), name + ", bias");
    }
};

/// Updates the layers of `cases` by one launch.
template <class Rule>
void update(const Rule& rule, const std::vector<std::unique_ptr<UpdateCase<Rule>>>& cases) {
    const DeviceArray<StepScalars> now(std::vector<StepScalars>{{step, 0, 0}});
    UpdatedLayers<Rule> layers{};
    Index blocks = 0;
    Index tiles = 1;
    for (std::size_t l = 0; l < cases.size(); ++l) {
        tiles = std::max(tiles, cases[l]->d_x.view().tiles());
        layers.layer[l] = cases[l]->layer(rule, now.data());
        layers.edge_blocks[l] = layers.layer[l].edge_blocks(threads / 32);
        layers.end_block[l] = blocks += layers.layer[l].blocks(threads / 32);
    }
    launch(update_layers_kernel<threads, Rule>, dim3(blocks), dim3(threads), halves_shared_bytes(tiles, threads), layers,
           static_cast<int>(cases.size()));
}

template <class Rule>
void check_layer(const SparseCase& layer, const Rule& rule) {
    std::vector<std::unique_ptr<UpdateCase<Rule>>> one;
    one.push_back(std::make_unique<UpdateCase<Rule>>(layer));
    update(rule, one);
    one[0]->check(rule);
}

TEST_P(BackwardKernels, UpdateOfALayer) {
    for (const SparseCase& layer : sparse_cases()) check_layer(layer, Momentum{});
}

TEST_P(BackwardKernels, UpdateOfALayerByEveryOptimizer) {
    const SparseCase layer = sparse_case("optimizers", 13, 8, 21, 300);
    const auto check_all = [&]<class... Rules>(std::variant<Rules...>*) { (check_layer(layer, Rules{}), ...); };
    check_all(static_cast<Optimizer*>(nullptr));
}

/// As many as a launch takes, of different shapes; of one input and many outputs 32 edges have more than 32 rows.
TEST_P(BackwardKernels, UpdateOfManyLayersAtOnce) {
    const Index shapes[most_updated_layers][3] = {{5, 3, 7},    {70, 40, 130}, {1, 1, 1},   {20, 1500, 3},
                                                  {9, 33, 128}, {1, 500, 9},   {3, 65, 20}, {31, 32, 129}};
    std::vector<SparseCase> layers;
    for (const auto& [inputs, outputs, batch] : shapes) {
        layers.push_back(sparse_case("layer " + std::to_string(layers.size()), inputs, outputs, batch, 150));
    }
    std::vector<std::unique_ptr<UpdateCase<Momentum>>> cases;
    for (const SparseCase& each : layers) cases.push_back(std::make_unique<UpdateCase<Momentum>>(each));
    update(Momentum{}, cases);
    for (const auto& each : cases) each->check(Momentum{});
}

TEST_P(BackwardKernels, GradientsHaveTheBitsOfTheirOrder) {
    std::vector<SparseCase> layers = sparse_cases();
    layers.push_back(sparse_case("more than 32 rows in 32 edges", 1, 500, 9, 150));
    for (const SparseCase& layer : layers) {
        std::vector<std::unique_ptr<UpdateCase<KeepGradient>>> one;
        one.push_back(std::make_unique<UpdateCase<KeepGradient>>(layer));
        update(KeepGradient{}, one);
        const auto found = one[0]->weights.value.read();
        for (EdgeIndex e = 0; e < layer.num_edges(); ++e) {
            const float expected = gradient_in_order(one[0]->x, one[0]->dy, layer.column[e], layer.row[e]);
            ASSERT_EQ(__float_as_uint(found[e]), __float_as_uint(expected)) << layer.name << " edge " << e;
        }
    }
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
