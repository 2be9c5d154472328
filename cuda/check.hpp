// Every call of CUDA's runtime goes through check().
#pragma once

#include <string>

#include "cuda_calls.hpp"

namespace espalier::cuda {

/// Throws UserError (device) that says what failed, CUDA's name and words for it, and where, unless `error` is success.
void check(cudaError_t error, const std::string& what, const char* file = __builtin_FILE(),
           int line = __builtin_LINE());

/// "cudaErrorX (its words)".
std::string error_text(cudaError_t error);

}  // namespace espalier::cuda
