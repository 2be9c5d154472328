// Products on the caller's device memory (espalier/device_product.hpp), by the backend's own kernels.
#pragma once

#include <memory>

#include "espalier/device_product.hpp"

namespace espalier::cuda {

/// Throws UserError (device) when there is no such GPU, it fails or has no memory left.
std::unique_ptr<DeviceProduct> make_product_on_device(const Topology& topology, int device);

}  // namespace espalier::cuda
