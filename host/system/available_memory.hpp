// How much memory this process could still have.
#pragma once

#include <string>

namespace espalier {

/// "1.5 GiB are available", from what the system and this process's own limit leave; empty where neither says.
std::string available_memory_text();

}  // namespace espalier
