// What this machine has for training: processor, memory, CUDA module, data sets.
#pragma once

#include <string>

namespace espalier {

/// What `espalier doctor` prints; `json`: as one object.
std::string machine_report(bool json = false);

}  // namespace espalier
