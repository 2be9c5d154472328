#include "runtime.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "block.hpp"
#include "cuda_on_host.hpp"
#include "library_stream.hpp"
#include "protected_memory.hpp"
#include "state.hpp"

using Work = std::vector<std::function<void()>>;

struct CUgraph_st {
    Work work;
};
struct CUgraphExec_st {
    Work work;
};
struct CUstream_st {
    cuda_on_host::LibraryStream library;  // first: all that the libraries know
    int device;
    Work queue;
    bool queue_touches_anything = false;  // or only copies: opening all memory costs more than most of them
    std::unique_ptr<CUgraph_st> capturing;
    bool invalidated = false;  // something that no graph can hold was asked for during the capture
    std::thread::id capturing_thread;
};

namespace cuda_on_host {

void enqueue(CUstream_st* stream, std::function<void()> work);
void flush(cudaStream_t stream);

namespace {

/// Some calls end every capture that the thread has under way (cudaStreamCaptureModeThreadLocal).
bool capturing() {
    bool found = false;
    for (CUstream_st* stream : runtime().streams) {
        if (stream->capturing == nullptr || stream->capturing_thread != std::this_thread::get_id()) continue;
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

std::size_t bytes_in_use() {
    const Counts& counts = runtime().counts;
    const Device& device = current_device();
    return device.context_bytes + counts.live_bytes + counts.live_nodes * device.graph_node_bytes;
}

/// What cudaMalloc gave that holds [address, address + bytes), or null.
const ProtectedMemory* block_of(const void* address, std::size_t bytes) {
    auto& memory = runtime().memory;
    const auto* first = static_cast<const std::byte*>(address);
    const auto after = memory.upper_bound(const_cast<void*>(address));
    if (after == memory.begin()) return nullptr;
    const ProtectedMemory& block = std::prev(after)->second;
    const auto* end = static_cast<const std::byte*>(block.data()) + block.bytes();
    return first < end && bytes <= static_cast<std::size_t>(end - first) ? &block : nullptr;
}
bool is_device_memory(const void* address, std::size_t bytes) { return block_of(address, bytes) != nullptr; }
void require_device_memory(const void* address, std::size_t bytes) {
    if (bytes == 0) fail("a copy or fill of no bytes");
    if (!is_device_memory(address, bytes)) fail("a copy or fill that is not within one block of device memory");
}
void require_host_memory(const void* address) {
    if (address == nullptr || is_device_memory(address, 1)) fail("a copy from or to memory that is not the host's");
}

void put_behind(CUstream_st* stream, std::function<void()> work) {
    stream->queue_touches_anything = true;
    (stream->capturing != nullptr ? stream->capturing->work : stream->queue).push_back(std::move(work));
}

/// What a caller asks for.
void put(CUstream_st* stream, std::function<void()> work) {
    if (stream->device != current_number()) fail("work for a stream of another device than the thread's");
    put_behind(stream, std::move(work));
}
/// The same for work that opens the memory it touches itself.
void put_copy(CUstream_st* stream, std::function<void()> work) {
    const bool before = stream->queue_touches_anything;
    put(stream, std::move(work));
    stream->queue_touches_anything = before;
}

void wait_for_all() {
    for (CUstream_st* stream : runtime().streams) {
        if (stream->capturing == nullptr) flush(stream);  // else another thread's: it has no work yet
    }
}

}  // namespace

Counts counts() { return runtime().counts; }
void count_afresh() {
    Counts& counts = runtime().counts;
    const Counts before = counts;
    counts = {};
    counts.live_allocations = before.live_allocations;
    counts.live_bytes = counts.peak_bytes = before.live_bytes;
    counts.live_streams = before.live_streams;
    counts.live_graphs = before.live_graphs;
    counts.live_nodes = counts.peak_nodes = before.live_nodes;
}
void count_algorithm() {
    const Turn turn;
    ++runtime().counts.algorithms;
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
    const Turn turn;
    if (stream->capturing == nullptr) ++runtime().counts.launched;
    put(stream, [work = std::move(work)] {
        ++runtime().counts.kernels;
        work();
    });
}

void flush(cudaStream_t stream) {
    const Turn turn;
    if (stream->capturing != nullptr) fail("a wait for a stream whose work is being captured");
    if (stream->queue.empty()) return;
    Work work;
    work.swap(stream->queue);
    std::optional<DeviceAccess> access;
    if (std::exchange(stream->queue_touches_anything, false)) access.emplace();
    for (const auto& each : work) {
        if (is_broken()) return;  // what was queued behind is lost
        each();
    }
}

}  // namespace cuda_on_host

using cuda_on_host::runtime;

using cuda_on_host::broken;

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
    const cuda_on_host::Turn turn;
    auto& all = runtime();
    if (cuda_on_host::is_broken()) return cuda_on_host::failed(broken);
    if (cuda_on_host::capturing()) return cuda_on_host::failed(cudaErrorStreamCaptureUnsupported);
    if (cuda_on_host::bytes_in_use() + bytes > cuda_on_host::current_device().memory_bytes ||
        cuda_on_host::allocation_fails()) {
        return cuda_on_host::failed(cudaErrorMemoryAllocation);
    }
    *memory = nullptr;
    if (bytes == 0) return cudaSuccess;
    cuda_on_host::ProtectedMemory block(bytes);
    *memory = block.data();
    all.memory.emplace(*memory, std::move(block));
    ++all.counts.allocations;
    ++all.counts.live_allocations;
    all.counts.live_bytes += bytes;
    all.counts.peak_bytes = std::max(all.counts.peak_bytes, all.counts.live_bytes);
    return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
    const cuda_on_host::Turn turn;
    if (memory == nullptr) return cudaSuccess;
    auto& all = runtime();
    if (cuda_on_host::is_broken()) {  // freed all the same, so that tests can count
        const auto lost = all.memory.find(memory);
        if (lost == all.memory.end()) return cuda_on_host::failed(broken);
        --all.counts.live_allocations;
        all.counts.live_bytes -= lost->second.bytes();
        all.memory.erase(lost);
        return cuda_on_host::failed(broken);
    }
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
    const cuda_on_host::Turn turn;
    if (cuda_on_host::is_broken()) return cuda_on_host::failed(broken);
    *total = cuda_on_host::current_device().memory_bytes;
    *free = *total - std::min(*total, cuda_on_host::bytes_in_use());
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    const cuda_on_host::Turn turn;
    if (cuda_on_host::is_broken()) return cuda_on_host::failed(broken);
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    to_device ? cuda_on_host::require_device_memory(to, bytes) : cuda_on_host::require_host_memory(to);
    from_device ? cuda_on_host::require_device_memory(from, bytes) : cuda_on_host::require_host_memory(from);
    const auto* const source = static_cast<const std::byte*>(from);
    const auto* const target = static_cast<const std::byte*>(to);
    if (source < target + bytes && target < source + bytes) cuda_on_host::fail("a copy onto itself");
    if (to_device != from_device && cuda_on_host::capturing()) {  // the host's memory would be read at each replay
        return cuda_on_host::failed(cudaErrorStreamCaptureUnsupported);
    }
    auto& counts = runtime().counts;
    ++(to_device && from_device ? counts.copies : counts.transfers);
    cuda_on_host::put_copy(stream, [=] {
        const cuda_on_host::BlockAccess write(cuda_on_host::block_of(to, bytes));
        const cuda_on_host::BlockAccess read(cuda_on_host::block_of(from, bytes));
        std::memcpy(to, from, bytes);
    });
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream) {
    const cuda_on_host::Turn turn;
    if (cuda_on_host::is_broken()) return cuda_on_host::failed(broken);
    cuda_on_host::require_device_memory(memory, bytes);
    ++runtime().counts.memsets;
    cuda_on_host::put_copy(stream, [=] {
        const cuda_on_host::BlockAccess access(cuda_on_host::block_of(memory, bytes));
        std::memset(memory, value, bytes);
    });
    return cudaSuccess;
}

void note_scratch_returned(void* memory, std::size_t bytes, cudaStream_t stream) {
    const cuda_on_host::Turn turn;
    if (!cuda_on_host::is_broken()) cuda_on_host::put_behind(stream, [=] { std::memset(memory, 0xa5, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned /*flags*/) {
    const cuda_on_host::Turn turn;
    if (cuda_on_host::is_broken()) return cuda_on_host::failed(broken);
    *stream = new CUstream_st{{&cuda_on_host::enqueue, [](CUstream_st* asked) { return asked->capturing != nullptr; },
                               &cuda_on_host::is_device_memory},
                              cuda_on_host::current_number(),
                              {},
                              false,
                              nullptr,
                              false,
                              {}};
    runtime().streams.insert(*stream);
    ++runtime().counts.live_streams;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    const cuda_on_host::Turn turn;
    if (cuda_on_host::capturing()) return cuda_on_host::failed(cudaErrorStreamCaptureUnsupported);
    cuda_on_host::flush(stream);
    runtime().streams.erase(stream);
    delete stream;
    --runtime().counts.live_streams;
    return cuda_on_host::is_broken() ? cuda_on_host::failed(broken) : cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    const cuda_on_host::Turn turn;
    if (cuda_on_host::is_broken()) return cuda_on_host::failed(broken);
    if (cuda_on_host::capturing()) return cuda_on_host::failed(cudaErrorStreamCaptureUnsupported);
    ++runtime().counts.waits;
    cuda_on_host::flush(stream);
    return cuda_on_host::is_broken() ? cuda_on_host::failed(broken) : cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
    const cuda_on_host::Turn turn;
    if (cuda_on_host::is_broken()) return cuda_on_host::failed(broken);
    if (cuda_on_host::capturing()) return cuda_on_host::failed(cudaErrorStreamCaptureUnsupported);
    ++runtime().counts.waits;
    cuda_on_host::wait_for_all();
    return cuda_on_host::is_broken() ? cuda_on_host::failed(broken) : cudaSuccess;
}

/// Work is done when somebody asks for it.
cudaError_t cudaStreamQuery(cudaStream_t stream) {
    const cuda_on_host::Turn turn;
    const std::uint64_t most = runtime().machine.stuck_after;
    if (most > 0 && ++runtime().questions > most) return cudaErrorNotReady;
    return cudaStreamSynchronize(stream);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode /*mode*/) {
    const cuda_on_host::Turn turn;
    if (cuda_on_host::is_broken()) return cuda_on_host::failed(broken);
    if (stream->capturing != nullptr) return cuda_on_host::failed(cudaErrorStreamCaptureUnsupported);
    stream->capturing = std::make_unique<CUgraph_st>();
    stream->capturing_thread = std::this_thread::get_id();
    stream->invalidated = false;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    const cuda_on_host::Turn turn;
    *graph = nullptr;
    if (stream->capturing == nullptr) return cuda_on_host::failed(cudaErrorInvalidValue);
    const std::unique_ptr<CUgraph_st> captured = std::move(stream->capturing);
    if (stream->invalidated) return cuda_on_host::failed(cudaErrorStreamCaptureInvalidated);
    if (runtime().machine.capture_error != cudaSuccess) return cuda_on_host::failed(runtime().machine.capture_error);
    *graph = new CUgraph_st(*captured);
    ++runtime().counts.captures;
    ++runtime().counts.live_graphs;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long /*flags*/) {
    const cuda_on_host::Turn turn;
    if (cuda_on_host::is_broken()) return cuda_on_host::failed(broken);
    if (runtime().machine.graph_error != cudaSuccess) return cuda_on_host::failed(runtime().machine.graph_error);
    if (cuda_on_host::allocation_fails()) return cuda_on_host::failed(cudaErrorMemoryAllocation);
    *executable = new CUgraphExec_st{graph->work};
    auto& counts = runtime().counts;
    ++counts.live_graphs;
    counts.live_nodes += graph->work.size();
    counts.peak_nodes = std::max(counts.peak_nodes, counts.live_nodes);
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    const cuda_on_host::Turn turn;
    delete graph;
    --runtime().counts.live_graphs;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    const cuda_on_host::Turn turn;
    runtime().counts.live_nodes -= executable->work.size();
    delete executable;
    --runtime().counts.live_graphs;
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t stream) {
    const cuda_on_host::Turn turn;
    if (cuda_on_host::is_broken()) return cuda_on_host::failed(broken);
    if (executable == nullptr || cuda_on_host::capturing() || stream->capturing != nullptr) {
        return cuda_on_host::failed(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    const cuda_on_host::Turn turn;
    if (cuda_on_host::is_broken()) return cuda_on_host::failed(broken);
    if (stream->capturing != nullptr) return cuda_on_host::failed(cudaErrorStreamCaptureUnsupported);
    ++runtime().counts.graph_launches;
    for (const auto& each : executable->work) cuda_on_host::put(stream, each);
    return cudaSuccess;
}
