// The CUDA backend's own promises, with its sources run on the CPU: topologies equal to the CPU backend's, graphs that
// change no bit, no waits within a step, errors in words, and no leak when memory runs out.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>

#include "alternatives.hpp"
#include "backend_fixture.hpp"
#include "cuda_on_host/runtime/runtime.hpp"
#include "espalier/error.hpp"
#include "host/data/dataset.hpp"
#include "host/network_birth.hpp"
#include "host/trainer.hpp"

namespace espalier {
namespace {

using testing::HasSubstr;

/// The backend that runs the module's sources on the CPU, and the device-side counts around it.
class CudaOnHost : public testing::Test {
protected:
    void SetUp() override { cuda_on_host::set_machine({}); }
    void TearDown() override {
        cuda_on_host::set_machine({});
        cuda_on_host::fail_allocation(-1);
    }
    static std::unique_ptr<Backend> make(bool graph = true) {
        CudaOptions options;
        options.graph = graph ? 1 : 0;
        return backend_for_test("cuda_on_host", 1, options);
    }
};

void expect_same_degrees(Backend& got, const DeviceLayer& layer, const Layer& want) {
    const Degrees found = got.degrees(layer);
    const Degrees expected = degrees(*want.topology);
    EXPECT_EQ(found.inputs, expected.inputs);
    EXPECT_EQ(found.outputs, expected.outputs);
}

/// A layer with distinct optimizer memory; `values` weights to choose from, 0: all different.
Layer evolving_layer(const Shape& shape, int values, TestRandom& random) {
    Layer layer = test_layer(shape, Relu{}, 1, random);
    for (std::size_t e = 0; e < layer.weights.size(); ++e) {
        if (values > 0) layer.weights[e] = static_cast<float>(static_cast<int>(random() % values) - values / 2);
        layer.weight_state[0][e] = 1000 + static_cast<float>(e);
    }
    return layer;
}

struct Evolution {
    PruneRule prune;
    WeightLaw law;
    double zeta = 0.3;
    int allow_removed = 0;
    bool reset_state = true;
    bool by_input = true;
    bool remove_at_end = false;
};

void expect_same_evolution(Backend& cuda, const Layer& layer, const Evolution& what) {
    const auto cpu = backend_for_test("cpu", 1);
    const LayerUse use{what.by_input, Momentum{}};
    const auto one = cpu->load(layer, use);
    const auto other = cuda.load(layer, use);
    for (std::uint32_t event = 0; event < 3; ++event) {
        SCOPED_TRACE("evolution " + std::to_string(event));
        const Pruned expected = cpu->prune(*one, what.prune, what.zeta);
        const Pruned found = cuda.prune(*other, what.prune, what.zeta);
        EXPECT_EQ(found.positive, expected.positive);
        EXPECT_EQ(found.negative, expected.negative);
        EXPECT_EQ(found.zero, expected.zero);
        expect_identical(cuda.store(*other), cpu->store(*one));
        if (what.remove_at_end && event == 2) {
            cpu->remove(*one);
            cuda.remove(*other);
        } else {
            const GrowRandom grow{what.allow_removed};
            EXPECT_EQ(cuda.regrow(*other, grow, what.law, what.reset_state, 7, 3, event),
                      cpu->regrow(*one, grow, what.law, what.reset_state, 7, 3, event));
        }
        const Layer after = cpu->store(*one);
        expect_identical(cuda.store(*other), after);
        expect_same_degrees(cuda, *other, after);
        if (testing::Test::HasFailure()) return;
    }
}

TEST_F(CudaOnHost, EvolvesToTheBitAsTheCpu) {
    const auto cuda = make();
    TestRandom random(1);
    for (const auto& shape : {Shape{1, 1, 1, 1}, Shape{3, 2, 0, 1}, Shape{40, 30, 0.3, 1}, Shape{17, 90, 0.9, 1},
                              Shape{6, 5, 1, 1}, Shape{300, 211, 0.05, 1}}) {
        for (const auto& prune : alternatives<PruneRule>()) {
            for (const int values : {0, 5}) {
                for (const double zeta : {0.0, 0.3, 1.0}) {
                    SCOPED_TRACE(printed(shape) + ", " + rule_text(prune) + ", zeta " + std::to_string(zeta) + ", " +
                                 std::to_string(values) + " weights");
                    const Layer layer = evolving_layer(shape, values, random);
                    expect_same_evolution(*cuda, layer, {prune, HeNormal{}, zeta, 0, true, true, false});
                    expect_same_evolution(*cuda, layer, {prune, HeNormal{}, zeta, 1, false, false, true});
                }
            }
        }
    }
}

TEST_F(CudaOnHost, DrawsEveryLawsWeightsAsTheCpu) {
    const auto cuda = make();
    TestRandom random(2);
    const Layer layer = evolving_layer({70, 60, 0.2, 1}, 0, random);
    for (const auto& law : alternatives<WeightLaw>()) {
        SCOPED_TRACE(rule_text(law));
        expect_same_evolution(*cuda, layer, {PruneBySign{}, law, 0.5, 0, false, true, true});
    }
}

TEST_F(CudaOnHost, EvolvesALayerOfMoreCellsThan32BitsCount) {
    const auto cuda = make();
    TestRandom random(3);
    Layer layer;
    layer.num_inputs = 70000;
    layer.num_outputs = 70001;
    layer.topology =
        random_topology(layer.num_inputs, layer.num_outputs, 500, ExactCount{}, Stream{1, Purpose::topology, 0, 0});
    layer.bias.assign(layer.num_outputs, 0.0F);
    for (int e = 0; e < 500; ++e) layer.weights.push_back(static_cast<float>(e - 250) / 64);
    expect_same_evolution(*cuda, layer, {PruneBySign{}, HeNormal{}, 0.4, 1, true, true, false});
}

TEST_F(CudaOnHost, NaNWeightsArePrunedAsOnTheCpu) {
    const auto cuda = make();
    TestRandom random(4);
    Layer layer = evolving_layer({20, 20, 0.5, 1}, 7, random);
    layer.weights[3] = NAN;
    layer.weights[9] = -NAN;
    const auto cpu = backend_for_test("cpu", 1);
    for (const auto& prune : alternatives<PruneRule>()) {
        const auto one = cpu->load(layer, {true, Momentum{}});
        const auto other = cuda->load(layer, {true, Momentum{}});
        const Pruned expected = cpu->prune(*one, prune, 1);
        const Pruned found = cuda->prune(*other, prune, 1);
        EXPECT_EQ(found.positive, expected.positive);
        EXPECT_EQ(found.negative, expected.negative);
        EXPECT_EQ(found.zero, expected.zero);
    }
}

/// A small experiment on the built-in data.
Experiment small_experiment(const DataSet& data) {
    Experiment experiment;
    experiment.dataset = "synthetic";
    experiment.layers = {data.features(), 30, 20, data.classes};
    experiment.epsilon = 1.5;
    experiment.batch = 70;
    experiment.epochs = 4;
    experiment.dropout = 0.2;
    return experiment;
}

DataSet small_data() { return load_dataset("synthetic", "", 200, 150); }

struct Trained {
    Network network;
    std::vector<EpochRecord> history;
};

Trained train(Backend& backend, const Experiment& experiment, const DataSet& data) {
    TrainObserver silent;
    Trainer trainer(experiment, backend, data, new_network(experiment), silent);
    trainer.run();
    return {trainer.network(), trainer.history()};
}

void expect_same(const Trained& got, const Trained& want) {
    ASSERT_EQ(got.history.size(), want.history.size());
    for (std::size_t e = 0; e < want.history.size(); ++e) {
        EXPECT_EQ(got.history[e].train_loss, want.history[e].train_loss);
        EXPECT_EQ(got.history[e].test_loss, want.history[e].test_loss);
        EXPECT_EQ(got.history[e].test_confidence, want.history[e].test_confidence);
        EXPECT_EQ(got.history[e].edges, want.history[e].edges);
        EXPECT_EQ(got.history[e].replaced_positive, want.history[e].replaced_positive);
    }
    for (std::size_t l = 0; l < want.network.layers.size(); ++l) {
        expect_identical(got.network.layers[l], want.network.layers[l]);
    }
}

TEST_F(CudaOnHost, TrainsAsTheCpuButForRounding) {
    const DataSet data = small_data();
    const Experiment experiment = small_experiment(data);
    const auto cpu = backend_for_test("cpu", 1);
    const Trained want = train(*cpu, experiment, data);
    const auto cuda = make();
    const Trained got = train(*cuda, experiment, data);
    // Rounding may let another edge go, so only the first epoch's figures are of the same network.
    EXPECT_NEAR(got.history[0].train_loss, want.history[0].train_loss, 1e-5);
    EXPECT_NEAR(got.history[0].test_loss, want.history[0].test_loss, 1e-5);
    EXPECT_EQ(got.history[0].replaced_positive, want.history[0].replaced_positive);
    for (std::size_t e = 0; e < want.history.size(); ++e) {
        EXPECT_NEAR(got.history[e].train_loss, want.history[e].train_loss, 0.05);
        EXPECT_EQ(got.history[e].edges, want.history[e].edges);
    }
}

TEST_F(CudaOnHost, GraphsChangeNoBit) {
    const DataSet data = small_data();
    for (const LastEpoch last : {LastEpoch::evolve, LastEpoch::remove}) {
        Experiment experiment = small_experiment(data);
        experiment.last_epoch = last;
        const auto plain = make(false);
        cuda_on_host::count_afresh();
        const Trained want = train(*plain, experiment, data);
        EXPECT_EQ(cuda_on_host::counts().captures, 0U);
        const std::uint64_t launched = cuda_on_host::counts().launched;
        const auto cuda = make();
        cuda_on_host::count_afresh();
        expect_same(train(*cuda, experiment, data), want);
        EXPECT_EQ(cuda_on_host::counts().captures, 2U) << "one of the training steps, one of the test batches";
        EXPECT_EQ(cuda_on_host::counts().graph_launches, 6U) << "both in all epochs but the first";
        EXPECT_LT(cuda_on_host::counts().launched, launched);
    }
}

TEST_F(CudaOnHost, TheSameRunTwiceGivesTheSameBits) {
    const DataSet data = small_data();
    Experiment experiment = small_experiment(data);
    experiment.cadence = ByChance{0.7};
    const auto one = make();
    const Trained want = train(*one, experiment, data);
    const auto other = make();
    expect_same(train(*other, experiment, data), want);
}

/// One layer and what a step on it needs.
class OneLayer {
public:
    explicit OneLayer(Backend& backend)
        : backend_(backend),
          x_(backend, oracle::Matrix(40, 130, 0.5)),
          y_(backend, 30, 130),
          dy_(backend, oracle::Matrix(30, 130, 0.25)),
          dx_(backend, 40, 130),
          now_(device_scalars(backend, scalars_of({Momentum{}, Coupled{}, 0.1, 0, 1}))) {
        TestRandom random(5);
        layer_ = backend.load(test_layer({40, 30, 0.4, 130}, Relu{}, 1, random), {true, Momentum{}});
    }
    void step() {
        backend_.forward(*layer_, x_, y_, y_);
        backend_.backward(*layer_, x_, y_, dy_, dx_, now_.data());
    }
    DeviceLayer& layer() { return *layer_; }
    [[nodiscard]] Layer stored() const { return backend_.store(*layer_); }

private:
    Backend& backend_;
    DeviceMatrix x_, y_, dy_, dx_;
    Buffer<StepScalars> now_;
    std::unique_ptr<DeviceLayer> layer_;
};

TEST_F(CudaOnHost, VerbsOnlyEnqueue) {
    const auto cuda = make();
    OneLayer one(*cuda);
    cuda_on_host::count_afresh();
    one.step();
    cuda->run([&] { one.step(); });
    EXPECT_EQ(cuda_on_host::counts().waits, 0U);
    EXPECT_EQ(cuda_on_host::counts().kernels, 0U) << "nothing runs before somebody waits";
    EXPECT_EQ(cuda_on_host::counts().allocations, 0U);
    cuda->wait();
    EXPECT_GT(cuda_on_host::counts().kernels, 8U);
}

TEST_F(CudaOnHost, AProgramIsCapturedWhenItComesAgainAndThenReplayed) {
    const auto cuda = make();
    const auto plain = make(false);
    OneLayer one(*cuda);
    OneLayer other(*plain);
    const auto captures_and_launches = [&] {
        return std::pair(cuda_on_host::counts().captures, cuda_on_host::counts().graph_launches);
    };
    using Two = std::pair<std::uint64_t, std::uint64_t>;
    cuda_on_host::count_afresh();
    const auto both = [&] {
        cuda->run([&] { one.step(); });
        plain->run([&] { other.step(); });
        expect_identical(one.stored(), other.stored());
    };
    both();
    EXPECT_EQ(captures_and_launches(), Two(0, 0));
    both();
    EXPECT_EQ(captures_and_launches(), Two(1, 1));
    both();
    EXPECT_EQ(captures_and_launches(), Two(1, 2));
    // evolution keeps addresses and shapes ...
    for (auto* each : {&one, &other}) {
        Backend& backend = each == &one ? *cuda : *plain;
        backend.prune(each->layer(), PruneBySign{}, 0.3);
        backend.regrow(each->layer(), GrowRandom{}, HeNormal{}, true, 1, 0, 0);
    }
    both();
    EXPECT_EQ(captures_and_launches(), Two(1, 3));
    // ... until edges are removed: then it is another program
    for (auto* each : {&one, &other}) {
        Backend& backend = each == &one ? *cuda : *plain;
        backend.prune(each->layer(), PruneBySign{}, 0.3);
        backend.remove(each->layer());
    }
    both();
    EXPECT_EQ(captures_and_launches(), Two(1, 3));
    both();
    EXPECT_EQ(captures_and_launches(), Two(2, 4));
}

TEST_F(CudaOnHost, AProgramThatWaitsJustRuns) {
    const auto cuda = make();
    OneLayer one(*cuda);
    cuda_on_host::count_afresh();
    for (int time = 0; time < 3; ++time) {
        cuda->run([&] {
            one.step();
            cuda->wait();
        });
    }
    EXPECT_EQ(cuda_on_host::counts().captures, 0U);
    EXPECT_EQ(cuda_on_host::counts().launched, cuda_on_host::counts().kernels);
    EXPECT_GT(cuda_on_host::counts().kernels, 0U);
}

TEST_F(CudaOnHost, AProgramThatFailsLeavesTheBackendUsable) {
    const auto cuda = make();
    OneLayer one(*cuda);
    DeviceMatrix wrong(*cuda, 7, 130);
    for (int time = 0; time < 3; ++time) {
        EXPECT_THROW(cuda->run([&] {
            one.step();
            cuda->forward(one.layer(), wrong, {}, wrong);
        }),
                     std::logic_error);
    }
    for (int time = 0; time < 3; ++time) cuda->run([&] { one.step(); });
    EXPECT_FALSE(one.stored().weights.empty());
}

/// Loads, trains, evolves and stores; everything that allocates.
Layer all_that_allocates(bool graph) {
    CudaOptions options;
    options.graph = graph ? 1 : 0;
    const auto cuda = backend_for_test("cuda_on_host", 1, options);
    OneLayer one(*cuda);
    for (int time = 0; time < 3; ++time) cuda->run([&] { one.step(); });
    cuda->prune(one.layer(), PruneBySign{}, 0.3);
    static_cast<void>(cuda->degrees(one.layer()));
    cuda->regrow(one.layer(), GrowRandom{}, HeNormal{}, true, 1, 0, 0);
    cuda->prune(one.layer(), PruneByMagnitude{}, 0.7);
    cuda->remove(one.layer());
    static_cast<void>(cuda->metrics());
    return one.stored();
}

TEST_F(CudaOnHost, RunningOutOfMemoryAnywhereSaysWhatToLowerAndLeaksNothing) {
    const auto before = cuda_on_host::counts();
    const Layer want = all_that_allocates(true);
    int failures = 0;
    for (std::int64_t succeeding = 0;; ++succeeding) {
        ASSERT_LT(succeeding, 1000);
        cuda_on_host::fail_allocations_from(succeeding);
        bool failed = false;
        try {
            expect_identical(all_that_allocates(true), want);
        } catch (const UserError& error) {
            failed = true;
            EXPECT_EQ(error.code(), ExitCode::device);
            EXPECT_TRUE(std::strstr(error.what(), "--batch") != nullptr ||
                        std::strstr(error.what(), "making a graph") != nullptr)
                << error.what();
        }
        cuda_on_host::fail_allocation(-1);
        const auto after = cuda_on_host::counts();
        EXPECT_EQ(after.live_allocations, before.live_allocations) << "after " << succeeding << " allocations";
        EXPECT_EQ(after.live_bytes, before.live_bytes);
        EXPECT_EQ(after.live_streams, before.live_streams);
        EXPECT_EQ(after.live_graphs, before.live_graphs);
        if (!failed) break;
        ++failures;
    }
    EXPECT_GT(failures, 20);
}

TEST_F(CudaOnHost, ScratchMemoryIsKeptAndGivenUpWhenMemoryIsShort) {
    const auto cuda = make();
    TestRandom random(6);
    const auto layer = cuda->load(evolving_layer({100, 90, 0.3, 1}, 0, random), {true, Momentum{}});
    const auto evolve = [&](std::uint32_t event) {
        cuda->prune(*layer, PruneBySign{}, 0.3);
        cuda->regrow(*layer, GrowRandom{}, HeNormal{}, true, 1, 0, event);
    };
    for (std::uint32_t event = 0; event < 3; ++event) evolve(event);
    cuda_on_host::count_afresh();
    for (std::uint32_t event = 3; event < 8; ++event) evolve(event);
    EXPECT_EQ(cuda_on_host::counts().allocations, 0U) << "later evolutions use the memory of the first";
    const std::uint64_t live = cuda_on_host::counts().live_allocations;
    cuda_on_host::fail_allocation(0);  // once: the second try has the scratch memory's room
    void* const memory = cuda->allocate(1 << 20);
    EXPECT_LT(cuda_on_host::counts().live_allocations, live);
    cuda->release(memory);
    evolve(8);
}

TEST_F(CudaOnHost, OutOfMemoryNamesTheNumbers) {
    cuda_on_host::Machine machine;
    machine.memory_bytes = std::size_t{3} << 20;
    cuda_on_host::set_machine(machine);
    const auto cuda = make();
    try {
        static_cast<void>(cuda->allocate(std::size_t{5} << 20));
        FAIL() << "allocated";
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::device);
        EXPECT_THAT(error.what(), HasSubstr("5.00 MiB more were needed"));
        EXPECT_THAT(error.what(), HasSubstr("of its 3.00 MiB are free"));
    }
    EXPECT_NO_THROW(cuda->release(cuda->allocate(std::size_t{1} << 20)));
}

/// Why there is no backend on this machine.
std::string refusal(const cuda_on_host::Machine& machine) {
    cuda_on_host::set_machine(machine);
    try {
        static_cast<void>(backend_for_test("cuda_on_host", 1));
        return "none";
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::device);
        return error.what();
    }
}

