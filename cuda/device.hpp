// The device a backend runs on, or why there is none to run on.
#pragma once

#include <string>

#include "cuda/products/spmm_choice.hpp"

namespace espalier::cuda {

/// Makes the first device the current one. Returns why that cannot be, one sentence (no driver, too old a driver, no
/// device, no code for its architecture, or CUDA's own words); empty if it can.
std::string take_device();

/// What the choice of a product depends on.
SpmmDevice spmm_device();

/// One line for logs: name, compute capability, memory, what the driver supports.
std::string describe_device();

}  // namespace espalier::cuda
