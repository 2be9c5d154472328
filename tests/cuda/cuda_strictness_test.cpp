// What the runtime that stands in for CUDA's refuses, so that the backend's tests can count on it; and what the backend
// does where a device refuses.
#include <gmock/gmock.h>

#include <functional>
#include <vector>

#include "backend_fixture.hpp"
#include "cuda_on_host.hpp"
#include "cuda_on_host/runtime/runtime.hpp"
#include "espalier/error.hpp"
#include "guarded_memory.hpp"

namespace espalier {
namespace {

using testing::HasSubstr;

class StrictRuntime : public testing::Test {
protected:
    void SetUp() override {
        cuda_on_host::set_machine({});
        ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
        ASSERT_EQ(cudaMalloc(&memory_, bytes), cudaSuccess);
    }
    void TearDown() override {
        EXPECT_EQ(cudaFree(memory_), cudaSuccess);
        EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
        static_cast<void>(cudaGetLastError());
        cuda_on_host::set_machine({});
    }
    [[nodiscard]] float* device() const { return static_cast<float*>(memory_); }
    [[nodiscard]] std::vector<float> downloaded() {
        std::vector<float> values(bytes / sizeof(float));
        EXPECT_EQ(cudaMemcpyAsync(values.data(), memory_, bytes, cudaMemcpyDeviceToHost, stream_), cudaSuccess);
        EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
        return values;
    }

    static constexpr std::size_t bytes = 4096;
    cudaStream_t stream_ = nullptr;
    void* memory_ = nullptr;
};

TEST_F(StrictRuntime, TheHostCannotReachDeviceMemory) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const volatile float* const there = device();
    EXPECT_DEATH(static_cast<void>(there[3]), "");
    EXPECT_DEATH(device()[3] = 1, "");
}

TEST_F(StrictRuntime, CopiesOfNothingAndOfForeignMemoryAreFaults) {
    std::vector<float> host(bytes / sizeof(float));
    const auto copy = [&](void* to, const void* from, std::size_t count, cudaMemcpyKind kind) {
        static_cast<void>(cudaMemcpyAsync(to, from, count, kind, stream_));
    };
    using cuda_on_host::Fault;
    EXPECT_THROW(copy(memory_, host.data(), 0, cudaMemcpyHostToDevice), Fault);
    EXPECT_THROW(copy(nullptr, host.data(), 4, cudaMemcpyHostToDevice), Fault);
    EXPECT_THROW(copy(host.data(), host.data() + 8, 4, cudaMemcpyHostToDevice), Fault);
    EXPECT_THROW(copy(device() + bytes / sizeof(float), host.data(), 4, cudaMemcpyHostToDevice), Fault);
    EXPECT_THROW(copy(device() + 1, host.data(), bytes, cudaMemcpyHostToDevice), Fault);
    EXPECT_THROW(copy(device(), device(), 4, cudaMemcpyDeviceToHost), Fault);
    EXPECT_THROW(copy(device(), device() + 1, 8, cudaMemcpyDeviceToDevice), Fault);
    EXPECT_THROW(static_cast<void>(cudaMemsetAsync(device(), 0, 0, stream_)), Fault);
    EXPECT_THROW(static_cast<void>(cudaMemsetAsync(nullptr, 0, 4, stream_)), Fault);
    EXPECT_NO_THROW(copy(device(), device() + 2, 8, cudaMemcpyDeviceToDevice));
}

TEST_F(StrictRuntime, ScratchMemoryIsSpoiltWhenItIsGivenBack) {
    ASSERT_EQ(cudaMemsetAsync(memory_, 0, bytes, stream_), cudaSuccess);
    note_scratch_returned(memory_, 256, stream_);
    const std::vector<float> values = downloaded();
    EXPECT_NE(values[63], 0);
    EXPECT_EQ(values[64], 0);
}

TEST_F(StrictRuntime, WhatIsForbiddenWhileCapturingFailsAndEndsTheCapture) {
    std::vector<float> host(4);
    void* other = nullptr;
    const std::vector<std::function<cudaError_t()>> calls{
        [&] { return cudaMalloc(&other, 16); },
        [&] { return cudaFree(memory_); },
        [&] { return cudaStreamSynchronize(stream_); },
        [&] { return cudaMemcpyAsync(memory_, host.data(), 16, cudaMemcpyHostToDevice, stream_); },
        [&] { return cudaMemcpyAsync(host.data(), memory_, 16, cudaMemcpyDeviceToHost, stream_); },
    };
    for (std::size_t call = 0; call < calls.size(); ++call) {
        SCOPED_TRACE(call);
        ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
        EXPECT_EQ(calls[call](), cudaErrorStreamCaptureUnsupported);
        cudaGraph_t graph = nullptr;
        EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
    }
}

void idle_kernel() {}

TEST_F(StrictRuntime, LaunchesBeyondADevicesLimitsAreToldByTheLastError) {
    static_cast<void>(cudaGetLastError());
    const auto error_of = [&](dim3 grid, dim3 block, std::size_t shared) {
        const auto before = cuda_on_host::counts().launched;
        enqueue_kernel(stream_, &idle_kernel, grid, block, shared);
        const cudaError_t error = cudaGetLastError();
        EXPECT_EQ(cuda_on_host::counts().launched - before, error == cudaSuccess ? 1U : 0U);
        return error;
    };
    EXPECT_EQ(error_of({1, 1, 1}, {1024, 1, 1}, 0), cudaSuccess);
    EXPECT_EQ(error_of({1, 1, 1}, {1025, 1, 1}, 0), cudaErrorInvalidConfiguration);
    EXPECT_EQ(error_of({0, 1, 1}, {32, 1, 1}, 0), cudaErrorInvalidConfiguration);
    EXPECT_EQ(error_of({1, 65536, 1}, {32, 1, 1}, 0), cudaErrorInvalidConfiguration);
    EXPECT_EQ(error_of({1, 1, 65536}, {32, 1, 1}, 0), cudaErrorInvalidConfiguration);
    EXPECT_EQ(error_of({1, 1, 1}, {32, 1, 1}, 49153), cudaErrorInvalidValue);
    cuda_on_host::Machine turing;
    turing.shared_bytes = 65536;
    cuda_on_host::set_machine(turing);
    const auto allow = [](int shared) {
        return cudaFuncSetAttribute(reinterpret_cast<const void*>(&idle_kernel),
                                    cudaFuncAttributeMaxDynamicSharedMemorySize, shared);
    };
    EXPECT_EQ(allow(65537), cudaErrorInvalidValue);
    static_cast<void>(cudaGetLastError());  // a refused attribute is the last error too
    EXPECT_EQ(allow(65536), cudaSuccess);
    EXPECT_EQ(error_of({1, 1, 1}, {32, 1, 1}, 65536), cudaSuccess);
}

TEST_F(StrictRuntime, ABrokenDeviceFailsEveryCallFromThenOn) {
    cuda_on_host::Machine machine;
    machine.break_after = cuda_on_host::counts().kernels + 1;
    cuda_on_host::set_machine(machine);
    enqueue_kernel(stream_, &idle_kernel, {1, 1, 1}, {32, 1, 1}, 0);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorLaunchFailure);
    void* more = nullptr;
    EXPECT_EQ(cudaMalloc(&more, 16), cudaErrorLaunchFailure);
    EXPECT_EQ(cudaMemsetAsync(memory_, 0, 16, stream_), cudaErrorLaunchFailure);
    EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
    cuda_on_host::set_machine({});
}

