// What gpu_probe measures of libraries: Thrust's sorts and merges, cuBLAS's dense and cuSPARSE's sparse products.
#include <cublas_v2.h>
#include <cusparse.h>
#include <thrust/copy.h>
#include <thrust/execution_policy.h>
#include <thrust/merge.h>
#include <thrust/scan.h>
#include <thrust/sort.h>
#include <thrust/system/cuda/execution_policy.h>

#include <cstdint>
#include <map>
#include <random>

#include "bench/gpu_probe.hpp"

namespace espalier::probe {
namespace {

void check(cublasStatus_t status, const char* what) {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    std::fprintf(stderr, "gpu_probe: %s failed: %s\n", what, cublasGetStatusString(status));
    std::exit(6);
}
void check(cusparseStatus_t status, const char* what) {
    if (status == CUSPARSE_STATUS_SUCCESS) return;
    std::fprintf(stderr, "gpu_probe: %s failed: %s\n", what, cusparseGetErrorString(status));
    std::exit(6);
}
using probe::check;

__global__ void scramble_kernel(std::uint32_t* words, std::size_t count, std::uint32_t seed) {
    for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < count;
         i += std::size_t{gridDim.x} * blockDim.x) {
        std::uint32_t z = static_cast<std::uint32_t>(i) * 2654435761U + seed;
        z = (z ^ (z >> 16)) * 0x85ebca6bU;
        z = (z ^ (z >> 13)) * 0xc2b2ae35U;
        words[i] = z ^ (z >> 16);
    }
}
void scramble(cudaStream_t stream, std::uint32_t* words, std::size_t count, std::uint32_t seed) {
    scramble_kernel<<<1024, 256, 0, stream>>>(words, count, seed);
}

/// Uniform in (-1, 1): a device multiplies zeros faster than numbers.
__global__ void fill_kernel(float* values, std::size_t count, std::uint32_t seed) {
    for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < count;
         i += std::size_t{gridDim.x} * blockDim.x) {
        std::uint32_t z = static_cast<std::uint32_t>(i) * 2654435761U + seed;
        z = (z ^ (z >> 16)) * 0x85ebca6bU;
        z = (z ^ (z >> 13)) * 0xc2b2ae35U;
        values[i] = static_cast<float>(z >> 8) * (1.0F / 8388608.0F) - 1.0F;
    }
}
/// `count` floats of device memory, filled.
class Numbers {
public:
    Numbers(cudaStream_t stream, std::size_t count, std::uint32_t seed) : memory_(count) {
        fill_kernel<<<1024, 256, 0, stream>>>(memory_.data(), count, seed);
    }
    [[nodiscard]] float* data() const { return memory_.data(); }

private:
    Memory<float> memory_;
};

/// Thrust's temporaries from blocks that are kept, as the backend's evolution takes them: cudaMalloc is not what is timed.
struct Pool {
    using value_type = char;
    Pool() = default;
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;
    ~Pool() {
        for (const auto& [bytes, block] : idle) cudaFree(block);
    }
    char* allocate(std::ptrdiff_t bytes) {
        const auto size = static_cast<std::size_t>(bytes);
        if (const auto found = idle.lower_bound(size); found != idle.end()) {
            char* const block = found->second;
            on_loan[block] = found->first;
            idle.erase(found);
            return block;
        }
        char* block = nullptr;
        check(cudaMalloc(&block, size), "cudaMalloc");
        on_loan[block] = size;
        return block;
    }
    void deallocate(char* block, std::size_t /*bytes*/) {
        idle.emplace(on_loan.at(block), block);
        on_loan.erase(block);
    }
    std::multimap<std::size_t, char*> idle;
    std::map<char*, std::size_t> on_loan;
};

struct IsEven {
    __host__ __device__ bool operator()(std::uint32_t word) const { return word % 2 == 0; }
};

double seconds_less(double whole, double part) { return whole > part ? whole - part : whole; }

