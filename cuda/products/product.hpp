// How a layer multiplies in one direction, forward or to its inputs, or makes the gradient of its weights: the kernel
// chosen when the layer was loaded, and the tables that kernel needs beside the layer's edges, or cuSPARSE's matrices.
// They follow the topology: refresh_products after each change.
#pragma once

#include <vector>

#include "cuda/launcher.hpp"
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
    // a product's panels: the edges as its kernel reads them (kernels/pack.cuh)
    Array<EdgeIndex> pair_start;  // [num_panels][num_positions / rows a warp]
    Array<EdgePair> pairs;
    Array<EdgeIndex> pairs_used;  // one
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

/// Fills the tables of both directions from the layer's views, and packs. Programs recorded with cuSPARSE's products are void.
void refresh_products(cudaStream_t stream, CudaLayer& layer);

/// A direction of a layer in which it multiplies by panels.
struct PanelProduct {
    const CudaLayer* layer;
    const Product* product;  // one of the layer's two
};
/// Takes the layers' weights into their packed edges, after each change of weights: one launch for up to sixteen products.
void pack_weights(const Launcher& to, const std::vector<PanelProduct>& products);
/// Likewise, of all products of a layer.
void pack_weights(const Launcher& to, const CudaLayer& layer);
/// Adds those of a layer that multiply by panels.
void add_panel_products(const CudaLayer& layer, std::vector<PanelProduct>& products);

}  // namespace espalier::cuda