TEST_F(CudaOnHost, SaysWhyThereIsNoDevice) {
    cuda_on_host::Machine machine;
    EXPECT_EQ(refusal(machine), "none");
    machine.device_count_error = cudaErrorInsufficientDriver;
    machine.driver_version = 0;
    EXPECT_THAT(refusal(machine), HasSubstr("no NVIDIA driver"));
    machine.driver_version = 12020;
    EXPECT_THAT(refusal(machine), HasSubstr("supports CUDA 12.2 and this module was built with CUDA 13.0"));
    machine = {};
    machine.device_count_error = cudaErrorNoDevice;
    EXPECT_THAT(refusal(machine), HasSubstr("finds no GPU"));
    machine = {};
    machine.num_devices = 0;
    EXPECT_THAT(refusal(machine), HasSubstr("finds no GPU"));
    machine = {};
    machine.kernel_error = cudaErrorNoKernelImageForDevice;
    EXPECT_THAT(refusal(machine), HasSubstr("compute capability 9.0"));
    EXPECT_THAT(refusal(machine), HasSubstr("-DESPALIER_CUDA_ARCHITECTURES=90"));
    machine = {};
    machine.device_count_error = cudaErrorInitializationError;
    EXPECT_THAT(refusal(machine), HasSubstr("an error set by a test"));
}

