// The version, in one place: CMake's project version, the shared library's SONAME and the module interface are read from
// this file.
#pragma once

#include <string>

#define ESPALIER_VERSION_MAJOR 0
#define ESPALIER_VERSION_MINOR 1
#define ESPALIER_VERSION_PATCH 0

namespace espalier {

/// Raised with every change of Backend or DeviceProduct or of what their functions take, so that an old module is refused, not misread.
inline constexpr int module_interface = 9;

/// The program and library at hand: "espalier 1.2.3".
std::string version();

}  // namespace espalier
