#include "cuda/products/cusparse.hpp"

#include <cusparse.h>
#include <dlfcn.h>

#include <limits>

#include "cuda/check.hpp"
#include "espalier/error.hpp"

namespace espalier::cuda {
namespace {

const std::string library_name = "libcusparse.so." + std::to_string(CUSPARSE_VER_MAJOR);

void* opened_library() {
    static void* const library = dlopen(library_name.c_str(), RTLD_NOW | RTLD_LOCAL);  // stays until the program ends
    return library;
}

void check_sparse(cusparseStatus_t status, const char* what) {
    if (status == CUSPARSE_STATUS_SUCCESS) return;
    throw UserError(ExitCode::device, std::string("cuSPARSE: ") + what + " failed with status " +
                                          std::to_string(static_cast<int>(status)));
}

template <class Function>
Function* function(const char* name, Function* /*type*/) {
    auto* const found = reinterpret_cast<Function*>(dlsym(opened_library(), name));
    if (found == nullptr) {
        throw UserError(ExitCode::device, library_name + " has no function " + name + "; is it cuSPARSE " +
                                              std::to_string(CUSPARSE_VER_MAJOR) + "?");
    }
    return found;
}

/// The functions used, by their own names.
struct Calls {
    decltype(&cusparseCreate) create = function("cusparseCreate", &cusparseCreate);
    decltype(&cusparseDestroy) destroy = function("cusparseDestroy", &cusparseDestroy);
    decltype(&cusparseSetStream) set_stream = function("cusparseSetStream", &cusparseSetStream);
    decltype(&cusparseCreateCsr) create_csr = function("cusparseCreateCsr", &cusparseCreateCsr);
    decltype(&cusparseDestroySpMat) destroy_csr = function("cusparseDestroySpMat", &cusparseDestroySpMat);
    decltype(&cusparseCreateDnMat) create_dense = function("cusparseCreateDnMat", &cusparseCreateDnMat);
    decltype(&cusparseDestroyDnMat) destroy_dense = function("cusparseDestroyDnMat", &cusparseDestroyDnMat);
    decltype(&cusparseDnMatSetValues) point_dense = function("cusparseDnMatSetValues", &cusparseDnMatSetValues);
    decltype(&cusparseSpMM_bufferSize) spmm_bytes = function("cusparseSpMM_bufferSize", &cusparseSpMM_bufferSize);
    decltype(&cusparseSpMM_preprocess) spmm_prepare = function("cusparseSpMM_preprocess", &cusparseSpMM_preprocess);
    decltype(&cusparseSpMM) spmm = function("cusparseSpMM", &cusparseSpMM);
    decltype(&cusparseSDDMM_bufferSize) sddmm_bytes = function("cusparseSDDMM_bufferSize", &cusparseSDDMM_bufferSize);
    decltype(&cusparseSDDMM_preprocess) sddmm_prepare = function("cusparseSDDMM_preprocess", &cusparseSDDMM_preprocess);
    decltype(&cusparseSDDMM) sddmm = function("cusparseSDDMM", &cusparseSDDMM);
};

constexpr Index tile_samples = 128;
constexpr auto plain = CUSPARSE_OPERATION_NON_TRANSPOSE;
constexpr auto transposed = CUSPARSE_OPERATION_TRANSPOSE;
constexpr auto spmm_algorithm = CUSPARSE_SPMM_CSR_ALG2;  // for row-major tiles; the same bits every time

/// A tile [neuron][128] as a matrix; points to whichever tile is at hand.
class Tile {
public:
    Tile(const Calls& calls, Index rows, float* somewhere) : calls_(calls) {
        check_sparse(
            calls.create_dense(&tile_, rows, tile_samples, tile_samples, somewhere, CUDA_R_32F, CUSPARSE_ORDER_ROW),
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
                   const CsrArrays& arrays)
        : calls_(calls),
          handle_(handle),
          stream_(stream),
          memory_(memory),
          arrays_(arrays),
          by_column_(calls, arrays.num_columns, arrays.value),
          by_row_(calls, arrays.num_rows, arrays.value) {}
    ~CuSparseMatrix() override { drop(); }

    void refresh(EdgeIndex num_edges) override {
        expects(num_edges <= std::numeric_limits<std::int32_t>::max(), "at most 2,147,483,647 edges for cuSPARSE");
        drop();
        num_edges_ = num_edges;
        if (num_edges == 0) return;
        check_sparse(calls_.create_csr(&csr_, arrays_.num_rows, arrays_.num_columns, num_edges, arrays_.start,
                                       arrays_.column, arrays_.value, CUSPARSE_INDEX_32I, CUSPARSE_INDEX_32I,
                                       CUSPARSE_INDEX_BASE_ZERO, CUDA_R_32F),
                     "describing a layer");
        std::size_t bytes = 0;
        const auto columns = by_column_.at(arrays_.value);
        const auto rows = by_row_.at(arrays_.value);
        check_sparse(calls_.spmm_bytes(handle_, plain, plain, &one, csr_, columns, &zero, rows, CUDA_R_32F,
                                       spmm_algorithm, &bytes),
                     "asking for a product's scratch memory");
        grow(spmm_scratch_, bytes);
        check_sparse(calls_.spmm_prepare(handle_, plain, plain, &one, csr_, columns, &zero, rows, CUDA_R_32F,
                                         spmm_algorithm, spmm_scratch_.data()),
                     "preparing a product");
        check_sparse(calls_.sddmm_bytes(handle_, plain, transposed, &one, rows, columns, &zero, csr_, CUDA_R_32F,
                                        CUSPARSE_SDDMM_ALG_DEFAULT, &bytes),
                     "asking for a gradient's scratch memory");
        grow(sddmm_scratch_, bytes);
        check_sparse(calls_.sddmm_prepare(handle_, plain, transposed, &one, rows, columns, &zero, csr_, CUDA_R_32F,
                                          CUSPARSE_SDDMM_ALG_DEFAULT, sddmm_scratch_.data()),
                     "preparing a gradient");
    }

    void multiply(ConstActivations x, Activations y) override {
        if (num_edges_ == 0) {
            check(cudaMemsetAsync(y.data, 0, y.size() * sizeof(float), stream_), "clearing a product");
            return;
        }
        for (Index tile = 0; tile < y.tiles(); ++tile) {
            check_sparse(calls_.spmm(handle_, plain, plain, &one, csr_, by_column_.at(x.row(tile, 0)), &zero,
                                     by_row_.at(y.row(tile, 0)), CUDA_R_32F, spmm_algorithm, spmm_scratch_.data()),
                         "a product");
        }
    }

    void sample(ConstActivations dy, ConstActivations x) override {
        if (num_edges_ == 0) return;
        for (Index tile = 0; tile < x.tiles(); ++tile) {
            check_sparse(calls_.sddmm(handle_, plain, transposed, &one, by_row_.at(dy.row(tile, 0)),
                                      by_column_.at(x.row(tile, 0)), tile == 0 ? &zero : &one, csr_, CUDA_R_32F,
                                      CUSPARSE_SDDMM_ALG_DEFAULT, sddmm_scratch_.data()),
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
    void grow(Array<std::byte>& scratch, std::size_t bytes) {
        if (scratch.size() < bytes || scratch.size() == 0) scratch = Array<std::byte>(memory_, bytes + 16);
    }

    const Calls& calls_;
    cusparseHandle_t handle_;
    cudaStream_t stream_;
    Memory& memory_;
    CsrArrays arrays_;
    Tile by_column_;
    Tile by_row_;
    cusparseSpMatDescr_t csr_ = nullptr;
    EdgeIndex num_edges_ = 0;
    Array<std::byte> spmm_scratch_;
    Array<std::byte> sddmm_scratch_;
};

class CuSparse final : public SparseLibrary {
public:
    CuSparse(cudaStream_t stream, Memory& memory) : stream_(stream), memory_(memory) {
        check_sparse(calls_.create(&handle_), "making a handle");
        if (const auto status = calls_.set_stream(handle_, stream); status != CUSPARSE_STATUS_SUCCESS) {
            calls_.destroy(handle_);
            check_sparse(status, "choosing a stream");
        }
    }
    ~CuSparse() override { calls_.destroy(handle_); }
    std::unique_ptr<SparseMatrix> matrix(const CsrArrays& arrays) override {
        return std::make_unique<CuSparseMatrix>(calls_, handle_, stream_, memory_, arrays);
    }

private:
    Calls calls_;
    cudaStream_t stream_;
    Memory& memory_;
    cusparseHandle_t handle_ = nullptr;
};

}  // namespace

std::string sparse_library_fault() {
    if (opened_library() != nullptr) return {};
    return library_name + " does not open; choose another way to multiply than cusparse";
}

std::unique_ptr<SparseLibrary> open_sparse_library(cudaStream_t stream, Memory& memory) {
    return std::make_unique<CuSparse>(stream, memory);
}

}  // namespace espalier::cuda
