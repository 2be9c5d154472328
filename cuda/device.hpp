// The device a backend runs on, or why there is none to run on.
#pragma once

#include <string>

#include "cuda/products/spmm_choice.hpp"
#include "espalier/ranks.hpp"

namespace espalier::cuda {

/// Makes device `number` the current one. Returns why that cannot be, one sentence (no driver, too old a driver, no
/// such device, no code for its architecture, or CUDA's own words); empty if it can.
std::string take_device(int number);

/// The number of the GPU of one of several processes: that of its place on its machine, modulo the GPUs it sees.
int device_of_rank(const RankPlace& place);

/// Makes a device that was taken the calling thread's own again. Cheap where it is.
void make_current(int number);

/// What the choice of a product depends on, of the current device.
SpmmDevice spmm_device();

/// One line for logs, of the current device: name, compute capability, memory, what the driver supports.
std::string describe_device();

/// The module and the machine's devices as a JSON object (espalier/module.hpp). Throws what take_device() may.
std::string describe_module(bool try_devices);

}  // namespace espalier::cuda