/// The CUDA backend with its sources run on the CPU.
class CudaLimits : public testing::Test {
protected:
    void TearDown() override { cuda_on_host::set_machine({}); }
    static std::string refusal(const std::function<void()>& work) {
        try {
            work();
        } catch (const UserError& error) {
            EXPECT_EQ(error.code(), ExitCode::device);
            return error.what();
        }
        return "none";
    }
};

TEST_F(CudaLimits, TheDeviceAskedForIsTheOneThatIsTaken) {
    cuda_on_host::Machine machine;
    machine.more.push_back({});
    machine.more[0].memory_bytes = std::size_t{2} << 30;
    cuda_on_host::set_machine(machine);
    const auto described = [](int device) {
        CudaOptions options;
        options.device = device;
        return backend_for_test("cuda_on_host", 1, options)->describe();
    };
    EXPECT_THAT(described(0), HasSubstr("4.0 GiB"));
    EXPECT_THAT(described(1), testing::AllOf(HasSubstr("2.0 GiB"), HasSubstr("device 1")));
    EXPECT_THAT(refusal([&] { described(2); }), HasSubstr("device: 2 is outside [0, 1]"));
    EXPECT_THAT(refusal([&] { described(-1); }), HasSubstr("device: -1 is outside [0, 1]"));
}

