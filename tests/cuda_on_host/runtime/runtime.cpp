#include "runtime.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "block.hpp"
#include "cuda_on_host.hpp"
#include "guarded_memory.hpp"

using Work = std::vector<std::function<void()>>;

struct CUgraph_st {
    Work work;
};
struct CUgraphExec_st {
    Work work;
};
struct CUstream_st {
    Work queue;
    std::unique_ptr<CUgraph_st> capturing;
    bool invalidated = false;  // something that no graph can hold was asked for during the capture
};

namespace cuda_on_host {

void enqueue(CUstream_st* stream, std::function<void()> work);
void flush(cudaStream_t stream);

namespace {

struct Runtime {
    Machine machine;
    Counts counts;
    std::int64_t fail_after = -1;
    bool keep_failing = false;
    std::map<void*, GuardedMemory> memory;
    std::set<CUstream_st*> streams;
    cudaError_t last_error = cudaSuccess;
};

Runtime& runtime() {
    static Runtime instance;
    return instance;
}

cudaError_t failed(cudaError_t error) {
    runtime().last_error = error;
    return error;
}

/// Some calls end every capture under way.
bool capturing() {
    bool found = false;
    for (CUstream_st* stream : runtime().streams) {
        if (stream->capturing == nullptr) continue;
        stream->invalidated = true;
        found = true;
    }
    return found;
}

bool allocation_fails() {
    Runtime& all = runtime();
    if (all.fail_after < 0) return false;
    if (all.fail_after-- > 0) return false;
    if (all.keep_failing) all.fail_after = 0;
    return true;
}

/// The block of memory that holds all of [address, address + bytes).
const GuardedMemory& block_of(const void* address, std::size_t bytes) {
    auto& memory = runtime().memory;
    const auto* first = static_cast<const std::byte*>(address);
    auto after = memory.upper_bound(const_cast<void*>(address));
    if (after == memory.begin()) fail("a copy or fill of memory that is not the device's");
    const GuardedMemory& block = std::prev(after)->second;
    const auto* begin = static_cast<const std::byte*>(block.data());
    if (first + bytes > begin + block.bytes()) fail("a copy or fill that is not within one block of device memory");
    return block;
}

void put(CUstream_st* stream, std::function<void()> work) {
    (stream->capturing != nullptr ? stream->capturing->work : stream->queue).push_back(std::move(work));
}

void wait_for_all() {
    for (CUstream_st* stream : runtime().streams) flush(stream);
}

}  // namespace

void set_machine(const Machine& machine) { runtime().machine = machine; }
Counts counts() { return runtime().counts; }
void count_afresh() {
    Counts& counts = runtime().counts;
    const Counts before = counts;
    counts = {};
    counts.live_allocations = before.live_allocations;
    counts.live_bytes = counts.peak_bytes = before.live_bytes;
    counts.live_streams = before.live_streams;
    counts.live_graphs = before.live_graphs;
}
void fail_allocation(std::int64_t succeeding) {
    runtime().fail_after = succeeding;
    runtime().keep_failing = false;
}
void fail_allocations_from(std::int64_t succeeding) {
    runtime().fail_after = succeeding;
    runtime().keep_failing = true;
}

void enqueue(CUstream_st* stream, std::function<void()> work) {
    if (stream->capturing == nullptr) ++runtime().counts.launched;
    put(stream, [work = std::move(work)] {
        ++runtime().counts.kernels;
        work();
    });
}

void flush(cudaStream_t stream) {
    if (stream->capturing != nullptr) fail("a wait for a stream whose work is being captured");
    Work work;
    work.swap(stream->queue);
    for (const auto& each : work) each();
}

}  // namespace cuda_on_host

using cuda_on_host::runtime;

cudaError_t cudaGetDeviceCount(int* count) {
    const auto& machine = runtime().machine;
    *count = machine.device_count_error == cudaSuccess ? machine.num_devices : 0;
    return cuda_on_host::failed(machine.device_count_error);
}

cudaError_t cudaSetDevice(int device) {
    return device < runtime().machine.num_devices ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int /*device*/) {
    *properties = {};
    std::strcpy(properties->name, "host-executed device");
    properties->totalGlobalMem = runtime().machine.memory_bytes;
    properties->major = 9;
    properties->multiProcessorCount = runtime().machine.multiprocessors;
    properties->sharedMemPerBlockOptin = cuda_on_host::largest_shared_limit;
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute /*attribute*/, int value) {
    if (value < 0 || static_cast<std::size_t>(value) > cuda_on_host::largest_shared_limit) return cudaErrorInvalidValue;
    cuda_on_host::shared_limits()[function] = static_cast<std::size_t>(value);
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
    *version = runtime().machine.driver_version;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = runtime().machine.runtime_version;
    return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* /*function*/) {
    *attributes = {90};
    return cuda_on_host::failed(runtime().machine.kernel_error);
}