TEST_F(CudaOnHost, DescribesTheDevice) {
    const std::string text = make()->describe();
    EXPECT_THAT(text, HasSubstr("host-executed device"));
    EXPECT_THAT(text, HasSubstr("4.0 GiB"));
    EXPECT_THAT(text, HasSubstr("CUDA 13.0"));
}

TEST_F(CudaOnHost, RefusesWhatItCannotDo) {
    const auto cuda = make();
    TestRandom random(7);
    const auto dense = cuda->load(test_layer({5, 4, -1, 1}, Relu{}, 0, random), {true, Sgd{}});
    EXPECT_THROW(cuda->prune(*dense, PruneBySign{}, 0.3), std::logic_error);
    const auto sparse = cuda->load(test_layer({5, 4, 0.5, 1}, Relu{}, 0, random), {false, Sgd{}});
    cuda->prune(*sparse, PruneBySign{}, 0.3);
    EXPECT_THROW(cuda->prune(*sparse, PruneBySign{}, 0.3), std::logic_error);
    const DeviceMatrix x(*cuda, oracle::Matrix(5, 3, 1));
    const DeviceMatrix y(*cuda, oracle::Matrix(4, 3, 1));
    const auto now = device_scalars(*cuda, {});
    EXPECT_THROW(cuda->backward(*sparse, x, y, y, x, now.data()), std::logic_error) << "no view by input";
    const auto labels = device_labels(*cuda, {0, 1, 4});
    cuda->loss(SoftmaxNll{}, y, labels.data(), {});
    EXPECT_THROW(static_cast<void>(cuda->metrics()), std::logic_error) << "4 is no output";
    EXPECT_EQ(cuda->metrics().samples, 0U);
}

}  // namespace
}  // namespace espalier
