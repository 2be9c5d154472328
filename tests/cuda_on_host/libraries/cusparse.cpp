// Stands in for cuSPARSE at its C interface: plain loops, queued on the stream as its kernels would be, with the rules
// of its documentation. What was prepared belongs to a topology, to shapes and to a buffer; a product by anything else
// is found out.
#include "cusparse.h"

#include <memory>
#include <vector>

#include "strict.hpp"

using cuda_on_host::is_aligned;
using cuda_on_host::require;

struct cusparseContext {
    cudaStream_t stream = nullptr;
};

namespace {

/// What a preparation saw.
struct Prepared {
    void* buffer = nullptr;
    int algorithm = -1;
    std::int64_t samples = 0;
    std::shared_ptr<std::vector<std::int32_t>> topology = std::make_shared<std::vector<std::int32_t>>();
};

}  // namespace

struct cusparseSpMatDescr {
    std::int64_t rows, columns, count;
    const std::int32_t* start;
    const std::int32_t* column;
    float* values;
    Prepared product, gradient;

    /// On the stream.
    [[nodiscard]] std::vector<std::int32_t> topology() const {
        std::vector<std::int32_t> all(start, start + rows + 1);
        all.insert(all.end(), column, column + count);
        return all;
    }
};
struct cusparseDnMatDescr {
    std::int64_t rows, columns, leading;
    float* values;
    [[nodiscard]] float& at(std::int64_t row, std::int64_t column) const { return values[row * leading + column]; }
};

namespace {

void put(cusparseHandle_t handle, std::function<void()> work) {
    cuda_on_host::library_stream(handle->stream).enqueue(handle->stream, std::move(work));
}

void require_memory(cusparseHandle_t handle, const cusparseDnMatDescr& matrix) {
    const auto size = static_cast<std::size_t>((matrix.rows - 1) * matrix.leading + matrix.columns);
    cuda_on_host::require_array(handle->stream, matrix.values, size, "cuSPARSE: a dense matrix out of bounds");
}
void require_memory(cusparseHandle_t handle, const cusparseSpMatDescr& matrix) {
    const auto count = static_cast<std::size_t>(matrix.count);
    cuda_on_host::require_array(handle->stream, matrix.start, static_cast<std::size_t>(matrix.rows) + 1,
                                "cuSPARSE: the rows of a matrix out of bounds");
    cuda_on_host::require_array(handle->stream, matrix.column, count, "cuSPARSE: the columns out of bounds");
    cuda_on_host::require_array(handle->stream, matrix.values, count, "cuSPARSE: the values out of bounds");
}

void prepare(cusparseHandle_t handle, const cusparseSpMatDescr& matrix, Prepared& prepared, void* buffer, int algorithm,
             std::int64_t samples) {
    require(buffer != nullptr && is_aligned(buffer), "cuSPARSE: the scratch memory");
    require(!cuda_on_host::library_stream(handle->stream).is_capturing(handle->stream),
            "cuSPARSE: prepared in a capture");
    require_memory(handle, matrix);
    prepared.buffer = buffer;
    prepared.algorithm = algorithm;
    prepared.samples = samples;
    put(handle, [matrix] {  // (a copy, which shares the vector)
        const Prepared& active = matrix.product.buffer != nullptr ? matrix.product : matrix.gradient;
        *active.topology = matrix.topology();
    });
}

void require_prepared(const Prepared& prepared, void* buffer, int algorithm, std::int64_t samples) {
    require(prepared.buffer == buffer && prepared.algorithm == algorithm && prepared.samples == samples,
            "cuSPARSE: other work than was prepared");
}
void require_same_topology(const cusparseSpMatDescr& matrix, const Prepared& prepared) {
    require(matrix.topology() == *prepared.topology, "cuSPARSE: the topology changed since it was prepared");
    require(matrix.start[matrix.rows] == matrix.count, "cuSPARSE: as many edges as the rows say");
}

void check_product(cusparseOperation_t turn_a, cusparseOperation_t turn_b, cusparseConstSpMatDescr_t a,
                   cusparseConstDnMatDescr_t b, cusparseConstDnMatDescr_t c, cusparseSpMMAlg_t algorithm) {
    require(turn_a == CUSPARSE_OPERATION_NON_TRANSPOSE && turn_b == CUSPARSE_OPERATION_NON_TRANSPOSE,
            "cuSPARSE: a product of matrices as they are");
    require(a->columns == b->rows && a->rows == c->rows && b->columns == c->columns, "cuSPARSE: a product's shapes");
    require(algorithm == CUSPARSE_SPMM_CSR_ALG3, "cuSPARSE: an algorithm for which NVIDIA promises the same bits");
}
void check_gradient(cusparseOperation_t turn_a, cusparseOperation_t turn_b, cusparseConstDnMatDescr_t a,
                    cusparseConstDnMatDescr_t b, cusparseConstSpMatDescr_t c) {
    require(turn_a == CUSPARSE_OPERATION_NON_TRANSPOSE && turn_b == CUSPARSE_OPERATION_TRANSPOSE,
            "cuSPARSE: a gradient of dy by transposed x");
    require(a->rows == c->rows && b->rows == c->columns && a->columns == b->columns, "cuSPARSE: a gradient's shapes");
}
float number(const void* value) { return *static_cast<const float*>(value); }

}  // namespace

