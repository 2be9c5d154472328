// Backward passes of every activation and shape against the oracle, on every backend. With SGD, learning rate 1 and no
// decay the update is the gradient itself.
#include <algorithm>

#include "alternatives.hpp"
#include "backend_fixture.hpp"

namespace espalier {
namespace {

class Backward : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Backends, Backward, ::testing::ValuesIn(available_backends()), backend_test_name);

const oracle::Update plain{Sgd{}, Coupled{}, 1, 0, 1};
// dz and dx: sums of a layer's width of products below 1; the parameters: sums over the batch of products below 2.
constexpr Tolerance input_tolerance{5e-6, 2e-6};
constexpr Tolerance update_tolerance{2e-5, 2e-6};

bool all_zero(const std::vector<float>& values) {
    return std::all_of(values.begin(), values.end(), [](float each) { return each == 0.0F; });
}

struct Pass {
    oracle::Matrix dz, dx;
    oracle::DenseLayer after;
};

TEST_P(Backward, EveryActivationAndShapeAgreesWithTheOracle) {
    for (const auto& activation : alternatives<Activation>()) {
        for (const auto& shape : awkward_shapes()) {
            for (const bool needs_input_gradient : {false, true}) {
                SCOPED_TRACE(rule_text(activation) + ", " + printed(shape) +
                             (needs_input_gradient ? "" : ", first layer"));
                TestRandom random(shape.batch + shape.outputs);
                const Layer layer = test_layer(shape, activation, 0, random);
                const auto before = oracle::dense(layer, 0);
                const auto x = grid_matrix(shape.inputs, shape.batch, 2, 1.0 / 16, random);
                const auto dy = random_matrix(shape.outputs, shape.batch, 1, random);
                const auto device = backend().load(layer, {needs_input_gradient, Sgd{}});
                const DeviceMatrix input(backend(), x);
                const DeviceMatrix saved(backend(), shape.outputs, shape.batch);
                const DeviceMatrix output(backend(), shape.outputs, shape.batch);
                const DeviceMatrix gradient(backend(), dy);
                const DeviceMatrix input_gradient(backend(), shape.inputs, shape.batch);
                const auto now = device_scalars(backend(), scalars_of(plain));
                backend().forward(*device, input, saved, output);
                backend().backward(*device, input, saved, gradient,
                                   needs_input_gradient ? input_gradient.view() : Activations{}, now.data());
                const auto want = oracle::backward(before, x, oracle::forward(before, x).z, dy);
                expect_close(gradient.values().values, want.z.values, {5e-7, 5e-7}, "gradient by the preactivation");
                EXPECT_TRUE(all_zero(gradient.padding())) << "lanes past the batch of dz";
                if (needs_input_gradient) {
                    expect_close(input_gradient.values().values, want.x.values, input_tolerance, "input gradient");
                    EXPECT_TRUE(all_zero(input_gradient.padding())) << "lanes past the batch of dx";
                }
                oracle::DenseLayer after = before;
                after.weights = oracle::updated(before.weights, want.weights, plain, before.edge);
                after.bias = oracle::updated(before.bias, want.bias, plain);
                after.activation_parameters =
                    oracle::updated(before.activation_parameters, want.activation_parameters, plain);
                expect_close(stored(*device, 0), after, nullptr, update_tolerance);
            }
        }
    }
}

TEST_P(Backward, OutputSavedInPlaceGivesTheSameBits) {
    for (const auto& activation : alternatives<Activation>()) {
        if (saves_input(activation)) continue;
        for (const auto& shape : awkward_shapes()) {
            SCOPED_TRACE(rule_text(activation) + ", " + printed(shape));
            TestRandom random(shape.batch);
            const Layer layer = test_layer(shape, activation, 0, random);
            const DeviceMatrix input(backend(), random_matrix(shape.inputs, shape.batch, 1, random));
            const auto dy = random_matrix(shape.outputs, shape.batch, 1, random);
            const auto now = device_scalars(backend(), scalars_of(plain));
            const auto pass = [&](bool in_place) {
                const auto device = backend().load(layer, {true, Sgd{}});
                const DeviceMatrix output(backend(), shape.outputs, shape.batch);
                const DeviceMatrix own(backend(), shape.outputs, shape.batch);
                const DeviceMatrix& saved = in_place ? output : own;
                const DeviceMatrix gradient(backend(), dy);
                const DeviceMatrix input_gradient(backend(), shape.inputs, shape.batch);
                backend().forward(*device, input, saved, output);
                backend().backward(*device, input, saved, gradient, input_gradient, now.data());
                return Pass{gradient.values(), input_gradient.values(), stored(*device, 0)};
            };
            const Pass one = pass(true);
            const Pass other = pass(false);
            EXPECT_EQ(one.dz.values, other.dz.values);
            EXPECT_EQ(one.dx.values, other.dx.values);
            EXPECT_EQ(one.after.weights.values, other.after.weights.values);
            EXPECT_EQ(one.after.bias.values, other.after.bias.values);
        }
    }
}

TEST_P(Backward, TheNextForwardUsesTheUpdatedWeights) {
    for (const auto& shape : awkward_shapes()) {
        SCOPED_TRACE(printed(shape));
        TestRandom random(shape.inputs);
        const auto device = backend().load(test_layer(shape, Identity{}, 0, random), {true, Sgd{}});
        const auto x = random_matrix(shape.inputs, shape.batch, 1, random);
        const DeviceMatrix input(backend(), x);
        const DeviceMatrix output(backend(), shape.outputs, shape.batch);
        const DeviceMatrix gradient(backend(), random_matrix(shape.outputs, shape.batch, 0.1, random));
        const DeviceMatrix input_gradient(backend(), shape.inputs, shape.batch);
        const auto now = device_scalars(backend(), scalars_of(plain));
        backend().forward(*device, input, output, output);
        backend().backward(*device, input, output, gradient, input_gradient, now.data());
        backend().forward(*device, input, output, output);
        const auto want = oracle::forward(stored(*device, 0), x);
        expect_close(output.values().values, want.y.values, {2e-5, 2e-6}, "output after the update");
    }
}

TEST_P(Backward, HandComputedFirstStep) {
    // W = [1 0.5; -2 1; 0 4] (the 0 is no edge), b = 0, relu, x = (2, 1): z = (2.5, -3, 4), y = (2.5, 0, 4)
    // dy = (1, 7, -0.5): dz = (1, 0, -0.5)
    // dx = (1 * 1, 1 * 0.5 - 0.5 * 4) = (1, -1.5), by the weights from before the update
    // dW = [2 1; 0 0; . -0.5], db = (1, 0, -0.5); with learning rate 0.5:
    // W = [0 0; -2 1; . 4.25], b = (-0.5, 0, 0.25)
    Layer layer;
    layer.num_inputs = 2;
    layer.num_outputs = 3;
    layer.activation = Relu{};
    layer.topology = Topology{2, 3, {0, 2, 4, 5}, {0, 1, 0, 1, 1}};
    layer.weights = {1, 0.5F, -2, 1, 4};
    layer.bias = {0, 0, 0};
    const auto device = backend().load(layer, {true, Sgd{}});
    oracle::Matrix x(2, 1);
    x.values = {2, 1};
    oracle::Matrix dy(3, 1);
    dy.values = {1, 7, -0.5};
    const DeviceMatrix input(backend(), x);
    const DeviceMatrix output(backend(), 3, 1);
    const DeviceMatrix gradient(backend(), dy);
    const DeviceMatrix input_gradient(backend(), 2, 1);
    const auto now = device_scalars(backend(), scalars_of({Sgd{}, Coupled{}, 0.5, 0, 1}));
    backend().forward(*device, input, output, output);
    EXPECT_EQ(output.values().values, (std::vector<double>{2.5, 0, 4}));
    backend().backward(*device, input, output, gradient, input_gradient, now.data());
    EXPECT_EQ(gradient.values().values, (std::vector<double>{1, 0, -0.5}));
    EXPECT_EQ(input_gradient.values().values, (std::vector<double>{1, -1.5}));
    const Layer after = backend().store(*device);
    EXPECT_EQ(after.weights, (std::vector<float>{0, 0, -2, 1, 4.25F}));
    EXPECT_EQ(after.bias, (std::vector<float>{-0.5F, 0, 0.25F}));
}

}  // namespace
}  // namespace espalier
