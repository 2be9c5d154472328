#include "cuda/check.hpp"

#include "espalier/error.hpp"

namespace espalier::cuda {

std::string error_text(cudaError_t error) {
    return std::string(cudaGetErrorName(error)) + " (" + cudaGetErrorString(error) + ")";
}

void check(cudaError_t error, const std::string& what, const char* file, int line) {
    if (error == cudaSuccess) return;
    if (error == cudaErrorMemoryAllocation) {
        throw UserError(ExitCode::device, "the GPU is out of memory: " + what +
                                              " failed for want of it. A smaller --batch, --epsilon or --layers, a "
                                              "higher --sparsity or --backend cpu helps");
    }
    throw UserError(ExitCode::device, "CUDA: " + what + " failed with " + error_text(error) + ", at " + file + ":" +
                                          std::to_string(line));
}

}  // namespace espalier::cuda
