// The CUDA backend: Backend's verbs on one stream of one device. Verbs enqueue kernels; what a program of verbs
// enqueues is captured and replayed as a graph (graph_cache.hpp).
#pragma once

#include <memory>

#include "espalier/module.hpp"

namespace espalier::cuda {

/// take_device() must have found a device. Throws UserError (device) when the device fails or has no memory left.
std::unique_ptr<Backend> make_backend_on_device(const CudaOptions& options);

}  // namespace espalier::cuda
