// What CUDA lets a launch ask for.
#pragma once

#include <cstddef>
#include <string>

#include "vector_types.hpp"

namespace cuda_on_host {

/// "(x,y,z)".
std::string index_text(unsigned x, unsigned y, unsigned z);

/// Throws Fault naming the limit that a launch is beyond.
void check_limits(dim3 grid, dim3 block, std::size_t dynamic_bytes, std::size_t shared_limit);

}  // namespace cuda_on_host