extern "C" {

cusparseStatus_t cusparseCreate(cusparseHandle_t* handle) {
    *handle = new cusparseContext;
    return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseDestroy(cusparseHandle_t handle) {
    delete handle;
    return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseSetStream(cusparseHandle_t handle, cudaStream_t stream) {
    handle->stream = stream;
    return CUSPARSE_STATUS_SUCCESS;
}

cusparseStatus_t cusparseCreateCsr(cusparseSpMatDescr_t* matrix, std::int64_t rows, std::int64_t columns,
                                   std::int64_t count, void* start, void* column, void* values,
                                   cusparseIndexType_t start_type, cusparseIndexType_t column_type,
                                   cusparseIndexBase_t base, cudaDataType type) {
    if (rows < 0 || columns < 0 || count < 0 || count > rows * columns || start == nullptr) {
        return CUSPARSE_STATUS_INVALID_VALUE;
    }
    if (count > 0 && (column == nullptr || values == nullptr)) return CUSPARSE_STATUS_INVALID_VALUE;
    require(start_type == CUSPARSE_INDEX_32I && column_type == CUSPARSE_INDEX_32I && type == CUDA_R_32F &&
                base == CUSPARSE_INDEX_BASE_ZERO,
            "cuSPARSE: types that are what the arrays hold");
    *matrix = new cusparseSpMatDescr{rows,
                                     columns,
                                     count,
                                     static_cast<const std::int32_t*>(start),
                                     static_cast<const std::int32_t*>(column),
                                     static_cast<float*>(values),
                                     {},
                                     {}};
    return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseDestroySpMat(cusparseConstSpMatDescr_t matrix) {
    delete matrix;
    return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseCreateDnMat(cusparseDnMatDescr_t* matrix, std::int64_t rows, std::int64_t columns,
                                     std::int64_t leading, void* values, cudaDataType type, cusparseOrder_t order) {
    if (rows < 0 || columns < 0 || leading < columns || values == nullptr) return CUSPARSE_STATUS_INVALID_VALUE;
    require(type == CUDA_R_32F && order == CUSPARSE_ORDER_ROW, "cuSPARSE: tiles by rows");
    *matrix = new cusparseDnMatDescr{rows, columns, leading, static_cast<float*>(values)};
    return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseDestroyDnMat(cusparseConstDnMatDescr_t matrix) {
    delete matrix;
    return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseDnMatSetValues(cusparseDnMatDescr_t matrix, void* values) {
    if (values == nullptr) return CUSPARSE_STATUS_INVALID_VALUE;
    matrix->values = static_cast<float*>(values);
    return CUSPARSE_STATUS_SUCCESS;
}

cusparseStatus_t cusparseSpMM_bufferSize(cusparseHandle_t /*handle*/, cusparseOperation_t turn_a,
                                         cusparseOperation_t turn_b, const void* /*alpha*/, cusparseConstSpMatDescr_t a,
                                         cusparseConstDnMatDescr_t b, const void* /*beta*/, cusparseDnMatDescr_t c,
                                         cudaDataType /*type*/, cusparseSpMMAlg_t algorithm, std::size_t* bytes) {
    check_product(turn_a, turn_b, a, b, c, algorithm);
    *bytes = 64;
    return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseSpMM_preprocess(cusparseHandle_t handle, cusparseOperation_t turn_a,
                                         cusparseOperation_t turn_b, const void* /*alpha*/, cusparseConstSpMatDescr_t a,
                                         cusparseConstDnMatDescr_t b, const void* /*beta*/, cusparseDnMatDescr_t c,
                                         cudaDataType /*type*/, cusparseSpMMAlg_t algorithm, void* buffer) {
    check_product(turn_a, turn_b, a, b, c, algorithm);
    auto* const matrix = const_cast<cusparseSpMatDescr*>(a);  // the real one keeps it there too
    require(matrix->gradient.buffer == nullptr, "cuSPARSE: a matrix prepared for more than it is used for");
    prepare(handle, *matrix, matrix->product, buffer, algorithm, b->columns);
    return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseSpMM(cusparseHandle_t handle, cusparseOperation_t turn_a, cusparseOperation_t turn_b,
                              const void* alpha, cusparseConstSpMatDescr_t a, cusparseConstDnMatDescr_t b,
                              const void* beta, cusparseDnMatDescr_t c, cudaDataType /*type*/,
                              cusparseSpMMAlg_t algorithm, void* buffer) {
    check_product(turn_a, turn_b, a, b, c, algorithm);
    require_prepared(a->product, buffer, algorithm, b->columns);
    require_memory(handle, *b);
    require_memory(handle, *c);
    put(handle, [matrix = *a, x = *b, y = *c, factor = number(alpha), kept = number(beta)] {
        require_same_topology(matrix, matrix.product);
        for (std::int64_t row = 0; row < matrix.rows; ++row) {
            for (std::int64_t sample = 0; sample < y.columns; ++sample) {
                float sum = 0;
                for (std::int32_t e = matrix.start[row]; e < matrix.start[row + 1]; ++e) {
                    sum += matrix.values[e] * x.at(matrix.column[e], sample);
                }
                cuda_on_host::combine(y.at(row, sample), factor, sum, kept);
            }
        }
    });
    return CUSPARSE_STATUS_SUCCESS;
}

cusparseStatus_t cusparseSDDMM_bufferSize(cusparseHandle_t /*handle*/, cusparseOperation_t turn_a,
                                          cusparseOperation_t turn_b, const void* /*alpha*/,
                                          cusparseConstDnMatDescr_t a, cusparseConstDnMatDescr_t b,
                                          const void* /*beta*/, cusparseSpMatDescr_t c, cudaDataType /*type*/,
                                          cusparseSDDMMAlg_t /*algorithm*/, std::size_t* bytes) {
    check_gradient(turn_a, turn_b, a, b, c);
    *bytes = 0;
    return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseSDDMM_preprocess(cusparseHandle_t handle, cusparseOperation_t turn_a,
                                          cusparseOperation_t turn_b, const void* /*alpha*/,
                                          cusparseConstDnMatDescr_t a, cusparseConstDnMatDescr_t b,
                                          const void* /*beta*/, cusparseSpMatDescr_t c, cudaDataType /*type*/,
                                          cusparseSDDMMAlg_t algorithm, void* buffer) {
    check_gradient(turn_a, turn_b, a, b, c);
    require(c->product.buffer == nullptr, "cuSPARSE: a matrix prepared for more than it is used for");
    prepare(handle, *c, c->gradient, buffer, algorithm, a->columns);
    return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseSDDMM(cusparseHandle_t handle, cusparseOperation_t turn_a, cusparseOperation_t turn_b,
                               const void* alpha, cusparseConstDnMatDescr_t a, cusparseConstDnMatDescr_t b,
                               const void* beta, cusparseSpMatDescr_t c, cudaDataType /*type*/,
                               cusparseSDDMMAlg_t algorithm, void* buffer) {
    check_gradient(turn_a, turn_b, a, b, c);
    require_prepared(c->gradient, buffer, algorithm, a->columns);
    require_memory(handle, *a);
    require_memory(handle, *b);
    put(handle, [matrix = *c, dy = *a, x = *b, factor = number(alpha), kept = number(beta)] {
        require_same_topology(matrix, matrix.gradient);
        for (std::int64_t row = 0; row < matrix.rows; ++row) {
            for (std::int32_t e = matrix.start[row]; e < matrix.start[row + 1]; ++e) {
                float sum = 0;
                for (std::int64_t sample = 0; sample < dy.columns; ++sample) {
                    sum += dy.at(row, sample) * x.at(matrix.column[e], sample);
                }
                cuda_on_host::combine(matrix.values[e], factor, sum, kept);
            }
        }
    });
    return CUSPARSE_STATUS_SUCCESS;
}

}  // extern "C"
