#include "cuda/products/blas.hpp"

#include <cublas_v2.h>
#include <dlfcn.h>

#include "espalier/error.hpp"

namespace espalier::cuda {
namespace {

const std::string library_name = "libcublas.so." + std::to_string(CUBLAS_VER_MAJOR);

void* opened_library() {
    static void* const library = dlopen(library_name.c_str(), RTLD_NOW | RTLD_LOCAL);  // stays until the program ends
    return library;
}

template <class Function>
Function* function(const char* name, Function* /*type*/) {
    auto* const found = reinterpret_cast<Function*>(dlsym(opened_library(), name));
    if (found == nullptr) {
        throw UserError(ExitCode::device, library_name + " has no function " + name + "; is it cuBLAS " +
                                              std::to_string(CUBLAS_VER_MAJOR) + "?");
    }
    return found;
}

void check_blas(cublasStatus_t status, const char* what) {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    throw UserError(ExitCode::device,
                    std::string("cuBLAS: ") + what + " failed with status " + std::to_string(static_cast<int>(status)));
}

class CuBlas final : public Blas {
public:
    CuBlas(cudaStream_t stream, Memory& memory) : workspace_(memory, workspace_bytes) {
        check_blas(function("cublasCreate_v2", &cublasCreate_v2)(&handle_), "making a handle");
        try {
            check_blas(function("cublasSetStream_v2", &cublasSetStream_v2)(handle_, stream), "choosing a stream");
            // its own workspace would be allocated within a capture
            check_blas(
                function("cublasSetWorkspace_v2", &cublasSetWorkspace_v2)(handle_, workspace_.data(), workspace_bytes),
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
    void weight_gradient(ConstActivations dy, ConstActivations x, float* gradient) override {
        const int inputs = static_cast<int>(x.rows);
        const int lanes = static_cast<int>(x.lanes);
        const float one = 1;
        for (Index tile = 0; tile < x.tiles(); ++tile) {
            const float kept = tile == 0 ? 0 : 1;
            check_blas(multiply_(handle_, CUBLAS_OP_T, CUBLAS_OP_N, inputs, static_cast<int>(dy.rows), lanes, &one,
                                 x.row(tile, 0), lanes, dy.row(tile, 0), lanes, &kept, gradient, inputs),
                       "a product");
        }
    }

private:
    static constexpr std::size_t workspace_bytes = std::size_t{32} << 20;  // what NVIDIA recommends for Hopper

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
    decltype(&cublasDestroy_v2) destroy_ = function("cublasDestroy_v2", &cublasDestroy_v2);
    decltype(&cublasSgemm_v2) multiply_ = function("cublasSgemm_v2", &cublasSgemm_v2);
    decltype(&cublasSgemmStridedBatched) multiply_batch_ =
        function("cublasSgemmStridedBatched", &cublasSgemmStridedBatched);
};

}  // namespace

std::string blas_fault() {
    if (opened_library() != nullptr) return {};
    return library_name + " does not open, so large dense layers use the sparse kernels";
}

std::unique_ptr<Blas> open_blas(cudaStream_t stream, Memory& memory) {
    return std::make_unique<CuBlas>(stream, memory);
}

}  // namespace espalier::cuda
