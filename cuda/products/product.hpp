// How a layer multiplies in one direction, forward or to its inputs, or makes the gradient of its weights: the kernel
// chosen when the layer was loaded, and the tables that kernel needs beside the layer's edges, or cuSPARSE's matrices.
// They follow the topology: refresh_products after each change.
#pragma once

#include "cuda/memory.hpp"
#include "cuda/products/cusparse.hpp"
#include "cuda/products/spmm_choice.hpp"
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
    // coo: [parts_tiles][chunks][2][128]; a gradient's panels: [tiles][num_edges], for as many tiles as fit
    Array<float> parts;
    Index parts_tiles = 0;  // of coo: multiplied at once
};

/// A layer's matrices where cuSPARSE multiplies it; null, and no memory, where our kernels do.
struct LibraryProducts {
    std::unique_ptr<SparseMatrix> forward;   // by output, the weights
    std::unique_ptr<SparseMatrix> backward;  // by input, the weights in that order
    std::unique_ptr<SparseMatrix> gradient;  // by output
    Array<float> permuted_weights;
    Array<float> edge_gradient;
};
LibraryProducts library_products(SparseLibrary& library, Memory& memory, const CudaLayer& layer);

/// Chooses and allocates. `shape.num_edges` is the most the layer will ever have.
Product plan_product(Memory& memory, Spmm asked, const SpmmShape& shape, const SpmmDevice& device);

/// Likewise for the gradient of the weights; `shape` is by output.
Product plan_gradient(Memory& memory, Spmm asked, const SpmmShape& shape, const SpmmDevice& device);

/// Fills the tables of both directions from the layer's views. Programs recorded with cuSPARSE's products are void.
void refresh_products(cudaStream_t stream, CudaLayer& layer);

}  // namespace espalier::cuda
