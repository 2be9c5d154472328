// The CPU backend's promise: the same bits for any number of threads, through several epochs of training with dropout,
// pruning and regrowth.
#include <algorithm>
#include <cmath>

#include "alternatives.hpp"
#include "backend_fixture.hpp"

namespace espalier {
namespace {

struct Outcome {
    std::vector<Layer> layers;
    std::vector<Metrics> epochs;
    std::vector<std::uint32_t> evolved;  // pruned and grown counts in order
};

struct Data {
    std::vector<std::uint8_t> bytes;
    std::vector<std::int32_t> labels;
    Index features = 0;
};

Data random_data(std::uint32_t count, Index features, Index classes) {
    TestRandom random(count);
    Data data{{}, random_labels(count, classes, random), features};
    for (std::size_t i = 0; i < std::size_t{count} * features; ++i) {
        data.bytes.push_back(static_cast<std::uint8_t>(random() >> 56));
    }
    return data;
}

struct Run {
    Optimizer optimizer;
    PruneRule prune;
    bool reset_state = true;
    float dropout = 0;
    Index batch = 96;
    std::uint32_t epochs = 3;
};

/// One epoch after another, written directly on the backend's verbs.
Outcome train(int threads, const std::vector<Layer>& layers, const Data& data, const Run& run) {
    const auto backend = backend_for_test("cpu", threads);
    const auto count = static_cast<std::uint32_t>(data.labels.size());
    Buffer<std::uint8_t> bytes(*backend, data.bytes.size());
    bytes.upload(data.bytes.data());
    Buffer<std::int32_t> all_labels(*backend, count);
    all_labels.upload(data.labels.data());
    Samples samples;
    samples.bytes = bytes.data();
    samples.labels = all_labels.data();
    samples.count = count;
    samples.features = data.features;
    samples.factor[0] = 1 / 128.0F;
    samples.offset[0] = -1;

    std::vector<std::unique_ptr<DeviceLayer>> device;
    for (std::size_t l = 0; l < layers.size(); ++l) device.push_back(backend->load(layers[l], {l > 0, run.optimizer}));
    Outcome outcome;
    std::uint64_t t = 0;
    for (std::uint32_t epoch = 0; epoch < run.epochs; ++epoch) {
        for (std::uint32_t first = 0; first < count; first += run.batch) {
            const Index size = std::min<Index>(run.batch, count - first);
            const auto now = device_scalars(*backend, scalars_of({run.optimizer, Coupled{}, 0.02, 1e-3, ++t}, epoch));
            std::vector<DeviceMatrix> values;
            std::vector<DeviceMatrix> saved;
            std::vector<DeviceMatrix> gradients;
            values.emplace_back(*backend, data.features, size);
            const auto labels = device_labels(*backend, std::vector<std::int32_t>(size, 0));
            backend->gather(samples, {first, size, true, 5}, values[0], labels.data(), now.data());
            const std::size_t depth = layers.size();
            std::vector<Buffer<std::uint64_t>> masks;
            const auto dropout_of = [&](std::size_t l) {
                return Dropout{l + 1 < depth ? run.dropout : 0, 5, Index(l), now.data(), masks[l].data()};
            };
            for (std::size_t l = 0; l < depth; ++l) {
                values.emplace_back(*backend, layers[l].num_outputs, size);
                saved.emplace_back(*backend, layers[l].num_outputs, size);
                gradients.emplace_back(*backend, layers[l].num_outputs, size);
                masks.emplace_back(*backend, dropout_words(values[l + 1].view()));
                backend->forward(*device[l], values[l], saved[l], values[l + 1], dropout_of(l));
            }
            backend->loss(SoftmaxNll{}, values[depth], labels.data(), gradients[depth - 1]);
            for (std::size_t l = depth; l-- > 0;) {
                backend->backward(*device[l], values[l], saved[l], gradients[l],
                                  l > 0 ? gradients[l - 1].view() : Activations{}, now.data(), dropout_of(l));
            }
        }
        outcome.epochs.push_back(backend->metrics());
        for (std::size_t l = 0; l < layers.size(); ++l) {
            if (!layers[l].is_sparse()) continue;
            outcome.evolved.push_back(backend->prune(*device[l], {run.prune, 0.3}).total());
            outcome.evolved.push_back(
                backend->regrow(*device[l], {GrowRandom{}, HeNormal{}, run.reset_state, {5, Index(l), epoch}}));
        }
    }
    for (const auto& layer : device) outcome.layers.push_back(backend->store(*layer));
    return outcome;
}

void expect_same(const Outcome& got, const Outcome& want) {
    EXPECT_EQ(got.evolved, want.evolved);
    ASSERT_EQ(got.epochs.size(), want.epochs.size());
    for (std::size_t e = 0; e < want.epochs.size(); ++e) {
        EXPECT_EQ(got.epochs[e].batch_loss_sum, want.epochs[e].batch_loss_sum) << "epoch " << e;
        EXPECT_EQ(got.epochs[e].sample_loss_sum, want.epochs[e].sample_loss_sum) << "epoch " << e;
        EXPECT_EQ(got.epochs[e].confidence_sum, want.epochs[e].confidence_sum) << "epoch " << e;
        EXPECT_EQ(got.epochs[e].wrong_confidence_sum, want.epochs[e].wrong_confidence_sum) << "epoch " << e;
        EXPECT_EQ(got.epochs[e].correct, want.epochs[e].correct) << "epoch " << e;
    }
    for (std::size_t l = 0; l < want.layers.size(); ++l) {
        SCOPED_TRACE("layer " + std::to_string(l));
        expect_identical(got.layers[l], want.layers[l]);
    }
}

void check(const std::vector<Layer>& layers, const Data& data, const Run& run) {
    const Outcome one = train(1, layers, data, run);
    ASSERT_GT(one.evolved.at(0), 0U);
    for (const float w : one.layers[0].weights) ASSERT_TRUE(std::isfinite(w));
    for (const int threads : {2, 3, 8}) {
        SCOPED_TRACE(std::to_string(threads) + " threads");
        expect_same(train(threads, layers, data, run), one);
    }
}

/// Small weights, so that training stays tame.
Layer tame_layer(const Shape& shape, const Activation& activation, const Optimizer& optimizer, TestRandom& random) {
    Layer layer = test_layer(shape, activation, num_states(optimizer), random);
    for (float& w : layer.weights) w /= 8;
    return layer;
}

TEST(Threads, TrainingAndEvolutionGiveTheSameBits) {
    TestRandom random(1);
    const Optimizer optimizer = Momentum{0.9F};
    const std::vector<Layer> layers{tame_layer({211, 173, 0.1}, Relu{}, optimizer, random),
                                    tame_layer({173, 97, 0.2}, Relu{}, optimizer, random),
                                    tame_layer({97, 10, -1}, Identity{}, optimizer, random)};
    check(layers, random_data(500, 211, 10), {optimizer, PruneBySign{}, true, 0, 96, 3});
}

TEST(Threads, WithEveryOptimizerSReluAndDropout) {
    for (const auto& optimizer : alternatives<Optimizer>()) {
        SCOPED_TRACE(rule_text(optimizer));
        TestRandom random(2);
        const std::vector<Layer> layers{tame_layer({61, 47, 0.3}, SRelu{}, optimizer, random),
                                        tame_layer({47, 35, 0.3}, SRelu{}, optimizer, random),
                                        tame_layer({35, 7, 0.5}, Identity{}, optimizer, random)};
        check(layers, random_data(150, 61, 7), {optimizer, PruneByMagnitude{}, false, 0.25F, 65, 2});
    }
}

TEST(Threads, WithLargeDenseLayers) {
    TestRandom random(3);
    const Optimizer optimizer = Adam{};
    const std::vector<Layer> layers{tame_layer({120, 203, 0.2}, Tanh{}, optimizer, random),
                                    tame_layer({203, 190, -1}, Sigmoid{}, optimizer, random),
                                    tame_layer({190, 5, -1}, Identity{}, optimizer, random)};
    check(layers, random_data(200, 120, 5), {optimizer, PruneBySign{}, true, 0, 128, 2});
}

TEST(Threads, EvolutionOfALargeLayer) {
    TestRandom random(4);
    const Layer layer = test_layer({1100, 1000, 0.2}, Relu{}, 1, random);  // 220,000 edges
    const auto evolve = [&](int threads) {
        const auto backend = backend_for_test("cpu", threads);
        const auto device = backend->load(layer, {true, Momentum{}});
        for (std::uint32_t event = 0; event < 3; ++event) {
            backend->prune(*device, {PruneBySign{}, 0.3});
            backend->regrow(*device, {GrowRandom{}, HeNormal{}, true, {5, 0, event}});
        }
        return backend->store(*device);
    };
    const Layer one = evolve(1);
    for (const int threads : {2, 3, 8}) {
        SCOPED_TRACE(std::to_string(threads) + " threads");
        expect_identical(evolve(threads), one);
    }
}

}  // namespace
}  // namespace espalier
