// The CUDA backend's own promises, with its sources run on the CPU: no waits within a step, programs captured and
// replayed, errors in words, no leak when memory runs out.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>

#include "cuda_on_host/runtime/runtime.hpp"
#include "cuda_training.hpp"
#include "espalier/error.hpp"
#include "user_errors.hpp"

namespace espalier {
namespace {

using testing::HasSubstr;

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

    /// On this machine, where graphs fail, a backend that wants them gives the bits of one that does not.
    static void expect_bits_of_plain_launches(const cuda_on_host::Machine& machine) {
        cuda_on_host::set_machine(machine);
        const auto cuda = make();
        const auto plain = make(false);
        OneLayer one(*cuda);
        OneLayer other(*plain);
        cuda_on_host::count_afresh();
        for (int time = 0; time < 4; ++time) {
            cuda->run([&] { one.step(); });
            plain->run([&] { other.step(); });
            expect_identical(one.stored(), other.stored());
        }
        EXPECT_EQ(cuda_on_host::counts().live_graphs, 0U);
    }
};

TEST_F(CudaOnHost, EpochsAreReplayed) {
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
        // The last test pass is of the network that is kept: with edges removed it is another program.
        const std::uint64_t replays = last == LastEpoch::remove ? 5 : 6;
        EXPECT_EQ(cuda_on_host::counts().graph_launches, replays) << "both in all epochs but the first";
        EXPECT_LT(cuda_on_host::counts().launched, launched);
    }
}

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
    EXPECT_EQ(cuda_on_host::counts().kernels, 8U) << "forward, derivative, input gradient and update, twice";
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
        backend.prune(each->layer(), {PruneBySign{}, 0.3});
        backend.regrow(each->layer(), {GrowRandom{}, HeNormal{}, true, {1, 0, 0}});
    }
    both();
    EXPECT_EQ(captures_and_launches(), Two(1, 3));
    // ... until edges are removed: then it is another program
    for (auto* each : {&one, &other}) {
        Backend& backend = each == &one ? *cuda : *plain;
        backend.prune(each->layer(), {PruneBySign{}, 0.3});
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

TEST_F(CudaOnHost, AProgramWhoseGraphCannotBeMadeJustRuns) {
    cuda_on_host::Machine machine;
    machine.graph_error = cudaErrorMemoryAllocation;
    expect_bits_of_plain_launches(machine);
    EXPECT_EQ(cuda_on_host::counts().graph_launches, 0U);
    EXPECT_EQ(cuda_on_host::counts().captures, 1U) << "and is not tried again";
}

TEST_F(CudaOnHost, ACaptureThatFindsNoMemoryIsDoneWithout) {
    cuda_on_host::Machine machine;
    machine.capture_error = cudaErrorMemoryAllocation;
    expect_bits_of_plain_launches(machine);
    machine.capture_error = cudaErrorLaunchFailure;  // what no lack of memory explains is an error
    cuda_on_host::set_machine(machine);
    const auto broken = make();
    OneLayer third(*broken);
    broken->run([&] { third.step(); });
    EXPECT_THROW(broken->run([&] { third.step(); }), UserError);
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
    cuda->prune(one.layer(), {PruneBySign{}, 0.3});
    static_cast<void>(cuda->degrees(one.layer()));
    cuda->regrow(one.layer(), {GrowRandom{}, HeNormal{}, true, {1, 0, 0}});
    cuda->prune(one.layer(), {PruneByMagnitude{}, 0.7});
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
            EXPECT_THAT(error.what(), HasSubstr("--batch"));
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

TEST_F(CudaOnHost, ADeviceThatBreaksAnywhereIsTheDevicesErrorAndLeaksNothing) {
    const auto before = cuda_on_host::counts();
    static_cast<void>(all_that_allocates(true));
    const std::uint64_t kernels = cuda_on_host::counts().kernels - before.kernels;
    ASSERT_GT(kernels, 10U);
    for (std::uint64_t after = 1; after < kernels; ++after) {
        SCOPED_TRACE(after);
        cuda_on_host::Machine machine;
        machine.break_after = cuda_on_host::counts().kernels + after;
        cuda_on_host::set_machine(machine);
        try {
            static_cast<void>(all_that_allocates(true));
            ADD_FAILURE() << "went through";
        } catch (const UserError& error) {
            EXPECT_EQ(error.code(), ExitCode::device);
            EXPECT_THAT(error.what(), HasSubstr("cudaErrorLaunchFailure"));
        }
        cuda_on_host::set_machine({});
        static_cast<void>(cudaGetLastError());
        EXPECT_EQ(cuda_on_host::counts().live_allocations, before.live_allocations);
        EXPECT_EQ(cuda_on_host::counts().live_streams, before.live_streams);
        EXPECT_EQ(cuda_on_host::counts().live_graphs, before.live_graphs);
    }
}

TEST_F(CudaOnHost, AnUploadThatFailsLeavesNoMemoryOfItsOwnBehind) {
    const auto cuda = make(false);
    OneLayer one(*cuda);
    const std::vector<float> values(1000, 0.5F);
    const std::uint64_t live = cuda_on_host::counts().live_allocations;
    cuda_on_host::Machine machine;
    machine.break_after = cuda_on_host::counts().kernels + 1;
    cuda_on_host::set_machine(machine);
    one.step();  // its kernels are queued, so memory can still be had, and the device breaks under the upload
    EXPECT_EQ(error_of([&] { static_cast<void>(Buffer<float>::kept(*cuda, values.data(), values.size())); }).first,
              ExitCode::device);
    EXPECT_EQ(cuda_on_host::counts().live_allocations, live);
    cuda_on_host::set_machine({});
    static_cast<void>(cudaGetLastError());
    const Buffer<float> kept = Buffer<float>::kept(*cuda, values.data(), values.size());
    std::vector<float> read(values.size());
    kept.download(read.data());
    EXPECT_EQ(read, values);
    EXPECT_EQ(cuda_on_host::counts().live_allocations, live + 1);
}

TEST_F(CudaOnHost, ScratchMemoryIsKeptAndGivenUpWhenMemoryIsShort) {
    const auto cuda = make();
    TestRandom random(6);
    const auto layer = cuda->load(test_layer({100, 90, 0.3, 1}, Relu{}, 1, random), {true, Momentum{}});
    const auto evolve = [&](std::uint32_t event) {
        cuda->prune(*layer, {PruneBySign{}, 0.3});
        cuda->regrow(*layer, {GrowRandom{}, HeNormal{}, true, {1, 0, event}});
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
std::string machine_refusal(const cuda_on_host::Machine& machine) {
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
    EXPECT_EQ(machine_refusal(machine), "none");
    machine.device_count_error = cudaErrorInsufficientDriver;
    machine.driver_version = 0;
    EXPECT_THAT(machine_refusal(machine), HasSubstr("no NVIDIA driver"));
    machine.driver_version = 12020;
    EXPECT_THAT(machine_refusal(machine), HasSubstr("supports CUDA 12.2 and this module was built with CUDA 13.0"));
    machine = {};
    machine.device_count_error = cudaErrorNoDevice;
    EXPECT_THAT(machine_refusal(machine), HasSubstr("finds no GPU"));
    machine = {};
    machine.num_devices = 0;
    EXPECT_THAT(machine_refusal(machine), HasSubstr("finds no GPU"));
    machine = {};
    machine.kernel_error = cudaErrorNoKernelImageForDevice;
    EXPECT_THAT(machine_refusal(machine), HasSubstr("compute capability 9.0"));
    EXPECT_THAT(machine_refusal(machine), HasSubstr("-DESPALIER_CUDA_ARCHITECTURES=90"));
    machine = {};
    machine.device_count_error = cudaErrorInitializationError;
    EXPECT_THAT(machine_refusal(machine), HasSubstr("an error set by a test"));
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
    EXPECT_THROW(cuda->prune(*dense, {PruneBySign{}, 0.3}), std::logic_error);
    const auto sparse = cuda->load(test_layer({5, 4, 0.5, 1}, Relu{}, 0, random), {false, Sgd{}});
    cuda->prune(*sparse, {PruneBySign{}, 0.3});
    EXPECT_THROW(cuda->prune(*sparse, {PruneBySign{}, 0.3}), std::logic_error);
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
