// How a backend with a choice multiplies a sparse layer's matrix with a batch (SpMM): a kernel family by name, or
// automatic, by the layer's shape. One choice serves the forward pass and the input gradient.
#pragma once

namespace espalier {

/// gather: a warp gathers a row's inputs; panel: inputs pass through shared memory; coo: edge-parallel; cusparse:
/// NVIDIA's library.
enum class Spmm { automatic, gather, panel, coo, cusparse };

}  // namespace espalier
