// The options that say what computes: the backend and which of its GPUs.
#pragma once

#include <string>

#include "host/options/option_table.hpp"

namespace espalier {

ExperimentOption backend_option();
/// A number, or what other programs call a device, which names the backend too: cpu, cuda, cuda:1.
ExperimentOption device_option();
/// The backend that such a text names; empty if it names none.
std::string backend_named(const std::string& device);

}  // namespace espalier