TEST_F(CudaLimits, PanelsThatFitNowhereAreASentence) {
    cuda_on_host::Machine machine;
    machine.shared_bytes = 49152;
    cuda_on_host::set_machine(machine);
    TestRandom random(1);
    const Layer layer = test_layer({40, 30, 0.3, 20}, Relu{}, 1, random);
    const auto load = [&](Spmm spmm) {
        const auto backend = backend_for_test("cuda_on_host", 1);
        static_cast<void>(backend->load(layer, {true, Momentum{0.5F}, spmm, 20}));
    };
    EXPECT_EQ(refusal([&] { load(Spmm::panel); }), "none");
    machine.shared_bytes = 1024;
    cuda_on_host::set_machine(machine);
    EXPECT_THAT(refusal([&] { load(Spmm::panel); }), HasSubstr("spmm: panels of a layer with"));
    EXPECT_EQ(refusal([&] { load(Spmm::automatic); }), "none");
}

TEST_F(CudaLimits, ABatchThatNoGridCoversIsASentence) {
    const auto backend = backend_for_test("cuda_on_host", 1);
    Samples samples;
    samples.count = 3000000;
    samples.features = 1;
    const std::uint8_t byte = 0;
    samples.bytes = &byte;
    const Activations x{nullptr, 1, 2097025, 128};
    EXPECT_THAT(refusal([&] {
                    backend->gather(samples, {0, 2097025, false, 0}, x, nullptr, nullptr);
                }),
                HasSubstr("batch: 2097025 is outside [1, 2097024]"));
}

TEST_F(CudaLimits, MoreEdgesThanAreCountedAreRefusedByTheNumberThatFits) {
    const auto backend = backend_for_test("cuda_on_host", 1);
    const auto said = [&](std::uint64_t edges, bool sparse, Spmm spmm) {
        return refusal([&] { backend->expect_within_limits({70000, 70000, edges, sparse}, {true, Sgd{}, spmm, 128}); });
    };
    EXPECT_EQ(said(4294967292, true, Spmm::automatic), "none");
    EXPECT_THAT(said(4294967293, true, Spmm::automatic), HasSubstr("4294967293 edges is outside [0, 4294967292]"));
    EXPECT_THAT(said(4294967293, false, Spmm::automatic), HasSubstr("outside [0, 4294967292]"));
    EXPECT_EQ(said(2147483647, true, Spmm::cusparse), "none");
    EXPECT_THAT(said(2147483648, true, Spmm::cusparse), HasSubstr("2147483648 edges is outside [0, 2147483647]"));
    EXPECT_EQ(said(2147483648, false, Spmm::cusparse), "none") << "no matter of cuSPARSE's";
}

/// Programs that differ: `number` of one layer's forward passes, each by another batch.
class ManyPrograms {
public:
    explicit ManyPrograms(Backend& backend) : backend_(backend), x_(backend, oracle::Matrix(2, 1, 0.5)) {
        TestRandom random(1);
        layer_ = backend.load(test_layer({2, 1, 1, 1}, Relu{}, 0, random), {true, Sgd{}});
        memory_ = Buffer<float>(backend, 128 * 2000);
    }
    void run(std::uint32_t number) {
        const Activations y{memory_.data() + std::size_t{128} * number, 1, 1, 128};
        backend_.run([&] { backend_.forward(*layer_, x_, {}, y); });
    }

private:
    Backend& backend_;
    DeviceMatrix x_;
    std::unique_ptr<DeviceLayer> layer_;
    Buffer<float> memory_;
};

TEST_F(CudaLimits, MoreProgramsThanThereArePlacesKeepTheGraphsThatThereAre) {
    const auto backend = backend_for_test("cuda_on_host", 1);
    ManyPrograms programs(*backend);
    constexpr std::uint32_t many = 1500;
    cuda_on_host::count_afresh();
    for (int epoch = 0; epoch < 5; ++epoch) {
        for (std::uint32_t number = 0; number < many; ++number) programs.run(number);
        backend->wait();
    }
    EXPECT_EQ(cuda_on_host::counts().captures, 1024U) << "captured once, dropped never";
    EXPECT_EQ(cuda_on_host::counts().graph_launches, 4 * 1024U);
}

TEST_F(CudaLimits, GraphsThatNeverComeBackGiveTheirPlacesToOthers) {
    const auto backend = backend_for_test("cuda_on_host", 1);
    ManyPrograms programs(*backend);
    for (std::uint32_t number = 0; number < 1024; ++number) {
        for (int time = 0; time < 2; ++time) programs.run(number);
    }
    for (int time = 0; time < 4000; ++time) programs.run(1024);
    cuda_on_host::count_afresh();
    programs.run(1024);
    EXPECT_EQ(cuda_on_host::counts().graph_launches, 1U);
}

}  // namespace
}  // namespace espalier
