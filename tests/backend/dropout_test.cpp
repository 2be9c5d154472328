// Dropout masks: inverted scaling, the same mask at every call, independent across steps, layers and seeds, the right
// share; on every backend.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "backend_fixture.hpp"
#include "espalier/common/dropout_mask.hpp"
#include "same_network.hpp"

namespace espalier {
namespace {

class DropoutMasks : public BackendTest {
protected:
    /// The mask as a [neuron][sample] matrix: dropout applied to ones.
    [[nodiscard]] oracle::Matrix mask(std::size_t rows, std::size_t batch, float rate, std::uint64_t seed,
                                      std::uint32_t layer, std::uint32_t step) const {
        const DeviceMatrix values(backend(), oracle::Matrix(rows, batch, 1));
        StepScalars scalars;
        scalars.step = step;
        const auto now = device_scalars(backend(), scalars);
        backend().dropout(values, rate, seed, layer, now.data());
        return values.values();
    }
};
INSTANTIATE_TEST_SUITE_P(Backends, DropoutMasks, ::testing::ValuesIn(available_backends()), backend_test_name);

TEST_P(DropoutMasks, KeepsTheRightShareScaledUp) {
    for (const float rate : {0.1F, 0.3F, 0.5F, 0.9F}) {
        constexpr std::size_t rows = 150;
        constexpr std::size_t batch = 200;
        const auto values = mask(rows, batch, rate, 3, 1, 17);
        const double p = rate;
        double dropped = 0;
        for (std::size_t j = 0; j < rows; ++j) {
            double dropped_here = 0;
            for (std::size_t s = 0; s < batch; ++s) {
                if (values(j, s) != 0) {
                    ASSERT_NEAR(values(j, s), 1 / (1 - p), 1e-5) << "kept values are scaled up";
                }
                dropped_here += values(j, s) == 0 ? 1 : 0;
            }
            EXPECT_NEAR(dropped_here, p * batch, 6 * std::sqrt(batch * p * (1 - p))) << "neuron " << j;
            dropped += dropped_here;
        }
        const double cells = rows * batch;
        EXPECT_NEAR(dropped, p * cells, 5 * std::sqrt(cells * p * (1 - p))) << "rate " << rate;
    }
}

TEST_P(DropoutMasks, MultipliesAndRateZeroChangesNothing) {
    TestRandom random(2);
    const auto x = random_matrix(7, 65, 3, random);
    const auto now = device_scalars(backend(), {});
    const DeviceMatrix values(backend(), x);
    backend().dropout(values, 0, 1, 0, now.data());
    EXPECT_EQ(values.values().values, x.values);
    const auto factors = mask(7, 65, 0.25F, 1, 0, 0);
    backend().dropout(values, 0.25F, 1, 0, now.data());
    const auto got = values.values();
    for (std::size_t i = 0; i < x.values.size(); ++i) {
        EXPECT_NEAR(got.values[i], x.values[i] * factors.values[i], 1e-6) << i;
    }
    for (const float each : values.padding()) EXPECT_EQ(each, 0.0F) << "zero lanes stay zero";
}

TEST_P(DropoutMasks, DependsOnSeedLayerStepNeuronAndSampleAlone) {
    const auto one = mask(30, 200, 0.5F, 3, 1, 17);
    const DropoutMask promised(0.5F, Stream{3, Purpose::dropout, 1, 17});
    for (Index j = 0; j < 30; ++j) {
        for (Index s = 0; s < 200; ++s) ASSERT_EQ(one(j, s), promised.factor(j, s)) << j << ' ' << s;
    }
    EXPECT_EQ(mask(30, 200, 0.5F, 3, 1, 17).values, one.values) << "the backward pass sees the same mask";
    // independent masks at rate 1/2 agree on half of 6,000 cells: deviation 0.65 %
    EXPECT_NEAR(agreement(mask(30, 200, 0.5F, 4, 1, 17), one), 0.5, 0.04) << "seed";
    EXPECT_NEAR(agreement(mask(30, 200, 0.5F, 3, 2, 17), one), 0.5, 0.04) << "layer";
    EXPECT_NEAR(agreement(mask(30, 200, 0.5F, 3, 1, 18), one), 0.5, 0.04) << "step";
    const auto smaller = mask(30, 65, 0.5F, 3, 1, 17);
    for (std::size_t j = 0; j < 30; ++j) {
        for (std::size_t s = 0; s < 65; ++s) {
            ASSERT_EQ(smaller(j, s), one(j, s)) << "a smaller batch: neuron " << j << ", sample " << s;
        }
    }
}

/// What a step of one layer leaves, as it lies in memory.
struct DropoutStep {
    std::vector<float> y, dy, dx;
    Layer after;
};

DropoutStep step_of(Backend& backend, const Layer& layer, Index batch, float rate, bool in_one) {
    TestRandom random(batch);
    const auto device = backend.load(layer, {true, Momentum{}});
    const DeviceMatrix x(backend, random_matrix(layer.num_inputs, batch, 2, random));
    const DeviceMatrix dy(backend, random_matrix(layer.num_outputs, batch, 2, random));
    const DeviceMatrix saved(backend, layer.num_outputs, batch);
    const DeviceMatrix y(backend, layer.num_outputs, batch);
    const DeviceMatrix dx(backend, layer.num_inputs, batch);
    Buffer<std::uint64_t> mask(backend, dropout_words(y.view()));
    const auto now = device_scalars(backend, scalars_of({Momentum{}, Coupled{}, 0.02, 1e-3, 5}));
    const Dropout dropout{in_one ? rate : 0, 7, 3, now.data(), mask.data()};
    backend.forward(*device, x, saved, y, dropout);
    if (!in_one) backend.dropout(y, rate, 7, 3, now.data());
    if (!in_one) backend.dropout(dy, rate, 7, 3, now.data());
    backend.backward(*device, x, saved, dy, dx, now.data(), dropout);
    const auto of_samples = [&](const DeviceMatrix& from) {
        const auto values = from.values().values;
        return std::vector<float>(values.begin(), values.end());
    };
    return {of_samples(y), of_samples(dy), of_samples(dx), backend.store(*device)};
}

TEST_P(DropoutMasks, WithinAStepIsTheMaskOnOutputAndGradientToTheBit) {
    TestRandom random(4);
    for (const Index batch : {1U, 10U, 33U, 48U, 65U, 128U}) {
        for (const Activation& activation : {Activation(Relu{}), Activation(SRelu{}), Activation(Tanh{})}) {
            for (const double density : {0.2, -1.0}) {
                SCOPED_TRACE(printed(batch) + (density < 0 ? " dense" : " sparse"));
                const Layer layer = test_layer({83, 211, density, batch}, activation, 1, random);
                const DropoutStep got = step_of(backend(), layer, batch, 0.3F, true);
                const DropoutStep want = step_of(backend(), layer, batch, 0.3F, false);
                EXPECT_TRUE(same_bits(got.y, want.y)) << "outputs";
                EXPECT_TRUE(same_bits(got.dy, want.dy)) << "gradients";
                EXPECT_TRUE(same_bits(got.dx, want.dx)) << "gradients by the input";
                expect_identical(got.after, want.after);
                EXPECT_NE(std::count(got.y.begin(), got.y.end(), 0.0F), 0);
            }
        }
    }
}

TEST_P(DropoutMasks, OfAStepWantsItsMask) {
    TestRandom random(5);
    const auto layer = backend().load(test_layer({3, 4, 1, 2}, Relu{}, 0, random), {true, Sgd{}});
    const DeviceMatrix x(backend(), 3, 2), saved(backend(), 4, 2), y(backend(), 4, 2);
    const auto now = device_scalars(backend(), {});
    Buffer<std::uint64_t> mask(backend(), dropout_words(y.view()));
    EXPECT_THROW(backend().forward(*layer, x, saved, y, {0.5F, 1, 0, now.data(), nullptr}), std::logic_error);
    EXPECT_THROW(backend().forward(*layer, x, saved, y, {0.5F, 1, 0, nullptr, mask.data()}), std::logic_error);
    EXPECT_THROW(backend().forward(*layer, x, saved, y, {1.0F, 1, 0, now.data(), mask.data()}), std::logic_error);
}

TEST_P(DropoutMasks, NeuronsAndSamplesAreIndependent) {
    const auto values = mask(100, 200, 0.5F, 8, 0, 1);
    for (std::size_t j = 0; j + 1 < 100; ++j) {
        std::size_t same = 0;
        for (std::size_t s = 0; s < 200; ++s) same += values(j, s) == values(j + 1, s) ? 1 : 0;
        EXPECT_NEAR(static_cast<double>(same), 100, 6 * std::sqrt(50.0)) << "neurons " << j << " and next";
    }
    for (std::size_t s = 0; s + 1 < 200; ++s) {
        std::size_t same = 0;
        for (std::size_t j = 0; j < 100; ++j) same += values(j, s) == values(j, s + 1) ? 1 : 0;
        EXPECT_NEAR(static_cast<double>(same), 50, 6 * std::sqrt(25.0)) << "samples " << s << " and next";
    }
}

}  // namespace
}  // namespace espalier
