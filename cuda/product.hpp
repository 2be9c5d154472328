// How a layer multiplies in one direction, forward or to its inputs: the kernel chosen when the layer was loaded, and
// the tables that kernel needs beside the layer's edges. They follow the topology: refresh_products after each change.
#pragma once

#include "cuda/memory.hpp"
#include "cuda/spmm_choice.hpp"
#include "cuda_calls.hpp"

namespace espalier::cuda {

struct CudaLayer;

struct Product {
    SpmmChoice choice;
    // panel
    PanelLayout panels;
    Array<EdgeIndex> panel_start;  // [num_panels + 1][num_positions]
    // coo
    Array<Index> edge_row;  // of each edge; padded as all edge arrays
    Array<float> parts;     // [parts_tiles][chunks][2][128]
    Index parts_tiles = 0;  // tiles multiplied at once
};

/// Chooses and allocates. `shape.num_edges` is the most the layer will ever have. Throws UserError (usage) for a way
/// to multiply that this backend does not have.
Product plan_product(Memory& memory, Spmm asked, const SpmmShape& shape, const SpmmDevice& device);

/// Fills the tables of both directions from the layer's views.
void refresh_products(cudaStream_t stream, CudaLayer& layer);

}  // namespace espalier::cuda