void sort_rates(cudaStream_t stream, Report& report, std::size_t count, const std::string& size) {
    Pool pool;
    const auto policy = thrust::cuda::par_nosync(pool).on(stream);
    const Memory<std::uint32_t> keys(count);
    const Memory<std::uint32_t> values(count);
    const Memory<std::uint32_t> merged(count * 2);
    const auto fill = [&](cudaStream_t s) { scramble(s, keys.data(), count, 1); };
    const Spread filling = seconds_of(stream, fill);
    const auto without_filling = [&](Spread whole) {
        return Spread{seconds_less(whole.best, filling.best), seconds_less(whole.median, filling.median)};
    };
    report.rate("thrust/sort/" + size, static_cast<double>(count),
                without_filling(seconds_of(stream,
                                           [&](cudaStream_t s) {
                                               fill(s);
                                               thrust::sort(policy, keys.data(), keys.data() + count);
                                           })),
                "keys/s");
    report.rate("thrust/stable_sort_by_key/" + size, static_cast<double>(count),
                without_filling(seconds_of(stream,
                                           [&](cudaStream_t s) {
                                               fill(s);
                                               thrust::stable_sort_by_key(policy, keys.data(), keys.data() + count,
                                                                          values.data());
                                           })),
                "keys/s");
    report.rate("thrust/copy_if/" + size, static_cast<double>(count),
                seconds_of(stream,
                           [&](cudaStream_t) {
                               thrust::copy_if(policy, keys.data(), keys.data() + count, merged.data(), IsEven{});
                           }),
                "keys/s");
    scramble(stream, values.data(), count, 2);
    thrust::sort(policy, keys.data(), keys.data() + count);
    thrust::sort(policy, values.data(), values.data() + count);
    report.rate("thrust/merge/" + size, 2.0 * static_cast<double>(count),
                seconds_of(stream,
                           [&](cudaStream_t) {
                               thrust::merge(policy, keys.data(), keys.data() + count, values.data(),
                                             values.data() + count, merged.data());
                           }),
                "keys/s");
    report.rate("thrust/exclusive_scan/" + size, static_cast<double>(count),
                seconds_of(stream,
                           [&](cudaStream_t) {
                               thrust::exclusive_scan(policy, keys.data(), keys.data() + count, merged.data());
                           }),
                "keys/s");
}

void dense_rates(cudaStream_t stream, Report& report) {
    cublasHandle_t handle = nullptr;
    check(cublasCreate(&handle), "cublasCreate");
    check(cublasSetStream(handle, stream), "cublasSetStream");
    for (const int n : {4096, 16384}) {
        for (const int batch : {128, 1024}) {
            const Numbers w(stream, static_cast<std::size_t>(n) * n, 1);
            const Numbers x(stream, static_cast<std::size_t>(n) * batch, 2);
            const Memory<float> y(static_cast<std::size_t>(n) * batch);
            const float one = 1;
            const float zero = 0;
            for (const auto [mode, name] :
                 {std::pair(CUBLAS_PEDANTIC_MATH, "fp32"), {CUBLAS_TF32_TENSOR_OP_MATH, "tf32"}}) {
                check(cublasSetMathMode(handle, mode), "cublasSetMathMode");
                const Spread seconds = seconds_of(stream, [&](cudaStream_t) {
                    check(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, batch, n, n, &one, x.data(), batch, w.data(), n,
                                      &zero, y.data(), batch),
                          "cublasSgemm");
                });
                report.rate(std::string("cublas/") + name + "/" + std::to_string(n) + "/batch" + std::to_string(batch),
                            2.0 * n * n * batch, seconds, "flop/s");
            }
        }
    }
    check(cublasDestroy(handle), "cublasDestroy");
}

/// Every cell is an edge with probability `density`; columns ascending.
struct RandomCsr {
    std::vector<std::int32_t> start{0};
    std::vector<std::int32_t> column;
    RandomCsr(int n, double density) {
        std::mt19937 random(1);
        std::geometric_distribution<int> gap(density);
        for (int r = 0; r < n; ++r) {
            for (std::int64_t c = gap(random); c < n; c += 1 + gap(random))
                column.push_back(static_cast<std::int32_t>(c));
            start.push_back(static_cast<std::int32_t>(column.size()));
        }
    }
};

