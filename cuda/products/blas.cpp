#include "cuda/products/blas.hpp"

#include <cublas_v2.h>

#include "cuda/products/library.hpp"
#include "espalier/error.hpp"

namespace espalier::cuda {
namespace {

const Library& cublas_library() {
    static const Library library("libcublas.so." + std::to_string(CUBLAS_VER_MAJOR));
    return library;
}

template <class Function>
Function* blas_function(const char* name) {
    return cublas_library().function<Function>(name);
}

void check_blas(cublasStatus_t status, const char* what) {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    throw UserError(ExitCode::device,
                    std::string("cuBLAS: ") + what + " failed with status " + std::to_string(static_cast<int>(status)));
}

class CuBlas final : public Blas {
public:
    CuBlas(cudaStream_t stream, Memory& memory, bool tf32) : workspace_(memory, blas_workspace_bytes) {
        check_blas(blas_function<decltype(cublasCreate_v2)>("cublasCreate_v2")(&handle_), "making a handle");
        try {
            check_blas(blas_function<decltype(cublasSetStream_v2)>("cublasSetStream_v2")(handle_, stream),
                       "choosing a stream");
            check_blas(blas_function<decltype(cublasSetMathMode)>("cublasSetMathMode")(
                           handle_, tf32 ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH),
                       "choosing how to multiply");
            // its own workspace would be allocated within a capture
            check_blas(blas_function<decltype(cublasSetWorkspace_v2)>("cublasSetWorkspace_v2")(
                           handle_, workspace_.data(), blas_workspace_bytes),
                       "giving a workspace");
        } catch (...) {
            destroy_(handle_);
            throw;
        }
    }
    ~CuBlas() override { destroy_(handle_); }

    // cuBLAS counts matrices by columns: a tile [neuron][lane] is its lanes x neurons, w its inputs x outputs.
    void forward(const float* w, ConstActivations x, Activations y) override {
        multiply_tiles(CUBLAS_OP_N, x, w, x.rows, y);
    }
    void input_gradient(const float* w, ConstActivations dy, Activations dx) override {
        multiply_tiles(CUBLAS_OP_T, dy, w, dx.rows, dx);
    }
    void weight_gradient(ConstActivations dy, ConstActivations x, Index tile, float* gradient) override {
        const int inputs = static_cast<int>(x.rows);
        const int lanes = static_cast<int>(x.lanes);
        const float one = 1;
        const float zero = 0;
        check_blas(multiply_(handle_, CUBLAS_OP_T, CUBLAS_OP_N, inputs, static_cast<int>(dy.rows), lanes, &one,
                             x.row(tile, 0), lanes, dy.row(tile, 0), lanes, &zero, gradient, inputs),
                   "a product");
    }

private:
    /// to = from w (or transposed w) in every tile.
    void multiply_tiles(cublasOperation_t turned, ConstActivations from, const float* w, Index num_inputs,
                        Activations to) {
        const int lanes = static_cast<int>(from.lanes);
        const auto tile_size = [](const auto& view) { return static_cast<long long>(view.rows) * view.lanes; };
        const float one = 1;
        const float zero = 0;
        check_blas(
            multiply_batch_(handle_, CUBLAS_OP_N, turned, lanes, static_cast<int>(to.rows), static_cast<int>(from.rows),
                            &one, from.data, lanes, tile_size(from), w, static_cast<int>(num_inputs), 0, &zero, to.data,
                            lanes, tile_size(to), static_cast<int>(from.tiles())),
            "a product");
    }

    Array<std::byte> workspace_;
    cublasHandle_t handle_ = nullptr;
    decltype(&cublasDestroy_v2) destroy_ = blas_function<decltype(cublasDestroy_v2)>("cublasDestroy_v2");
    decltype(&cublasSgemm_v2) multiply_ = blas_function<decltype(cublasSgemm_v2)>("cublasSgemm_v2");
    decltype(&cublasSgemmStridedBatched) multiply_batch_ =
        blas_function<decltype(cublasSgemmStridedBatched)>("cublasSgemmStridedBatched");
};

}  // namespace

std::string blas_fault() {
    if (cublas_library().opens()) return {};
    return cublas_library().name() + " does not open, so large dense layers use the sparse kernels";
}

std::unique_ptr<Blas> open_blas(cudaStream_t stream, Memory& memory, bool tf32) {
    return std::make_unique<CuBlas>(stream, memory, tf32);
}

}  // namespace espalier::cuda