cudaError_t cudaGetLastError() { return std::exchange(runtime().last_error, cudaSuccess); }

const char* cudaGetErrorName(cudaError_t error) {
    switch (error) {
        case cudaSuccess:
            return "cudaSuccess";
        case cudaErrorMemoryAllocation:
            return "cudaErrorMemoryAllocation";
        case cudaErrorInsufficientDriver:
            return "cudaErrorInsufficientDriver";
        case cudaErrorNoDevice:
            return "cudaErrorNoDevice";
        case cudaErrorNoKernelImageForDevice:
            return "cudaErrorNoKernelImageForDevice";
        default:
            return "cudaErrorOfAnotherKind";
    }
}

const char* cudaGetErrorString(cudaError_t error) {
    return error == cudaSuccess ? "no error" : "an error set by a test";
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
    auto& all = runtime();
    if (cuda_on_host::capturing()) return cuda_on_host::failed(cudaErrorStreamCaptureUnsupported);
    if (all.counts.live_bytes + bytes > all.machine.memory_bytes || cuda_on_host::allocation_fails()) {
        return cuda_on_host::failed(cudaErrorMemoryAllocation);
    }
    *memory = nullptr;
    if (bytes == 0) return cudaSuccess;
    cuda_on_host::GuardedMemory block(bytes, "device memory");
    *memory = block.data();
    all.memory.emplace(*memory, std::move(block));
    ++all.counts.allocations;
    ++all.counts.live_allocations;
    all.counts.live_bytes += bytes;
    all.counts.peak_bytes = std::max(all.counts.peak_bytes, all.counts.live_bytes);
    return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
    if (memory == nullptr) return cudaSuccess;
    auto& all = runtime();
    if (cuda_on_host::capturing()) return cuda_on_host::failed(cudaErrorStreamCaptureUnsupported);
    cuda_on_host::wait_for_all();
    const auto found = all.memory.find(memory);
    if (found == all.memory.end()) cuda_on_host::fail("cudaFree of what cudaMalloc did not give");
    found->second.check();
    --all.counts.live_allocations;
    all.counts.live_bytes -= found->second.bytes();
    all.memory.erase(found);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
    *total = runtime().machine.memory_bytes;
    *free = *total - runtime().counts.live_bytes;
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    if (bytes == 0) return cudaSuccess;
    cuda_on_host::put(stream, [=] {
        if (kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice) cuda_on_host::block_of(to, bytes);
        if (kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice) cuda_on_host::block_of(from, bytes);
        std::memcpy(to, from, bytes);
    });
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream) {
    if (bytes == 0) return cudaSuccess;
    cuda_on_host::put(stream, [=] {
        cuda_on_host::block_of(memory, bytes);
        std::memset(memory, value, bytes);
    });
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned /*flags*/) {
    *stream = new CUstream_st;
    runtime().streams.insert(*stream);
    ++runtime().counts.live_streams;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    cuda_on_host::flush(stream);
    runtime().streams.erase(stream);
    delete stream;
    --runtime().counts.live_streams;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (cuda_on_host::capturing()) return cuda_on_host::failed(cudaErrorStreamCaptureUnsupported);
    ++runtime().counts.waits;
    cuda_on_host::flush(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode /*mode*/) {
    if (stream->capturing != nullptr) return cuda_on_host::failed(cudaErrorStreamCaptureUnsupported);
    stream->capturing = std::make_unique<CUgraph_st>();
    stream->invalidated = false;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    *graph = nullptr;
    if (stream->capturing == nullptr) return cuda_on_host::failed(cudaErrorInvalidValue);
    const std::unique_ptr<CUgraph_st> captured = std::move(stream->capturing);
    if (stream->invalidated) return cuda_on_host::failed(cudaErrorStreamCaptureInvalidated);
    *graph = new CUgraph_st(*captured);
    ++runtime().counts.captures;
    ++runtime().counts.live_graphs;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long /*flags*/) {
    if (cuda_on_host::allocation_fails()) return cuda_on_host::failed(cudaErrorMemoryAllocation);
    *executable = new CUgraphExec_st{graph->work};
    ++runtime().counts.live_graphs;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    --runtime().counts.live_graphs;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    delete executable;
    --runtime().counts.live_graphs;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    ++runtime().counts.graph_launches;
    for (const auto& each : executable->work) cuda_on_host::put(stream, each);
    return cudaSuccess;
}
