// Dropout within the products beside it: the bits of the verbs one by one, whatever multiplies.
#include <gtest/gtest.h>

#include <set>
#include <utility>

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
                for (const bool saved_apart : {true, false}) {
                    if (!saved_apart && !in_place) continue;
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

/// A network trained for some steps that a graph replays: its arrays and the scalars of a step lie where they lay.
struct DroppedNetwork {
    Activation activation;
    Spmm spmm = Spmm::gather;
    Index batch = 150;
    Index planned = 150;            // the batch that layers are loaded for
    float rates[2] = {0.3F, 0.5F};  // of both hidden layers
    bool unmasked = false;          // gradients pass dropped units
    bool dense = false;
};

struct DroppedSteps {
    std::vector<std::vector<float>> values;  // of each step: outputs, then gradients, as they lie in memory
    std::vector<Layer> layers;
};

class DroppedChain {
public:
    DroppedChain(Backend& backend, const DroppedNetwork& made, bool apart) : backend_(backend), made_(made), apart_(apart) {
        const Index batch = made.batch;
        for (Index l = 0; l < 3; ++l) {
            const double density = made.dense || l == 2 ? -1 : 0.3;
            const Activation activation = l == 2 ? Activation{Identity{}} : made.activation;
            const Layer layer = test_layer({widths_[l], widths_[l + 1], density, batch}, activation, 1, random_);
            layers_.push_back(backend.load(layer, {true, Momentum{0.5F}, made.spmm, made.planned}));
            outputs_.emplace_back(backend, widths_[l + 1], batch);
            saved_.emplace_back(backend, widths_[l + 1], batch);
            gradients_.emplace_back(backend, widths_[l + 1], batch);
            masks_.emplace_back(backend, dropout_words(outputs_.back()));
        }
    }

    DroppedSteps train(std::uint32_t count) {
        const DeviceMatrix x(backend_, random_matrix(widths_[0], made_.batch, 1, random_));
        const auto labels = device_labels(backend_, random_labels(made_.batch, widths_[3], random_));
        Buffer<StepScalars> now(backend_, 1);
        DroppedSteps steps;
        for (std::uint32_t s = 0; s < count; ++s) {
            StepScalars scalars;
            scalars.step = 7 + s;
            scalars.update.learning_rate = 0.05F;
            now.upload(&scalars);
            backend_.run([&] { step(x, labels.data(), now.data()); });
            for (const auto* of : {&outputs_, &gradients_}) {
                for (const DeviceMatrix& each : *of) steps.values.push_back(each.raw());
            }
            backend_.run([&] { test(x); });
            steps.values.push_back(outputs_[2].raw());
        }
        for (const auto& layer : layers_) steps.layers.push_back(backend_.store(*layer));
        return steps;
    }

private:
    [[nodiscard]] bool drops(std::size_t l) const { return l < 2 && made_.rates[l] > 0; }
    [[nodiscard]] Dropout within(std::size_t l, const StepScalars* now) const {
        if (apart_ || !drops(l)) return {};
        return {made_.rates[l], seed, static_cast<std::uint32_t>(l), now, masks_[l].data()};
    }
    void drop(const DeviceMatrix& values, std::size_t l, const StepScalars* now) {
        if (apart_ && drops(l)) backend_.dropout(values, made_.rates[l], seed, static_cast<std::uint32_t>(l), now);
    }
    [[nodiscard]] Activations saved_of(std::size_t l) const {
        const bool in_place = l == 2 || (std::holds_alternative<Relu>(made_.activation) && !made_.unmasked);
        return in_place ? outputs_[l] : saved_[l];
    }
    void step(const DeviceMatrix& x, const std::int32_t* labels, const StepScalars* now) {
        for (std::size_t l = 0; l < 3; ++l) {
            backend_.forward(*layers_[l], l == 0 ? x : outputs_[l - 1], saved_of(l), outputs_[l], within(l, now));
            drop(outputs_[l], l, now);
        }
        backend_.loss(SoftmaxNll{}, outputs_[2], labels, gradients_[2]);
        for (std::size_t l = 3; l-- > 0;) {
            if (!made_.unmasked) drop(gradients_[l], l, now);
            backend_.backward(*layers_[l], l == 0 ? x : outputs_[l - 1], saved_of(l), gradients_[l],
                              l == 0 ? Activations{} : gradients_[l - 1], now, made_.unmasked ? Dropout{} : within(l, now));
        }
    }
    void test(const DeviceMatrix& x) {
        for (std::size_t l = 0; l < 3; ++l) {
            backend_.forward(*layers_[l], l == 0 ? x : outputs_[l - 1], {}, outputs_[l]);
        }
    }

    Backend& backend_;
    DroppedNetwork made_;
    bool apart_;
    TestRandom random_{9};
    Index widths_[4] = {20, 37, 33, 10};
    std::vector<std::unique_ptr<DeviceLayer>> layers_;
    std::vector<DeviceMatrix> outputs_, saved_, gradients_;
    std::vector<Buffer<std::uint64_t>> masks_;
};

TEST_P(CudaDropout, StepsOfAGraphHaveTheBitsOfMasksByThemselves) {
    std::vector<DroppedNetwork> cases;
    for (const Spmm spmm : {Spmm::gather, Spmm::panel, Spmm::coo, Spmm::cusparse}) {
        for (const Activation& activation : {Activation{SRelu{}}, Activation{Identity{}}}) cases.push_back({activation, spmm});
    }
    for (const Spmm spmm : {Spmm::gather, Spmm::panel, Spmm::coo}) {
        cases.push_back({Tanh{}, spmm, 258, 1});  // planned for a tile at a time
        cases.push_back({AllRelu{}, spmm, 3, 3, {0, 0.5F}});
        cases.push_back({Relu{}, spmm, 129, 129, {0.5F, 0}});
    }
    cases.push_back({Relu{}, Spmm::gather, 129, 129, {0.3F, 0.3F}, true});
    cases.push_back({Sigmoid{}, Spmm::automatic, 129, 129, {0.3F, 0.3F}, false, true});
    for (const DroppedNetwork& each : cases) {
        SCOPED_TRACE(testing::Message() << "case " << &each - cases.data());
        const auto trained = [&](bool apart, int graph) {
            CudaOptions options;
            options.graph = graph;
            const auto backend = backend_for_test(GetParam(), 1, options);
            return DroppedChain(*backend, each, apart).train(3);
        };
        const DroppedSteps apart = trained(true, 0);
        for (const int graph : {0, 1}) {
            const DroppedSteps within = trained(false, graph);
            EXPECT_EQ(within.values, apart.values);
            for (std::size_t l = 0; l < apart.layers.size(); ++l) expect_identical(within.layers[l], apart.layers[l]);
        }
    }
}

/// Programs of one backend that differ in nothing but what is dropped: none may replay another's graph.
TEST_P(CudaDropout, AnotherMaskIsAnotherProgram) {
    const auto backend = backend_for_test(GetParam(), 1);
    TestRandom random(3);
    const LayerUse use{true, Sgd{}, Spmm::gather, 20};
    const auto below = backend->load(test_layer({20, 30, 0.4, 20}, Relu{}, 0, random), use);
    const auto above = backend->load(test_layer({30, 40, 0.4, 20}, Identity{}, 0, random), use);
    const DeviceMatrix x(*backend, random_matrix(20, 20, 1, random));
    const DeviceMatrix dy(*backend, random_matrix(40, 20, 1, random));
    const DeviceMatrix hidden(*backend, 30, 20), y(*backend, 40, 20), dh(*backend, 30, 20), dx(*backend, 20, 20);
    const Buffer<std::uint64_t> mask(*backend, dropout_words(hidden));
    StepScalars scalars;
    scalars.step = 5;
    const auto now = device_scalars(*backend, scalars);
    scalars.step = 6;
    const auto later = device_scalars(*backend, scalars);
    const Dropout one{0.5F, 1, 2, now.data(), mask.data()};
    std::vector<Dropout> all(6, one);
    all[1].rate = 0.3F;
    all[2].seed = 2;
    all[3].layer = 3;
    all[4].step = later.data();
    all[5] = {};
    const auto values_of = [&](const Dropout& forward, const Dropout& backward) {  // the learning rate is 0
        backend->run([&] {
            backend->forward(*below, x, hidden, hidden, forward);
            backend->forward(*above, hidden, y, y);
            backend->backward(*above, hidden, y, dy, dh, now.data());
            backend->backward(*below, x, hidden, dh, dx, now.data(), backward);
        });
        return std::pair(hidden.raw(), dx.raw());
    };
    using Values = std::pair<std::vector<float>, std::vector<float>>;
    std::vector<Values> first;  // by no graph yet
    for (int round = 0; round < 4; ++round) {
        std::vector<Values> found;
        for (const Dropout& each : all) found.push_back(values_of(each, each));
        found.push_back(values_of(one, {}));
        if (round == 0) first = found;
        EXPECT_EQ(found, first) << "round " << round;
    }
    EXPECT_EQ(std::set<Values>(first.begin(), first.end()).size(), all.size() + 1) << "no two alike";
}

}  // namespace
}  // namespace espalier
