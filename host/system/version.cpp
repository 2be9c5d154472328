#include "host/system/version.hpp"

namespace espalier {

std::string version() { return "espalier " ESPALIER_VERSION; }

}  // namespace espalier
