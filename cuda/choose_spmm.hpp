// Which kernel multiplies a sparse layer with a batch: chosen from the shape alone, so that a run gives the same bits
// every time.
#pragma once

#include "espalier/index.hpp"

namespace espalier::cuda {

enum class Spmm {
    gather,  // a warp per row and tile gathers its inputs
};

struct SpmmShape {
    Index num_inputs = 0;
    Index num_outputs = 0;
    EdgeIndex num_edges = 0;
    Index batch = 0;
};

constexpr Spmm choose_spmm(const SpmmShape& /*shape*/) { return Spmm::gather; }

}  // namespace espalier::cuda
