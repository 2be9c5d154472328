#include "espalier/version.hpp"

namespace espalier {

std::string version() {
    return "espalier " + std::to_string(ESPALIER_VERSION_MAJOR) + "." + std::to_string(ESPALIER_VERSION_MINOR) + "." +
           std::to_string(ESPALIER_VERSION_PATCH);
}

}  // namespace espalier
