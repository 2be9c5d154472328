#include "cuda/products/cusparse.hpp"

#include <cusparse.h>

#include <optional>

#include "cuda/check.hpp"
#include "cuda/products/library.hpp"
#include "espalier/error.hpp"

namespace espalier::cuda {
namespace {

const Library& cusparse_library() {
    static const Library library("libcusparse.so." + std::to_string(CUSPARSE_VER_MAJOR));
    return library;
}

template <class Function>
Function* sparse_function(const char* name) {
    return cusparse_library().function<Function>(name);
}

void check_sparse(cusparseStatus_t status, const char* what) {
    if (status == CUSPARSE_STATUS_SUCCESS) return;
    throw UserError(ExitCode::device, std::string("cuSPARSE: ") + what + " failed with status " +
                                          std::to_string(static_cast<int>(status)));
}

/// The functions used, by their own names.
struct Calls {
    decltype(&cusparseCreate) create = sparse_function<decltype(cusparseCreate)>("cusparseCreate");
    decltype(&cusparseDestroy) destroy = sparse_function<decltype(cusparseDestroy)>("cusparseDestroy");
    decltype(&cusparseSetStream) set_stream = sparse_function<decltype(cusparseSetStream)>("cusparseSetStream");
    decltype(&cusparseCreateCsr) create_csr = sparse_function<decltype(cusparseCreateCsr)>("cusparseCreateCsr");
    decltype(&cusparseDestroySpMat) destroy_csr =
        sparse_function<decltype(cusparseDestroySpMat)>("cusparseDestroySpMat");
    decltype(&cusparseCreateDnMat) create_dense = sparse_function<decltype(cusparseCreateDnMat)>("cusparseCreateDnMat");
    decltype(&cusparseDestroyDnMat) destroy_dense =
        sparse_function<decltype(cusparseDestroyDnMat)>("cusparseDestroyDnMat");
    decltype(&cusparseDnMatSetValues) point_dense =
        sparse_function<decltype(cusparseDnMatSetValues)>("cusparseDnMatSetValues");
    decltype(&cusparseSpMM_bufferSize) spmm_bytes =
        sparse_function<decltype(cusparseSpMM_bufferSize)>("cusparseSpMM_bufferSize");
    decltype(&cusparseSpMM_preprocess) spmm_prepare =
        sparse_function<decltype(cusparseSpMM_preprocess)>("cusparseSpMM_preprocess");
    decltype(&cusparseSpMM) spmm = sparse_function<decltype(cusparseSpMM)>("cusparseSpMM");
    decltype(&cusparseSDDMM_bufferSize) sddmm_bytes =
        sparse_function<decltype(cusparseSDDMM_bufferSize)>("cusparseSDDMM_bufferSize");
    decltype(&cusparseSDDMM_preprocess) sddmm_prepare =
        sparse_function<decltype(cusparseSDDMM_preprocess)>("cusparseSDDMM_preprocess");
    decltype(&cusparseSDDMM) sddmm = sparse_function<decltype(cusparseSDDMM)>("cusparseSDDMM");
};

constexpr auto as_it_is = CUSPARSE_OPERATION_NON_TRANSPOSE;
constexpr auto turned = CUSPARSE_OPERATION_TRANSPOSE;
// Of those for CSR the one for which NVIDIA promises the same bits every time, and which what is prepared helps.
constexpr auto spmm_algorithm = CUSPARSE_SPMM_CSR_ALG3;

/// A tile [neuron][lane] as a matrix; points to whichever tile is at hand.
class Tile {
public:
    Tile(const Calls& calls, Index rows, Index lanes, float* somewhere) : calls_(calls) {
        check_sparse(
            calls.create_dense(&tile_, rows, lanes, lanes, somewhere, CUDA_R_32F, CUSPARSE_ORDER_ROW),
            "describing a tile");
    }
    Tile(const Tile&) = delete;
    Tile& operator=(const Tile&) = delete;
    ~Tile() { calls_.destroy_dense(tile_); }
    cusparseDnMatDescr_t at(const float* values) {
        check_sparse(calls_.point_dense(tile_, const_cast<float*>(values)), "pointing to a tile");  // takes no const
        return tile_;
    }

private:
    const Calls& calls_;
    cusparseDnMatDescr_t tile_ = nullptr;
};

class CuSparseMatrix final : public SparseMatrix {
public:
    CuSparseMatrix(const Calls& calls, cusparseHandle_t handle, cudaStream_t stream, Memory& memory,
                   const CsrArrays& arrays, Index lanes)
        : calls_(calls), handle_(handle), stream_(stream), memory_(memory), arrays_(arrays), lanes_(lanes) {}
    ~CuSparseMatrix() override { drop(); }

