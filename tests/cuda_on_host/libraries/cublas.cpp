// Stands in for cuBLAS at its C interface: plain loops, queued on the stream as its kernels would be. A handle without
// a workspace of the caller's would allocate while a program is captured: refused. Matrices are counted by columns.
#include "cublas_v2.h"

#include <algorithm>
#include <cstring>

#include "strict.hpp"

struct cublasContext {
    cudaStream_t stream = nullptr;
    bool has_workspace = false;
    bool tf32 = false;
};

namespace {

using cuda_on_host::require;

/// A factor as TF32 has it: 10 bits of mantissa.
float rounded(float value, bool tf32) {
    if (!tf32) return value;
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    bits = (bits + 0x1000U) & ~std::uint32_t{0x1fff};
    std::memcpy(&value, &bits, sizeof bits);
    return value;
}

/// Matrices [count], each `rows` x `columns` in memory.
struct Matrices {
    const float* data;
    int rows, columns, leading;
    long long stride;

    [[nodiscard]] bool is_valid() const { return rows >= 0 && columns >= 0 && leading >= std::max(1, rows); }
    [[nodiscard]] std::size_t size(int count) const {
        if (rows == 0 || columns == 0 || count == 0) return 0;
        return static_cast<std::size_t>(stride) * static_cast<std::size_t>(count - 1) +
               static_cast<std::size_t>(leading) * static_cast<std::size_t>(columns - 1) +
               static_cast<std::size_t>(rows);
    }
    [[nodiscard]] float at(int matrix, int row, int column) const {
        return data[stride * matrix + static_cast<std::ptrdiff_t>(leading) * column + row];
    }
};

cublasStatus_t multiply(cublasHandle_t handle, bool turn_a, bool turn_b, int k, float alpha, const Matrices& a,
                        const Matrices& b, float beta, const Matrices& c, float* to, int count) {
    require(handle->has_workspace, "a product by a handle without a workspace");
    if (!a.is_valid() || !b.is_valid() || !c.is_valid() || k < 0 || count < 0) return CUBLAS_STATUS_INVALID_VALUE;
    for (const Matrices* each : {&a, &b, &c}) {
        if (each->size(count) > 0) {
            cuda_on_host::require_array(handle->stream, each->data, each->size(count),
                                        "cuBLAS: a matrix out of bounds");
        }
    }
    require(count < 2 || c.stride >= static_cast<long long>(c.leading) * c.columns, "cuBLAS: results that overlap");
    cuda_on_host::library_stream(handle->stream).enqueue(handle->stream, [=, tf32 = handle->tf32] {
        for (int matrix = 0; matrix < count; ++matrix) {
            for (int column = 0; column < c.columns; ++column) {
                for (int row = 0; row < c.rows; ++row) {
                    float sum = 0;
                    for (int i = 0; i < k; ++i) {
                        sum += rounded(turn_a ? a.at(matrix, i, row) : a.at(matrix, row, i), tf32) *
                               rounded(turn_b ? b.at(matrix, column, i) : b.at(matrix, i, column), tf32);
                    }
                    cuda_on_host::combine(to[c.stride * matrix + static_cast<std::ptrdiff_t>(c.leading) * column + row],
                                          alpha, sum, beta);
                }
            }
        }
    });
    return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
    *handle = new cublasContext;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
    handle->stream = stream;
    handle->has_workspace = false;  // as documented: it goes back to its own
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
    handle->tf32 = mode == CUBLAS_TF32_TENSOR_OP_MATH;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, std::size_t bytes) {
    require(handle->stream != nullptr, "cuBLAS: a workspace before the stream, which resets it");
    require(!cuda_on_host::library_stream(handle->stream).is_capturing(handle->stream), "cuBLAS: set up in a capture");
    if (reinterpret_cast<std::uintptr_t>(workspace) % 256 != 0) return CUBLAS_STATUS_INVALID_VALUE;
    cuda_on_host::require_array(handle->stream, static_cast<char*>(workspace), bytes, "cuBLAS: the workspace");
    handle->has_workspace = true;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t turn_a, cublasOperation_t turn_b, int m, int n,
                              int k, const float* alpha, const float* a, int lda, const float* b, int ldb,
                              const float* beta, float* c, int ldc) {
    return cublasSgemmStridedBatched(handle, turn_a, turn_b, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1);
}
cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t turn_a, cublasOperation_t turn_b,
                                         int m, int n, int k, const float* alpha, const float* a, int lda,
                                         long long int stride_a, const float* b, int ldb, long long int stride_b,
                                         const float* beta, float* c, int ldc, long long int stride_c, int count) {
    const bool at = turn_a != CUBLAS_OP_N;
    const bool bt = turn_b != CUBLAS_OP_N;
    return multiply(handle, at, bt, k, *alpha, {a, at ? k : m, at ? m : k, lda, stride_a},
                    {b, bt ? n : k, bt ? k : n, ldb, stride_b}, *beta, {c, m, n, ldc, stride_c}, c, count);
}

}  // extern "C"