void sparse_rate(cudaStream_t stream, Report& report, cusparseHandle_t handle, int n, double density, int batch) {
    const RandomCsr csr(n, density);
    const auto edges = static_cast<std::int64_t>(csr.column.size());
    Memory<std::int32_t> start(csr.start.size());
    Memory<std::int32_t> column(csr.column.size());
    const Numbers weight(stream, csr.column.size(), 3);
    start.upload(csr.start);
    column.upload(csr.column);
    const Numbers x(stream, static_cast<std::size_t>(n) * batch, 4);
    const Memory<float> y(static_cast<std::size_t>(n) * batch);
    cusparseSpMatDescr_t matrix = nullptr;
    cusparseDnMatDescr_t in = nullptr;
    cusparseDnMatDescr_t out = nullptr;
    check(cusparseCreateCsr(&matrix, n, n, edges, start.data(), column.data(), weight.data(), CUSPARSE_INDEX_32I,
                            CUSPARSE_INDEX_32I, CUSPARSE_INDEX_BASE_ZERO, CUDA_R_32F),
          "cusparseCreateCsr");
    check(cusparseCreateDnMat(&in, n, batch, batch, x.data(), CUDA_R_32F, CUSPARSE_ORDER_ROW), "cusparseCreateDnMat");
    check(cusparseCreateDnMat(&out, n, batch, batch, y.data(), CUDA_R_32F, CUSPARSE_ORDER_ROW), "cusparseCreateDnMat");
    const float one = 1;
    const float zero = 0;
    for (const auto [algorithm, name] : {std::pair(CUSPARSE_SPMM_CSR_ALG2, "alg2"), {CUSPARSE_SPMM_CSR_ALG3, "alg3"}}) {
        std::size_t bytes = 0;
        check(cusparseSpMM_bufferSize(handle, CUSPARSE_OPERATION_NON_TRANSPOSE, CUSPARSE_OPERATION_NON_TRANSPOSE, &one,
                                      matrix, in, &zero, out, CUDA_R_32F, algorithm, &bytes),
              "cusparseSpMM_bufferSize");
        const Memory<char> scratch(bytes + 16);
        check(cusparseSpMM_preprocess(handle, CUSPARSE_OPERATION_NON_TRANSPOSE, CUSPARSE_OPERATION_NON_TRANSPOSE, &one,
                                      matrix, in, &zero, out, CUDA_R_32F, algorithm, scratch.data()),
              "cusparseSpMM_preprocess");
        const Spread seconds = seconds_of(stream, [&](cudaStream_t) {
            check(cusparseSpMM(handle, CUSPARSE_OPERATION_NON_TRANSPOSE, CUSPARSE_OPERATION_NON_TRANSPOSE, &one, matrix,
                               in, &zero, out, CUDA_R_32F, algorithm, scratch.data()),
                  "cusparseSpMM");
        });
        report.rate(std::string("cusparse/") + name + "/" + std::to_string(n) + "/permille" +
                        std::to_string(static_cast<int>(density * 1000 + 0.5)) + "/batch" + std::to_string(batch),
                    2.0 * static_cast<double>(edges) * batch, seconds, "flop/s");
    }
    check(cusparseDestroySpMat(matrix), "cusparseDestroySpMat");
    check(cusparseDestroyDnMat(in), "cusparseDestroyDnMat");
    check(cusparseDestroyDnMat(out), "cusparseDestroyDnMat");
}

}  // namespace

void probe_sorting(cudaStream_t stream, Report& report) {
    sort_rates(stream, report, 100000, "1e5");
    sort_rates(stream, report, 10000000, "1e7");
    std::size_t free_bytes = 0;
    std::size_t all_bytes = 0;
    check(cudaMemGetInfo(&free_bytes, &all_bytes), "cudaMemGetInfo");
    constexpr std::size_t many = 1000000000;
    if (free_bytes > 32 * many) {
        sort_rates(stream, report, many, "1e9");
    } else {
        report.absent("thrust/sort/1e9", "less than 32 GB of device memory is free");
    }
}

void probe_libraries(cudaStream_t stream, Report& report) {
    dense_rates(stream, report);
    cusparseHandle_t handle = nullptr;
    check(cusparseCreate(&handle), "cusparseCreate");
    check(cusparseSetStream(handle, stream), "cusparseSetStream");
    for (const double density : {0.1, 0.05, 0.02, 0.01, 0.001}) {
        for (const int batch : {128, 1024}) sparse_rate(stream, report, handle, 4096, density, batch);
    }
    sparse_rate(stream, report, handle, 16384, 0.02, 1024);
    check(cusparseDestroy(handle), "cusparseDestroy");
}

}  // namespace espalier::probe
