// What only the CPU backend promises: the same bits for any number of threads, and every instruction set right.
#include "host/cpu/cpu_backend.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "backend_fixture.hpp"
#include "espalier/common/dropout_mask.hpp"
#include "espalier/error.hpp"
#include "host/cpu/kernels/simd_targets.hpp"
#include "hwy/highway.h"

namespace espalier {
namespace {

/// A small network with data, and all that is compared after some steps of training it.
struct Training {
    std::vector<Layer> layers;
    std::vector<std::vector<float>> gradients;
    Metrics metrics;
};

struct TrainingCase {
    std::vector<Index> widths;
    Index batch = 1;
    Activation activation;
    Optimizer optimizer;
};

Samples upload_samples(Backend& backend, Index features, std::vector<Buffer<std::uint8_t>>& bytes,
                       std::vector<Buffer<std::int32_t>>& labels, Index classes) {
    constexpr std::uint32_t count = 300;
    TestRandom random(5);
    std::vector<std::uint8_t> pixel(std::size_t{count} * features);
    for (auto& value : pixel) value = static_cast<std::uint8_t>(random() % 256);
    std::vector<std::int32_t> label(count);
    for (auto& value : label) value = static_cast<std::int32_t>(random() % classes);
    bytes.emplace_back(backend, pixel.size()).upload(pixel.data());
    labels.emplace_back(backend, label.size()).upload(label.data());
    Samples samples;
    samples.bytes = bytes.back().data();
    samples.labels = labels.back().data();
    samples.count = count;
    samples.features = features;
    samples.factor[0] = 1.0F / 128;
    samples.offset[0] = -1;
    return samples;
}

/// The last layer but one is dense and large enough for the matrix products, the last dense and small.
std::vector<Layer> initial_layers(const TrainingCase& what) {
    TestRandom random(7);
    std::vector<Layer> layers;
    for (std::size_t l = 0; l + 1 < what.widths.size(); ++l) {
        const bool last = l + 2 == what.widths.size();
        const double density = l + 3 >= what.widths.size() ? -1 : 0.2;
        layers.push_back(test_layer({what.widths[l], what.widths[l + 1], density, what.batch},
                                    last ? Activation(Identity{}) : in_layer(what.activation, static_cast<Index>(l)),
                                    num_states(what.optimizer), random));
        for (float& weight : layers.back().weights) weight /= 8;  // or else it diverges and magnifies every rounding
    }
    return layers;
}

Training train(const TrainingCase& what, int threads) {
    const auto backend = make_cpu_backend(threads);
    std::vector<Buffer<std::uint8_t>> bytes;
    std::vector<Buffer<std::int32_t>> stored_labels;
    const Samples samples = upload_samples(*backend, what.widths.front(), bytes, stored_labels, what.widths.back());
    const std::vector<Layer> initial = initial_layers(what);
    std::vector<std::unique_ptr<DeviceLayer>> layers;
    std::vector<DeviceMatrix> y;
    std::vector<DeviceMatrix> saved;
    std::vector<DeviceMatrix> dy;
    for (const Index width : what.widths) {
        y.emplace_back(*backend, width, what.batch);
        saved.emplace_back(*backend, width, what.batch);
        dy.emplace_back(*backend, width, what.batch);
    }
    for (std::size_t l = 0; l < initial.size(); ++l) {
        layers.push_back(backend->load(initial[l], {l > 0, what.optimizer}));
    }
    Buffer<std::int32_t> labels(*backend, std::size_t{y[0].view().tiles()} * backend->lanes());
    Buffer<StepScalars> scalars(*backend, 4);
    std::vector<StepScalars> steps(4);
    for (std::uint32_t s = 0; s < 4; ++s) {
        steps[s] = {update_step(what.optimizer, Coupled{}, 0.05, 0.01, s + 1), s / 2, s};
    }
    scalars.upload(steps.data());
    for (std::uint32_t s = 0; s < 4; ++s) {
        const StepScalars* step = scalars.data() + s;
        backend->gather(samples, {(s % 2) * 64, what.batch, true, 3}, y[0], labels.data(), step);
        for (std::size_t l = 0; l < layers.size(); ++l) {
            backend->forward(*layers[l], y[l], saved[l + 1], y[l + 1]);
            if (l + 1 < layers.size()) backend->dropout(y[l + 1], 0.3F, 9, static_cast<std::uint32_t>(l), step);
        }
        backend->loss(SoftmaxNll{}, y.back(), labels.data(), dy.back());
        for (std::size_t l = layers.size(); l-- > 0;) {
            backend->backward(*layers[l], y[l], saved[l + 1], dy[l + 1], l > 0 ? dy[l].view() : Activations{}, step);
            if (l > 0) backend->dropout(dy[l], 0.3F, 9, static_cast<std::uint32_t>(l - 1), step);
        }
    }
    Training result;
    result.metrics = backend->metrics();
    for (const auto& layer : layers) result.layers.push_back(backend->store(*layer));
    for (std::size_t l = 1; l < dy.size(); ++l) result.gradients.push_back(dy[l].raw());
    return result;
}

void expect_same_bits(const std::vector<float>& got, const std::vector<float>& want, Index batch, const char* what) {
    ASSERT_EQ(got.size(), want.size());
    const Index lanes = 64;
    const std::size_t tile_floats = got.size() / ((batch + lanes - 1) / lanes);
    for (std::size_t i = 0; i < got.size(); ++i) {
        if (i / tile_floats * lanes + i % lanes >= batch) continue;  // not a sample
        ASSERT_EQ(std::memcmp(&got[i], &want[i], sizeof(float)), 0)
            << what << " differs at " << i << ": " << got[i] << " and " << want[i];
    }
}

class CpuThreads : public testing::TestWithParam<TrainingCase> {};

TEST_P(CpuThreads, DoNotChangeABit) {
    const Training alone = train(GetParam(), 1);
    EXPECT_EQ(alone.metrics.samples, 4U * GetParam().batch);
    EXPECT_EQ(alone.metrics.batches, 4U);
    EXPECT_TRUE(std::isfinite(alone.metrics.batch_loss_sum));
    for (const int threads : {2, 3, 8}) {
        SCOPED_TRACE(threads);
        const Training together = train(GetParam(), threads);
        for (std::size_t l = 0; l < alone.layers.size(); ++l) expect_identical(together.layers[l], alone.layers[l]);
        for (std::size_t l = 0; l < alone.gradients.size(); ++l) {
            expect_same_bits(together.gradients[l], alone.gradients[l], GetParam().batch, "a gradient");
        }
        EXPECT_EQ(together.metrics.sample_loss_sum, alone.metrics.sample_loss_sum);
        EXPECT_EQ(together.metrics.batch_loss_sum, alone.metrics.batch_loss_sum);
        EXPECT_EQ(together.metrics.confidence_sum, alone.metrics.confidence_sum);
        EXPECT_EQ(together.metrics.wrong_confidence_sum, alone.metrics.wrong_confidence_sum);
        EXPECT_EQ(together.metrics.correct, alone.metrics.correct);
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CpuThreads,
                         testing::Values(TrainingCase{{33, 200, 150, 120, 10}, 128, Relu{}, Momentum{0.5F}},
                                         TrainingCase{{17, 130, 131, 130, 7}, 96, SRelu{}, Adam{}},
                                         TrainingCase{{21, 70, 300, 60, 5}, 40, AllRelu{}, Nesterov{}},
                                         TrainingCase{{5, 9, 2100, 9, 3}, 2, Tanh{}, Sgd{}},
                                         TrainingCase{{64, 1300, 40, 450, 4}, 200, LeakyRelu{}, RmsProp{}}),
                         [](const auto& shape) { return "Batch" + std::to_string(shape.param.batch); });

/// Makes the kernels use one instruction set while it lives.
class OnlyTarget {
public:
    explicit OnlyTarget(std::int64_t target) { choose(target); }
    ~OnlyTarget() { choose(0); }
    OnlyTarget(const OnlyTarget&) = delete;
    OnlyTarget& operator=(const OnlyTarget&) = delete;

private:
    static void choose(std::int64_t target) {
        hwy::SetSupportedTargetsForTest(target);
        hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    }
};

TEST(CpuTargets, EveryInstructionSetTrainsAlike) {
    const TrainingCase what{{33, 200, 150, 120, 10}, 100, Relu{}, Momentum{0.5F}};
    const Training best = train(what, 1);
    std::vector<std::string> descriptions;
    for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
        SCOPED_TRACE(hwy::TargetName(target));
        const OnlyTarget only(target);
        descriptions.push_back(make_cpu_backend(1)->describe());
        const std::string begins = std::string("cpu: ") + hwy::TargetName(target) + ", 1 thread; dense: ";
        EXPECT_EQ(descriptions.back().substr(0, begins.size()), begins);
        const Training trained = train(what, 2);
        EXPECT_NEAR(trained.metrics.batch_loss_sum, best.metrics.batch_loss_sum, 1e-5);
        for (std::size_t l = 0; l < best.layers.size(); ++l) {
            for (std::size_t i = 0; i < best.layers[l].weights.size(); ++i) {
                ASSERT_NEAR(trained.layers[l].weights[i], best.layers[l].weights[i], 2e-5) << "layer " << l;
            }
        }
    }
    EXPECT_FALSE(descriptions.empty());
}

TEST(CpuGather, TakesTheShuffledSamplesAndClearsTheRest) {
    const auto backend = make_cpu_backend(2);
    for (const Index features : {1U, 15U, 16U, 50U, 784U}) {
        std::vector<Buffer<std::uint8_t>> bytes;
        std::vector<Buffer<std::int32_t>> stored_labels;
        Samples samples = upload_samples(*backend, features, bytes, stored_labels, 10);
        samples.channels = features % 5 == 0 ? 5 : 1;
        if (samples.channels == 5) samples.channels = features == 50 ? 2 : 1;
        samples.factor[1] = 0.5F;
        samples.offset[1] = 3;
        const Index batch = 75;
        DeviceMatrix x(*backend, features, batch);
        Buffer<std::int32_t> labels(*backend, 128);
        Buffer<StepScalars> step(*backend, 1);
        StepScalars scalars;
        scalars.epoch = 4;
        step.upload(&scalars);
        backend->gather(samples, {11, batch, true, 6}, x, labels.data(), step.data());
        const std::vector<float> raw = x.raw();
        std::vector<std::int32_t> label(128);
        labels.download(label.data());
        const Permutation order(samples.count, Stream{6, Purpose::shuffle, 0, 4});
        for (Index lane = 0; lane < 128; ++lane) {
            const std::uint64_t sample = lane < batch ? order(11 + lane) : 0;
            EXPECT_EQ(label[lane], lane < batch ? samples.labels[sample] : -1);
            for (Index f = 0; f < features; ++f) {
                const Index channel = f / (features / samples.channels);
                const float value = samples.bytes[sample * features + f];
                const float want = std::fma(value, samples.factor[channel], samples.offset[channel]);
                const std::size_t at = (std::size_t{lane / 64} * features + f) * 64 + lane % 64;
                ASSERT_FLOAT_EQ(raw[at], lane < batch ? want : 0.0F) << "feature " << f << ", lane " << lane;
            }
        }
    }
}

TEST(CpuGather, FloatsComeAsBytesDo) {
    const auto backend = make_cpu_backend(1);
    std::vector<Buffer<std::uint8_t>> bytes;
    std::vector<Buffer<std::int32_t>> stored_labels;
    Samples samples = upload_samples(*backend, 37, bytes, stored_labels, 10);
    std::vector<float> values(samples.bytes, samples.bytes + std::size_t{samples.count} * 37);
    Buffer<float> floats(*backend, values.size());
    floats.upload(values.data());
    DeviceMatrix from_bytes(*backend, 37, 20);
    DeviceMatrix from_floats(*backend, 37, 20);
    Buffer<std::int32_t> labels(*backend, 64);
    backend->gather(samples, {100, 20, false, 0}, from_bytes, labels.data(), nullptr);
    samples.bytes = nullptr;
    samples.floats = floats.data();
    backend->gather(samples, {100, 20, false, 0}, from_floats, labels.data(), nullptr);
    EXPECT_EQ(from_bytes.raw(), from_floats.raw());
}

TEST(CpuDropout, AppliesTheMaskOfTheStep) {
    const auto backend = make_cpu_backend(2);
    DeviceMatrix values(*backend, oracle::Matrix(50, 70, 2.0));
    Buffer<StepScalars> step(*backend, 1);
    StepScalars scalars;
    scalars.step = 17;
    step.upload(&scalars);
    backend->dropout(values, 0.25F, 8, 3, step.data());
    const oracle::Matrix got = values.values();
    const DropoutMask mask(0.25F, Stream{8, Purpose::dropout, 3, 17});
    std::size_t kept = 0;
    for (Index neuron = 0; neuron < 50; ++neuron) {
        for (Index sample = 0; sample < 70; ++sample) {
            const float factor = mask.factor(neuron, sample);
            EXPECT_EQ(got(neuron, sample), 2.0 * static_cast<double>(factor));
            kept += factor != 0 ? 1 : 0;
        }
    }
    EXPECT_NEAR(static_cast<double>(kept) / 3500, 0.75, 0.04);
}

TEST(CpuBackend, RefusesWhatItCannotDo) {
    EXPECT_THROW(make_cpu_backend(-1), UserError);
    EXPECT_THROW(make_cpu_backend(1025), UserError);
    const auto backend = make_cpu_backend(1);
    try {
        static_cast<void>(backend->allocate(std::size_t{1} << 63));
        FAIL() << "allocated 8 EiB";
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::device);
        EXPECT_NE(std::string(error.what()).find("9223372036854775808 bytes"), std::string::npos) << error.what();
    }
}

TEST(CpuBackend, AnErrorWithinTheThreadsReachesTheCaller) {
    const auto backend = make_cpu_backend(3);
    DeviceMatrix z(*backend, oracle::Matrix(4, 5, 1.0));
    const Buffer<std::int32_t> labels = device_labels(*backend, {0, 1, 2, 3, 4});  // 4 is no output
    backend->loss(SoftmaxNll{}, z, labels.data(), {});
    EXPECT_THROW(backend->wait(), std::logic_error);
    EXPECT_NO_THROW(backend->wait());
}

TEST(CpuBackend, LayersAndBuffersMayGoWhileWorkIsQueued) {
    const auto backend = make_cpu_backend(2);
    TestRandom random(1);
    const Layer layer = test_layer({40, 30, 0.3, 64}, Relu{}, 1, random);
    DeviceMatrix x(*backend, oracle::Matrix(40, 64, 1.0));
    DeviceMatrix y(*backend, 30, 64);
    {
        const auto loaded = backend->load(layer, {true, Momentum{}});
        backend->forward(*loaded, x, {}, y);
    }
    EXPECT_TRUE(std::isfinite(y.values()(0, 0)));
}

}  // namespace
}  // namespace espalier
