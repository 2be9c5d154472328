// Forward passes of every activation and shape against the oracle, on every backend.
#include "alternatives.hpp"
#include "backend_fixture.hpp"

namespace espalier {
namespace {

class Forward : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Backends, Forward, ::testing::ValuesIn(available_backends()), backend_test_name);

// Preactivations of test layers are exact in a float; what remains is the activation's own error.
constexpr Tolerance tolerance{3e-7, 3e-7};

TEST_P(Forward, EveryActivationAndShapeAgreesWithTheOracle) {
    for (const auto& activation : alternatives<Activation>()) {
        for (const auto& shape : awkward_shapes()) {
            for (const bool needs_input_gradient : {false, true}) {
                SCOPED_TRACE(rule_text(activation) + ", " + printed(shape));
                TestRandom random(shape.batch + shape.inputs);
                const Layer layer = test_layer(shape, activation, 0, random);
                const auto x = grid_matrix(shape.inputs, shape.batch, 2, 1.0 / 16, random);
                const auto device = backend().load(layer, {needs_input_gradient, Sgd{}});
                const DeviceMatrix input(backend(), x);
                const DeviceMatrix saved(backend(), shape.outputs, shape.batch);
                const DeviceMatrix output(backend(), shape.outputs, shape.batch);
                backend().forward(*device, input, saved, output);
                const auto want = oracle::forward(oracle::dense(layer, 0), x);
                expect_close(output.values().values, want.y.values, tolerance, "output");
                const bool preactivation = saves_input(activation);
                expect_close(saved.values().values, preactivation ? want.z.values : want.y.values,
                             preactivation ? Tolerance{} : tolerance, "saved");
            }
        }
    }
}

TEST_P(Forward, EvaluationEqualsTrainingAndOutputMayBeSavedInPlace) {
    for (const auto& activation : alternatives<Activation>()) {
        for (const auto& shape : awkward_shapes()) {
            SCOPED_TRACE(rule_text(activation) + ", " + printed(shape));
            TestRandom random(shape.outputs);
            // full mantissas: any difference in the order of a sum would show
            const auto x = random_matrix(shape.inputs, shape.batch, 1, random);
            const auto device = backend().load(test_layer(shape, activation, 0, random), {true, Sgd{}});
            const DeviceMatrix input(backend(), x);
            const DeviceMatrix saved(backend(), shape.outputs, shape.batch);
            const DeviceMatrix trained(backend(), shape.outputs, shape.batch);
            const DeviceMatrix evaluated(backend(), shape.outputs, shape.batch);
            backend().forward(*device, input, saved, trained);
            backend().forward(*device, input, {}, evaluated);
            EXPECT_EQ(evaluated.values().values, trained.values().values);
            if (saves_input(activation)) continue;
            const DeviceMatrix both(backend(), shape.outputs, shape.batch);
            backend().forward(*device, input, both, both);
            EXPECT_EQ(both.values().values, trained.values().values);
        }
    }
}

TEST_P(Forward, ASampleDoesNotDependOnItsBatch) {
    TestRandom random(9);
    for (const double density : {0.2, -1.0}) {
        const auto device = backend().load(test_layer({70, 30, density}, Tanh{}, 0, random), {true, Sgd{}});
        const auto x = random_matrix(70, 200, 1, random);
        const DeviceMatrix input(backend(), x);
        const DeviceMatrix output(backend(), 30, 200);
        backend().forward(*device, input, {}, output);
        const auto together = output.values();
        for (const std::size_t sample : {0U, 63U, 64U, 130U, 199U}) {
            oracle::Matrix one(70, 1);
            for (std::size_t i = 0; i < 70; ++i) one(i, 0) = x(i, sample);
            const DeviceMatrix alone(backend(), one);
            const DeviceMatrix alone_output(backend(), 30, 1);
            backend().forward(*device, alone, {}, alone_output);
            const auto values = alone_output.values();
            for (std::size_t j = 0; j < 30; ++j) {
                EXPECT_NEAR(values(j, 0), together(j, sample), 1e-6) << "sample " << sample << " neuron " << j;
            }
        }
    }
}

TEST_P(Forward, HandComputedNetwork) {
    // W = [1 2 -1; 0.5 0 1], b = (0.25, -3), x = (1, 2, 3): z = (1 + 4 - 3 + 0.25, 0.5 + 3 - 3) = (2.25, 0.5)
    //                                         x = (-1, 0, 1): z = (-1 - 1 + 0.25, -0.5 + 1 - 3) = (-1.75, -2.5)
    Layer layer;
    layer.num_inputs = 3;
    layer.num_outputs = 2;
    layer.activation = LeakyRelu{0.5F};
    layer.topology = Topology{3, 2, {0, 3, 5}, {0, 1, 2, 0, 2}};
    layer.weights = {1, 2, -1, 0.5F, 1};
    layer.bias = {0.25F, -3};
    const auto device = backend().load(layer, {true, Sgd{}});
    oracle::Matrix x(3, 2);
    x.values = {1, -1, 2, 0, 3, 1};
    const DeviceMatrix input(backend(), x);
    const DeviceMatrix output(backend(), 2, 2);
    backend().forward(*device, input, {}, output);
    EXPECT_EQ(output.values().values, (std::vector<double>{2.25, -0.875, 0.5, -1.25}));
}

TEST_P(Forward, StoreGivesBackWhatWasLoaded) {
    for (const auto& optimizer : alternatives<Optimizer>()) {
        for (const auto& activation : {Activation{Relu{}}, Activation{SRelu{}}, Activation{AllRelu{-0.25F}}}) {
            for (const auto& shape : awkward_shapes()) {
                for (const bool needs_input_gradient : {false, true}) {
                    SCOPED_TRACE(rule_text(optimizer) + ", " + rule_text(activation) + ", " + printed(shape));
                    TestRandom random(shape.inputs);
                    Layer layer = test_layer(shape, activation, num_states(optimizer), random);
                    float count = 0;  // every number of the optimizer's memory a different one
                    for (auto* states : {&layer.weight_state, &layer.bias_state, &layer.activation_state}) {
                        for (auto& state : *states) {
                            for (float& each : state) each = ++count / 8;
                        }
                    }
                    const auto device = backend().load(layer, {needs_input_gradient, optimizer});
                    expect_identical(backend().store(*device), layer);
                    backend().reset_state(*device);
                    for (auto* states : {&layer.weight_state, &layer.bias_state, &layer.activation_state}) {
                        for (auto& state : *states) std::fill(state.begin(), state.end(), 0.0F);
                    }
                    expect_identical(backend().store(*device), layer);
                }
            }
        }
    }
}

}  // namespace
}  // namespace espalier
