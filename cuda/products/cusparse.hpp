// Products of sparse matrices by cuSPARSE, an alternative to our kernels (--spmm cusparse); the library is opened when
// the first layer asks for it. Everything is enqueued on one stream.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cuda/memory.hpp"
#include "cuda_calls.hpp"
#include "espalier/index.hpp"
#include "espalier/tiled_view.hpp"

namespace espalier::cuda {

/// CSR in device memory, columns ascending; the arrays keep their addresses for the matrix's life.
struct CsrArrays {
    Index num_rows = 0;
    Index num_columns = 0;
    EdgeIndex* start = nullptr;  // num_rows + 1
    Index* column = nullptr;
    float* value = nullptr;
    bool sampled = false;  // the values are what sample() writes, else what multiply() reads
};

class SparseMatrix {
public:
    SparseMatrix() = default;
    SparseMatrix(const SparseMatrix&) = delete;
    SparseMatrix& operator=(const SparseMatrix&) = delete;
    virtual ~SparseMatrix() = default;

    /// After every change of start and column, and before anything else: prepares anew.
    virtual void refresh(EdgeIndex num_edges) = 0;
    /// y = matrix * x, the same bits every time
    virtual void multiply(ConstActivations x, Activations y) = 0;
    /// value[e] = sum over all samples of dy[row of e] * x[column of e]
    virtual void sample(ConstActivations dy, ConstActivations x) = 0;
};

class SparseLibrary {
public:
    SparseLibrary() = default;
    SparseLibrary(const SparseLibrary&) = delete;
    SparseLibrary& operator=(const SparseLibrary&) = delete;
    virtual ~SparseLibrary() = default;
    [[nodiscard]] virtual std::unique_ptr<SparseMatrix> matrix(const CsrArrays& arrays) = 0;
};

/// Edges of a layer that cuSPARSE can count.
inline constexpr std::uint64_t max_sparse_library_edges = 0x7fffffffU;

/// Why there is no cuSPARSE to open, one sentence; empty if there is.
std::string sparse_library_fault();

/// For activations in tiles of `lanes`. sparse_library_fault() must be empty. Throws UserError (device) when cuSPARSE
/// fails or memory runs out.
std::unique_ptr<SparseLibrary> open_sparse_library(cudaStream_t stream, Memory& memory, Index lanes);

}  // namespace espalier::cuda
