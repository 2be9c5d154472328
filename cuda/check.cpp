#include "cuda/check.hpp"

#include "espalier/error.hpp"

namespace espalier::cuda {

std::string error_text(cudaError_t error) {
    return std::string(cudaGetErrorName(error)) + " (" + cudaGetErrorString(error) + ")";
}

void check(cudaError_t error, const std::string& what, const char* file, int line) {
    if (error == cudaSuccess) return;
    throw UserError(ExitCode::device, "CUDA: " + what + " failed with " + error_text(error) + ", at " + file + ":" +
                                          std::to_string(line));
}

}  // namespace espalier::cuda
