// The program's version, "espalier 1.2.3".
#pragma once

#include <string>

namespace espalier {

std::string version();

}  // namespace espalier
