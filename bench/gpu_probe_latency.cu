// gpu_probe: what one warp and one block wait for: the constants of a machine file of bench/gpu_model.py. A kernel of a
// small layer is a chain of these. Cycles are the device's own, read by the code that is measured.
#include "bench/gpu_probe.hpp"

#include <numeric>
#include <random>

namespace espalier::probe {
namespace {

constexpr int steps = 4096;

// Stores to volatile memory stand before and after what is measured: nothing is moved across them, and the second waits
// for the result.

enum class Level { l1, l2, shared };

/// The next place of a ring. A table in memory has a place a line of 128 bytes.
template <Level level>
__device__ unsigned follow(const unsigned* next, unsigned at) {
    return level == Level::l1 ? __ldca(next + at) : level == Level::l2 ? __ldcg(next + at) : next[at];
}

/// A thread follows a ring, each load waiting for the one before.
template <Level level>
__global__ void chase_kernel(const unsigned* next, unsigned places, volatile unsigned* result, long long* cycles) {
    __shared__ unsigned table[64];
    if constexpr (level == Level::shared) {
        for (unsigned i = 0; i < 64; ++i) table[i] = (i * 37 + 11) % 64;
        next = table;
    }
    unsigned at = 0;
    for (unsigned i = 0; i < places; ++i) at = follow<level>(next, at);  // into the cache
    *result = at;
    const long long begin = clock64();
    for (int i = 0; i < steps; ++i) at = follow<level>(next, at);
    *result = at;
    *cycles = clock64() - begin;
}

struct DependentFma {
    __device__ float operator()(float x) const { return fmaf(x, 0.5F, 1.0F); }
};
struct Shuffle {
    __device__ float operator()(float x) const { return __shfl_xor_sync(0xffffffffU, x, 1); }
};
/// A warp does `steps` times what waits for the time before.
template <class Operation>
__global__ void chain_kernel(volatile float* result, long long* cycles) {
    float x = *result;
    *result = x;
    const long long begin = clock64();
#pragma unroll 16
    for (int i = 0; i < steps; ++i) x = Operation{}(x);
    *result = x;
    if (threadIdx.x == 0) *cycles = clock64() - begin;
}

constexpr int rows_a_warp = 2048;

/// One block gathers rows of 512 bytes past its L1 cache, eight of them on their way in each warp.
__global__ void __launch_bounds__(1024)
    block_gather_kernel(const float4* rows, unsigned count, float* sums, long long* cycles) {
    const unsigned lane = threadIdx.x % 32;
    unsigned state = threadIdx.x / 32 * 2654435761U + 12345U;
    float sum = 0;
    __syncthreads();
    const long long begin = clock64();
    for (int done = 0; done < rows_a_warp; done += 8) {
        float4 in[8];
#pragma unroll
        for (int u = 0; u < 8; ++u) {
            state = state * 1664525U + 1013904223U;
            in[u] = __ldcg(rows + std::size_t{__umulhi(state, count)} * 32 + lane);
        }
#pragma unroll
        for (int u = 0; u < 8; ++u) sum += (in[u].x + in[u].y) + (in[u].z + in[u].w);
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x == 0) *cycles = clock64() - begin;
}

__global__ void programmatic_kernel() {
#if __CUDA_ARCH__ >= 900
    cudaTriggerProgrammaticLaunchCompletion();
    cudaGridDependencySynchronize();
#endif
}

/// The cycles that launch(cycles) leaves on the device: of several times after one that warms up.
template <class Launch>
Spread cycles_of(cudaStream_t stream, const Launch& launch) {
    const Memory<long long> cycles(1);
    std::vector<double> found;
    for (int i = -1; i < 9; ++i) {
        launch(cycles.data());
        check(cudaGetLastError(), "a launch");
        check(cudaStreamSynchronize(stream), "a probe");
        long long one = 0;
        check(cudaMemcpy(&one, cycles.data(), sizeof one, cudaMemcpyDeviceToHost), "cudaMemcpy");
        if (i >= 0) found.push_back(static_cast<double>(one));
    }
    std::sort(found.begin(), found.end());
    return {found.front(), found[found.size() / 2]};
}

/// next[i] of a ring through all lines, in no order.
std::vector<unsigned> ring_of(unsigned lines) {
    constexpr unsigned words = 32;
    std::vector<unsigned> order(lines);
    std::iota(order.begin(), order.end(), 0U);
    std::shuffle(order.begin(), order.end(), std::mt19937(1));
    std::vector<unsigned> next(std::size_t{lines} * words);
    for (unsigned i = 0; i < lines; ++i) next[std::size_t{order[i]} * words] = order[(i + 1) % lines] * words;
    return next;
}

template <Level level>
void probe_chase(cudaStream_t stream, Report& report, const char* name, std::size_t bytes) {
    const auto lines = static_cast<unsigned>(bytes / 128);
    Memory<unsigned> next(std::size_t{lines} * 32);
    next.upload(ring_of(lines));
    const Memory<unsigned> result(1);
    report.time(name, steps, cycles_of(stream, [&](long long* cycles) {
                    chase_kernel<level><<<1, 1, 0, stream>>>(next.data(), lines, result.data(), cycles);
                }), 1, "cycles");
}

template <class Operation>
void probe_chain(cudaStream_t stream, Report& report, const char* name) {
    const Memory<float> result(1);
    report.time(name, steps, cycles_of(stream, [&](long long* cycles) {
                    chain_kernel<Operation><<<1, 32, 0, stream>>>(result.data(), cycles);
                }), 1, "cycles");
}

void probe_block(cudaStream_t stream, const cudaDeviceProp& device, Report& report) {
    const auto l2 = static_cast<std::size_t>(device.l2CacheSize);
    const std::size_t bytes = std::min(std::size_t{4} << 20, l2 / 2);
    const Memory<float4> rows(bytes / sizeof(float4));
    const Memory<float> sums(1024);
    for (const int warps : {1, 2, 4, 8, 16, 32}) {
        const Spread cycles = cycles_of(stream, [&](long long* to) {
            block_gather_kernel<<<1, warps * 32, 0, stream>>>(rows.data(), static_cast<unsigned>(bytes / 512),
                                                              sums.data(), to);
        });
        report.rate("one-block-from-l2/" + std::to_string(warps) + "warps", 512.0 * rows_a_warp * warps, cycles,
                    "bytes/cycle");
    }
}

/// The gap between nodes of a graph that begin before the one ahead has ended.
void probe_programmatic_edges(cudaStream_t stream, const cudaDeviceProp& device, Report& report) {
    const char* const name = "launch/graph-node-programmatic";
    if (device.major < 9) return report.absent(name, "programmatic edges need compute capability 9.0");
    constexpr int nodes = 1000;
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(device.multiProcessorCount));
    config.blockDim = dim3(256);
    config.attrs = &attribute;
    config.numAttrs = 1;
    report.time(name, nodes, seconds_of_replay(stream, [&](cudaStream_t s) {
                    config.stream = s;
                    for (int i = 0; i < nodes; ++i) check(cudaLaunchKernelEx(&config, programmatic_kernel), "a launch");
                }), 1e6, "us");
}

}  // namespace

void probe_latencies(cudaStream_t stream, const cudaDeviceProp& device, Report& report) {
    probe_chase<Level::shared>(stream, report, "latency/shared", std::size_t{16} << 10);
    probe_chase<Level::l1>(stream, report, "latency/l1", std::size_t{16} << 10);
    probe_chase<Level::l2>(stream, report, "latency/l2", static_cast<std::size_t>(device.l2CacheSize) / 8);
    probe_chain<DependentFma>(stream, report, "latency/fma");
    probe_chain<Shuffle>(stream, report, "latency/shuffle");
    probe_block(stream, device, report);
    probe_programmatic_edges(stream, device, report);
}

}  // namespace espalier::probe