    void refresh(EdgeIndex num_edges) override {
        expects(num_edges <= max_sparse_library_edges, "at most 2,147,483,647 edges for cuSPARSE");
        drop();
        num_edges_ = num_edges;
        if (num_edges == 0) return;  // such a layer's arrays may be no memory at all, of which cuSPARSE takes none
        check_sparse(calls_.create_csr(&csr_, arrays_.num_rows, arrays_.num_columns, num_edges, arrays_.start,
                                       arrays_.column, arrays_.value, CUSPARSE_INDEX_32I, CUSPARSE_INDEX_32I,
                                       CUSPARSE_INDEX_BASE_ZERO, CUDA_R_32F),
                     "describing a layer");
        if (!by_column_) by_column_.emplace(calls_, arrays_.num_columns, lanes_, arrays_.value);
        if (!by_row_) by_row_.emplace(calls_, arrays_.num_rows, lanes_, arrays_.value);
        const auto columns = by_column_->at(arrays_.value);
        const auto rows = by_row_->at(arrays_.value);
        std::size_t bytes = 0;
        if (arrays_.sampled) {
            check_sparse(calls_.sddmm_bytes(handle_, as_it_is, turned, &one, rows, columns, &zero, csr_, CUDA_R_32F,
                                            CUSPARSE_SDDMM_ALG_DEFAULT, &bytes),
                         "asking for a gradient's scratch memory");
            grow(bytes);
            check_sparse(calls_.sddmm_prepare(handle_, as_it_is, turned, &one, rows, columns, &zero, csr_, CUDA_R_32F,
                                              CUSPARSE_SDDMM_ALG_DEFAULT, scratch_.data()),
                         "preparing a gradient");
        } else {
            check_sparse(calls_.spmm_bytes(handle_, as_it_is, as_it_is, &one, csr_, columns, &zero, rows, CUDA_R_32F,
                                           spmm_algorithm, &bytes),
                         "asking for a product's scratch memory");
            grow(bytes);
            check_sparse(calls_.spmm_prepare(handle_, as_it_is, as_it_is, &one, csr_, columns, &zero, rows, CUDA_R_32F,
                                             spmm_algorithm, scratch_.data()),
                         "preparing a product");
        }
    }

    void multiply(ConstActivations x, Activations y) override {
        expects(!arrays_.sampled, "a matrix to multiply with");
        if (num_edges_ == 0) {
            check(cudaMemsetAsync(y.data, 0, y.size() * sizeof(float), stream_), "clearing a product");
            return;
        }
        for (Index tile = 0; tile < y.tiles(); ++tile) {
            check_sparse(calls_.spmm(handle_, as_it_is, as_it_is, &one, csr_, by_column_->at(x.row(tile, 0)), &zero,
                                     by_row_->at(y.row(tile, 0)), CUDA_R_32F, spmm_algorithm, scratch_.data()),
                         "a product");
        }
    }

    void sample(ConstActivations dy, ConstActivations x) override {
        expects(arrays_.sampled, "a matrix to sample");
        if (num_edges_ == 0) return;
        for (Index tile = 0; tile < x.tiles(); ++tile) {
            check_sparse(calls_.sddmm(handle_, as_it_is, turned, &one, by_row_->at(dy.row(tile, 0)),
                                      by_column_->at(x.row(tile, 0)), tile == 0 ? &zero : &one, csr_, CUDA_R_32F,
                                      CUSPARSE_SDDMM_ALG_DEFAULT, scratch_.data()),
                         "a gradient");
        }
    }

private:
    static constexpr float one = 1;
    static constexpr float zero = 0;

    void drop() {
        if (csr_ != nullptr) calls_.destroy_csr(csr_);
        csr_ = nullptr;
    }
    /// The address stays where it is enough: captured graphs know it.
    void grow(std::size_t bytes) {
        if (scratch_.size() < bytes || scratch_.size() == 0) scratch_ = Array<std::byte>(memory_, bytes + 16);
    }

    const Calls& calls_;
    cusparseHandle_t handle_;
    cudaStream_t stream_;
    Memory& memory_;
    CsrArrays arrays_;
    Index lanes_;
    std::optional<Tile> by_column_;
    std::optional<Tile> by_row_;
    cusparseSpMatDescr_t csr_ = nullptr;
    EdgeIndex num_edges_ = 0;
    Array<std::byte> scratch_;
};

class CuSparse final : public SparseLibrary {
public:
    CuSparse(cudaStream_t stream, Memory& memory, Index lanes) : stream_(stream), memory_(memory), lanes_(lanes) {
        check_sparse(calls_.create(&handle_), "making a handle");
        if (const auto status = calls_.set_stream(handle_, stream); status != CUSPARSE_STATUS_SUCCESS) {
            calls_.destroy(handle_);
            check_sparse(status, "choosing a stream");
        }
    }
    ~CuSparse() override { calls_.destroy(handle_); }
    std::unique_ptr<SparseMatrix> matrix(const CsrArrays& arrays) override {
        return std::make_unique<CuSparseMatrix>(calls_, handle_, stream_, memory_, arrays, lanes_);
    }

private:
    Calls calls_;
    cudaStream_t stream_;
    Memory& memory_;
    Index lanes_;
    cusparseHandle_t handle_ = nullptr;
};

}  // namespace

std::string sparse_library_fault() {
    if (cusparse_library().opens()) return {};
    return cusparse_library().name() + " does not open; choose another way to multiply than cusparse";
}

std::unique_ptr<SparseLibrary> open_sparse_library(cudaStream_t stream, Memory& memory, Index lanes) {
    return std::make_unique<CuSparse>(stream, memory, lanes);
}

}  // namespace espalier::cuda
