// gpu_probe: measures what the CUDA design assumes and prints it as JSON. Without a device it prints no figure, says
// why and ends with 6.
#include "bench/gpu_probe.hpp"

#include <cooperative_groups.h>

namespace espalier::probe {
namespace {

constexpr int threads = 256;

/// Every warp reads `reads` chunks of `floats_a_lane` * 128 bytes from pseudo-random places and sums them.
template <int floats_a_lane>
__global__ void gather_kernel(const float* from, unsigned chunks, int reads, float* sums) {
    constexpr unsigned chunk = 32 * floats_a_lane;
    const unsigned lane = threadIdx.x % 32;
    const unsigned warp = (blockIdx.x * blockDim.x + threadIdx.x) / 32;
    unsigned state = warp * 2654435761U + 12345U;
    float sum = 0;
#pragma unroll 8
    for (int i = 0; i < reads; ++i) {
        state = state * 1664525U + 1013904223U;
        const unsigned place = __umulhi(state, chunks);
        const float* at = from + static_cast<std::size_t>(place) * chunk + lane * floats_a_lane;
        if constexpr (floats_a_lane == 4) {
            const float4 v = *reinterpret_cast<const float4*>(at);
            sum += (v.x + v.y) + (v.z + v.w);
        } else if constexpr (floats_a_lane == 2) {
            const float2 v = *reinterpret_cast<const float2*>(at);
            sum += v.x + v.y;
        } else {
            sum += *at;
        }
    }
    sums[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

template <int floats_a_lane>
void gather_rate(cudaStream_t stream, const cudaDeviceProp& device, Report& report, std::size_t bytes) {
    const int blocks = device.multiProcessorCount * 8;
    constexpr int reads = 512;
    const Memory<float> from(bytes / sizeof(float));
    const Memory<float> sums(static_cast<std::size_t>(blocks) * threads);
    const unsigned chunks = static_cast<unsigned>(bytes / (128 * floats_a_lane));
    const Spread seconds = seconds_of(stream, [&](cudaStream_t s) {
        gather_kernel<floats_a_lane><<<blocks, threads, 0, s>>>(from.data(), chunks, reads, sums.data());
    });
    const double moved = 128.0 * floats_a_lane * reads * blocks * (threads / 32);
    report.rate("gather/" + std::to_string(128 * floats_a_lane) + "B/" + std::to_string(bytes >> 20) + "MiB", moved,
                seconds, "bytes/s");
}

__global__ void copy_kernel(const float4* from, float4* to, std::size_t count) {
    for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < count;
         i += std::size_t{gridDim.x} * blockDim.x) {
        to[i] = from[i];
    }
}

/// A panel's inner loop: two edges by one broadcast of 16 bytes, for each 16 bytes a lane of samples and four fmaf.
__global__ void __launch_bounds__(512) panel_loop_kernel(int pairs, float* sums, long long* cycles) {
    extern __shared__ float4 samples[];  // [64][32] samples, then 64 pairs
    auto* staged = reinterpret_cast<uint4*>(samples + 64 * 32);
    const unsigned lane = threadIdx.x % 32;
    for (unsigned i = threadIdx.x; i < 64 * 32; i += blockDim.x) samples[i] = make_float4(1, 1, 1, 1);
    for (unsigned i = threadIdx.x; i < 64; i += blockDim.x) {
        staged[i] = make_uint4(i * 37 % 64 * 32, __float_as_uint(0.5F), i * 11 % 64 * 32, __float_as_uint(0.25F));
    }
    __syncthreads();
    float4 sum = make_float4(0, 0, 0, 0);
    const auto add = [&](float w, float4 v) {
        sum = make_float4(fmaf(w, v.x, sum.x), fmaf(w, v.y, sum.y), fmaf(w, v.z, sum.z), fmaf(w, v.w, sum.w));
    };
    const long long begin = clock64();
    for (int p = 0; p < pairs; ++p) {
        const uint4 pair = staged[p % 64];
        add(__uint_as_float(pair.y), samples[pair.x + lane]);
        add(__uint_as_float(pair.w), samples[pair.z + lane]);
    }
    const long long end = clock64();
    sums[blockIdx.x * blockDim.x + threadIdx.x] = (sum.x + sum.y) + (sum.z + sum.w);
    if (threadIdx.x == 0) cycles[blockIdx.x] = end - begin;
}

__global__ void empty_kernel(float* word) {
    if (word == nullptr) return;
    if (threadIdx.x == 1024) *word = 0;  // never
}

__global__ void grid_barrier_kernel(int rounds) {
    const auto grid = cooperative_groups::this_grid();
    for (int i = 0; i < rounds; ++i) grid.sync();
}

#if __CUDA_ARCH__ >= 900 || !defined(__CUDA_ARCH__)
__global__ void cluster_barrier_kernel(int rounds) {
    const auto cluster = cooperative_groups::this_cluster();
    for (int i = 0; i < rounds; ++i) cluster.sync();
}
#else
__global__ void cluster_barrier_kernel(int /*rounds*/) {}
#endif

void probe_graph(cudaStream_t stream, Report& report, int blocks) {
    constexpr int nodes = 1000;
    const auto enqueue = [&](cudaStream_t s) {
        for (int i = 0; i < nodes; ++i) empty_kernel<<<blocks, threads, 0, s>>>(nullptr);
    };
    report.time("launch/stream", nodes, seconds_of(stream, enqueue), 1e6, "us");
    report.time("launch/graph-node", nodes, seconds_of_replay(stream, enqueue), 1e6, "us");
}

}  // namespace

void probe_memory(cudaStream_t stream, const cudaDeviceProp& device, Report& report) {
    for (const std::size_t mib : {2U, 10U, 20U, 30U, 40U, 60U, 200U, 1000U}) {
        gather_rate<4>(stream, device, report, mib << 20);
        gather_rate<2>(stream, device, report, mib << 20);
        gather_rate<1>(stream, device, report, mib << 20);
    }
    {
        constexpr std::size_t bytes = std::size_t{1} << 30;
        const Memory<float4> from(bytes / sizeof(float4));
        const Memory<float4> to(bytes / sizeof(float4));
        const Spread seconds = seconds_of(stream, [&](cudaStream_t s) {
            copy_kernel<<<device.multiProcessorCount * 16, threads, 0, s>>>(from.data(), to.data(),
                                                                            bytes / sizeof(float4));
        });
        report.rate("copy/1GiB", 2.0 * bytes, seconds, "bytes/s");
    }
    constexpr int pairs = 4096;
    constexpr std::size_t shared = (64 * 32 + 64) * sizeof(float4);
    for (const int warps : {4, 8, 16}) {
        const Memory<float> sums(static_cast<std::size_t>(device.multiProcessorCount) * 512);
        const Memory<long long> cycles(static_cast<std::size_t>(device.multiProcessorCount));
        const Spread seconds = seconds_of(stream, [&](cudaStream_t s) {
            panel_loop_kernel<<<device.multiProcessorCount, warps * 32, shared, s>>>(pairs, sums.data(), cycles.data());
        });
        std::vector<long long> found(static_cast<std::size_t>(device.multiProcessorCount));
        check(cudaMemcpy(found.data(), cycles.data(), found.size() * sizeof(long long), cudaMemcpyDeviceToHost),
              "cudaMemcpy");
        std::sort(found.begin(), found.end());
        const double edges = 2.0 * pairs * warps;
        const std::string name = "panel-loop/" + std::to_string(warps) + "warps";
        const double median = static_cast<double>(found[found.size() / 2]);
        report.time(name + "/cycles-an-edge", edges, {static_cast<double>(found.front()), median}, 1, "cycles");
        report.rate(name, 2.0 * 128 * edges * device.multiProcessorCount, seconds, "flop/s");
    }
}

void probe_launches(cudaStream_t stream, const cudaDeviceProp& device, Report& report) {
    probe_graph(stream, report, device.multiProcessorCount);
    int rounds = 1000;
    void* arguments[] = {&rounds};
    if (device.cooperativeLaunch != 0) {
        const Spread seconds = seconds_of(stream, [&](cudaStream_t s) {
            check(cudaLaunchCooperativeKernel(grid_barrier_kernel, dim3(device.multiProcessorCount), dim3(threads),
                                              arguments, 0, s),
                  "cudaLaunchCooperativeKernel");
        });
        report.time("barrier/grid", rounds, seconds, 1e6, "us");
    } else {
        report.absent("barrier/grid", "the device launches no cooperative grids");
    }
    for (const unsigned size : {2U, 8U}) {
        const std::string name = "barrier/cluster-" + std::to_string(size);
        if (device.major < 9) {
            report.absent(name, "clusters need compute capability 9.0");
            continue;
        }
        cudaLaunchAttribute attribute{};
        attribute.id = cudaLaunchAttributeClusterDimension;
        attribute.val.clusterDim = {size, 1, 1};
        cudaLaunchConfig_t config{};
        config.gridDim = dim3(size);
        config.blockDim = dim3(threads);
        config.stream = stream;
        config.attrs = &attribute;
        config.numAttrs = 1;
        const Spread seconds = seconds_of(stream, [&](cudaStream_t) {
            check(cudaLaunchKernelEx(&config, cluster_barrier_kernel, rounds), "cudaLaunchKernelEx");
        });
        report.time(name, rounds, seconds, 1e6, "us");
    }
}

}  // namespace espalier::probe

int main() {
    using namespace espalier::probe;
    int devices = 0;
    const cudaError_t found = cudaGetDeviceCount(&devices);
    if (found != cudaSuccess || devices == 0) {
        std::fprintf(stderr, "gpu_probe: there is no CUDA device to measure (%s)\n",
                     found != cudaSuccess ? cudaGetErrorString(found) : "none is listed");
        return 6;
    }
    cudaDeviceProp device{};
    check(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
    int driver = 0;
    int runtime = 0;
    check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
    check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
    std::printf("{\n  \"device\": \"%s\", \"compute_capability\": \"%d.%d\", \"multiprocessors\": %d,\n", device.name,
                device.major, device.minor, device.multiProcessorCount);
    std::printf("  \"l2_bytes\": %d, \"shared_bytes_a_block\": %zu, \"memory_bytes\": %zu,\n", device.l2CacheSize,
                device.sharedMemPerBlockOptin, device.totalGlobalMem);
    std::printf("  \"driver\": %d, \"runtime\": %d,\n  \"figures\": {", driver, runtime);
    Report report;
    probe_memory(stream, device, report);
    probe_latencies(stream, device, report);
    probe_launches(stream, device, report);
    probe_sorting(stream, report);
    probe_libraries(stream, report);
    std::printf("\n  }\n}\n");
    check(cudaStreamDestroy(stream), "cudaStreamDestroy");
    return 0;
}
