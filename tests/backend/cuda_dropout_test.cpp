// Dropout within the products beside it: the bits of the verbs one by one, whatever multiplies.
#include <gtest/gtest.h>

#include "backend_fixture.hpp"

namespace espalier {
namespace {

class CudaDropout : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Backends, CudaDropout, ::testing::ValuesIn(cuda_backends()), backend_test_name);

constexpr std::uint64_t seed = 11;
constexpr float rate = 0.3F;

struct Step {
    std::vector<float> hidden;
    std::vector<float> y;
    std::vector<float> dx;
    Layer below;
    Layer above;
};

/// A step of two layers, between which units are dropped; `apart`: by a verb of its own.
Step step(const std::string& name, const Activation& activation, Spmm spmm, Index batch, bool saved_apart, bool apart) {
    const auto backend = backend_for_test(name, 1);
    TestRandom random(4);
    const LayerUse use{true, Momentum{0.5F}, spmm, batch};
    const auto below = backend->load(test_layer({70, 90, 0.2, batch}, activation, 1, random), use);
    const auto above = backend->load(test_layer({90, 40, 0.3, batch}, Identity{}, 1, random), use);
    const DeviceMatrix x(*backend, random_matrix(70, batch, 1, random));
    const DeviceMatrix dy(*backend, random_matrix(40, batch, 1, random));
    const DeviceMatrix hidden(*backend, 90, batch);
    const DeviceMatrix saved(*backend, 90, batch);
    const DeviceMatrix y(*backend, 40, batch);
    const DeviceMatrix dh(*backend, 90, batch);
    const DeviceMatrix dx(*backend, 70, batch);
    StepScalars scalars;
    scalars.step = 3;
    scalars.update.learning_rate = 0.01F;
    const auto now = device_scalars(*backend, scalars);
    const Buffer<std::uint64_t> mask(*backend, dropout_words(hidden));
    const Dropout dropout{rate, seed, 2, now.data(), mask.data()};
    const Dropout within = apart ? Dropout{} : dropout;
    const auto drop = [&](const DeviceMatrix& values) {
        if (apart) backend->dropout(values, rate, seed, 2, now.data());
    };
    const Activations kept = saved_apart ? Activations(saved) : Activations(hidden);
    backend->run([&] {
        backend->forward(*below, x, kept, hidden, within);
        drop(hidden);
        backend->forward(*above, hidden, y, y);
        backend->backward(*above, hidden, y, dy, dh, now.data());
        drop(dh);
        backend->backward(*below, x, kept, dh, dx, now.data(), within);
    });
    return {hidden.raw(), y.raw(), dx.raw(), backend->store(*below), backend->store(*above)};
}

TEST_P(CudaDropout, WithinProductsHasTheBitsOfItself) {
    for (const Activation& activation : {Activation{Relu{}}, Activation{Tanh{}}, Activation{SRelu{}}, Activation{Identity{}}}) {
        for (const Spmm spmm : {Spmm::gather, Spmm::panel, Spmm::coo}) {
            for (const Index batch : {50U, 300U}) {
                const bool in_place = std::holds_alternative<Relu>(activation);
                for (const bool saved_apart : {true, !in_place}) {
                    SCOPED_TRACE(std::to_string(activation.index()) + ", " + std::to_string(batch));
                    const Step apart = step(GetParam(), activation, spmm, batch, saved_apart, true);
                    const Step within = step(GetParam(), activation, spmm, batch, saved_apart, false);
                    EXPECT_EQ(within.hidden, apart.hidden);
                    EXPECT_EQ(within.y, apart.y);
                    EXPECT_EQ(within.dx, apart.dx);
                    expect_identical(within.below, apart.below);
                    expect_identical(within.above, apart.above);
                }
            }
        }
    }
}

}  // namespace
}  // namespace espalier
