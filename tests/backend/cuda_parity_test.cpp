// The CUDA backend beside the CPU backend on random small shapes: values within a tolerance, topologies and degrees
// exactly equal. Ten thousand shapes on a GPU, some on the CPU.
#include <algorithm>
#include <cstdlib>

#include "alternatives.hpp"
#include "backend_fixture.hpp"

namespace espalier {
namespace {

class CudaParity : public BackendTest {
protected:
    /// ESPALIER_SHAPES where a GPU is at hand for minutes, or a sanitizer makes each of them dear.
    [[nodiscard]] static int num_shapes() {
        if (const char* asked = std::getenv("ESPALIER_SHAPES"); asked != nullptr) return std::max(1, std::atoi(asked));
        return GetParam() == "cuda" ? 10000 : 100;
    }
};

INSTANTIATE_TEST_SUITE_P(Backends, CudaParity, ::testing::ValuesIn(cuda_backends()), backend_test_name);

template <class T>
T one_of(const std::vector<T>& all, TestRandom& random) {
    return all[random() % all.size()];
}

Shape random_shape(TestRandom& random) {
    const auto up_to = [&](Index most) { return 1 + static_cast<Index>(random() % most); };
    const double densities[] = {0, 0.02, 0.1, 0.3, 0.7, 1, -1};
    return {up_to(80), up_to(80), densities[random() % 7], up_to(random() % 4 == 0 ? 300 : 20)};
}

std::vector<double> as_doubles(const std::vector<float>& values) { return {values.begin(), values.end()}; }

/// What a forward and a backward pass with an update of learning rate 1 leave.
struct ParityPass {
    std::vector<double> y, dz, dx;
    Layer after;
};

ParityPass pass(Backend& backend, const Layer& layer, const oracle::Matrix& x, const oracle::Matrix& dy) {
    const auto device = backend.load(layer, {true, Sgd{}});
    const std::size_t batch = x.columns;
    const DeviceMatrix input(backend, x);
    const DeviceMatrix saved(backend, layer.num_outputs, batch);
    const DeviceMatrix output(backend, layer.num_outputs, batch);
    const DeviceMatrix gradient(backend, dy);
    const DeviceMatrix input_gradient(backend, layer.num_inputs, batch);
    const auto now = device_scalars(backend, scalars_of({Sgd{}, Coupled{}, 1, 0, 1}));
    backend.forward(*device, input, saved, output);
    backend.backward(*device, input, saved, gradient, input_gradient, now.data());
    return {output.values().values, gradient.values().values, input_gradient.values().values, backend.store(*device)};
}

TEST_P(CudaParity, PassesOfRandomShapes) {
    const auto cpu = backend_for_test("cpu", 1);
    TestRandom random(11);
    for (int number = 0; number < num_shapes() && !HasFailure(); ++number) {
        const Shape shape = random_shape(random);
        const Activation activation = one_of(alternatives<Activation>(), random);
        SCOPED_TRACE("shape " + std::to_string(number) + ", " + printed(shape) + ", " + rule_text(activation));
        const Layer layer = test_layer(shape, activation, 0, random);
        // preactivations are exact and off every kink (test_layers.hpp), so both take the same branches
        const auto x = grid_matrix(shape.inputs, shape.batch, 2, 1.0 / 16, random);
        const auto dy = random_matrix(shape.outputs, shape.batch, 1, random);
        const ParityPass want = pass(*cpu, layer, x, dy);
        const ParityPass got = pass(backend(), layer, x, dy);
        expect_close(got.y, want.y, {1e-6, 1e-6}, "output");
        expect_close(got.dz, want.dz, {1e-6, 1e-6}, "gradient by the preactivation");
        expect_close(got.dx, want.dx, {1e-5, 4e-6}, "input gradient");
        expect_close(as_doubles(got.after.weights), as_doubles(want.after.weights), {4e-5, 4e-6}, "weights");
        expect_close(as_doubles(got.after.bias), as_doubles(want.after.bias), {4e-5, 4e-6}, "bias");
        expect_close(as_doubles(got.after.activation_parameters), as_doubles(want.after.activation_parameters),
                     {4e-5, 4e-6}, "activation parameters");
    }
}

TEST_P(CudaParity, TopologiesOfRandomShapes) {
    const auto cpu = backend_for_test("cpu", 1);
    TestRandom random(12);
    for (int number = 0; number < num_shapes() && !HasFailure(); ++number) {
        Shape shape = random_shape(random);
        if (shape.density < 0) shape.density = 0.5;
        const PruneRule prune = one_of(alternatives<PruneRule>(), random);
        const WeightLaw law = one_of(alternatives<WeightLaw>(), random);
        const GrowRandom grow{random() % 2 == 1, one_of<double>({1, 0.5}, random)};
        const double zeta = static_cast<double>(random() % 101) / 100;
        const bool reset_state = random() % 2 == 0;
        const std::uint64_t seed = random();
        SCOPED_TRACE("shape " + std::to_string(number) + ", " + printed(shape) + ", " + rule_text(prune) + ", zeta " +
                     std::to_string(zeta));
        Layer layer = test_layer(shape, Relu{}, 1, random);
        for (std::size_t e = 0; e < layer.weights.size(); ++e) layer.weight_state[0][e] = static_cast<float>(e);
        const auto evolved = [&](Backend& each) {
            const auto device = each.load(layer, {true, Momentum{}});
            static_cast<void>(each.prune(*device, {prune, zeta}));
            static_cast<void>(each.regrow(*device, {grow, law, reset_state, {seed, 1, 2}}));
            return std::pair(each.store(*device), each.degrees(*device));
        };
        const auto [want, want_degrees] = evolved(*cpu);
        const auto [got, got_degrees] = evolved(backend());
        expect_identical(got, want);
        EXPECT_EQ(got_degrees.inputs, want_degrees.inputs);
        EXPECT_EQ(got_degrees.outputs, want_degrees.outputs);
    }
}

}  // namespace
}  // namespace espalier
