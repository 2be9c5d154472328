#include "cuda/products/product.hpp"

#include <algorithm>

#include "cuda/kernels/coo.cuh"
#include "cuda/kernels/panel.cuh"
#include "cuda/launch.cuh"
#include "cuda/layer.hpp"
#include "espalier/error.hpp"

namespace espalier::cuda {
namespace {

/// The view that a product sums by.
struct RowView {
    const EdgeIndex* start;
    const Index* other;
    const Index* order;
    Index num_rows;
};

void refresh(cudaStream_t stream, const RowView& view, EdgeIndex num_edges, Product& product) {
    if (product.choice.kernel == Spmm::panel) {
        dim3 grid = thread_grid(product.panels.num_positions, panel_starts_threads);
        grid.y = product.panels.num_panels + 1;
        launch(stream, panel_starts_kernel<panel_starts_threads>, grid, panel_starts_threads, view.start, view.other,
               view.order, view.num_rows, product.panels, product.panel_start.data());
    }
    if (product.choice.kernel == Spmm::coo) {
        launch(stream, edge_rows_kernel<coo_threads>, thread_grid(num_edges, coo_threads), coo_threads, view.start,
               view.num_rows, num_edges, product.edge_row.data());
    }
}

}  // namespace

Product plan_product(Memory& memory, Spmm asked, const SpmmShape& shape, const SpmmDevice& device) {
    Product product;
    product.choice = choose_spmm(asked, shape, device);
    switch (product.choice.kernel) {
        case Spmm::panel:
            product.panels = panel_layout(product.choice.block, shape.num_rows, shape.num_others, device.shared_bytes);
            if (product.panels.num_panels == 0 || product.panels.num_panels >= max_grid_rows) {
                throw UserError(ExitCode::device, "spmm: panels of a layer with " + std::to_string(shape.num_others) +
                                                      " neurons do not fit into this GPU's shared memory, " +
                                                      std::to_string(device.shared_bytes) +
                                                      " bytes a block; choose auto, gather or coo");
            }
            product.panel_start = Array<EdgeIndex>(memory, product.panels.size());
            break;
        case Spmm::coo: {
            const CooEdges edges{nullptr, nullptr, shape.num_edges};
            product.parts_tiles = std::max<Index>(1, tiles_of(shape.batch));
            product.edge_row = Array<Index>(memory, padded_edges(shape.num_edges));
            product.parts = Array<float>(memory, std::size_t{product.parts_tiles} * edges.chunks() * 2 * tile_lanes);
            break;
        }
        default:
            break;
    }
    return product;
}

Product plan_gradient(Memory& memory, Spmm asked, const SpmmShape& shape, const SpmmDevice& device) {
    Product product;
    product.choice = choose_gradient(asked, shape, device);
    if (product.choice.kernel != Spmm::panel) return product;
    product.panels = gradient_layout(product.choice.block, shape.num_rows, shape.num_others, device.shared_bytes);
    product.panel_start = Array<EdgeIndex>(memory, product.panels.size());
    product.parts = Array<float>(memory, std::size_t{std::max<Index>(1, tiles_of(shape.backward_batch()))} * shape.num_edges);
    return product;
}

LibraryProducts library_products(SparseLibrary& library, Memory& memory, const CudaLayer& layer) {
    LibraryProducts products;
    products.edge_gradient = Array<float>(memory, layer.num_edges);
    const CsrArrays by_output{layer.num_outputs, layer.num_inputs, layer.row_start.data(), layer.column.data(),
                              layer.weights.values.data()};
    products.forward = library.matrix(by_output);
    CsrArrays gradient = by_output;
    gradient.value = products.edge_gradient.data();
    gradient.sampled = true;
    products.gradient = library.matrix(gradient);
    if (!layer.by_input()) return products;
    products.permuted_weights = Array<float>(memory, layer.num_edges);
    products.backward = library.matrix({layer.num_inputs, layer.num_outputs, layer.column_start.data(),
                                        layer.row.data(), products.permuted_weights.data()});
    return products;
}

void refresh_products(cudaStream_t stream, CudaLayer& layer) {
    for (SparseMatrix* matrix :
         {layer.library.forward.get(), layer.library.backward.get(), layer.library.gradient.get()}) {
        if (matrix != nullptr) matrix->refresh(layer.num_edges);
    }
    if (layer.library.forward != nullptr) ++layer.versions;
    const RowView by_output{layer.row_start.data(), layer.column.data(), layer.row_order.data(), layer.num_outputs};
    refresh(stream, by_output, layer.num_edges, layer.forward_product);
    refresh(stream, by_output, layer.num_edges, layer.gradient_product);
    if (!layer.by_input()) return;
    refresh(stream, {layer.column_start.data(), layer.row.data(), layer.column_order.data(), layer.num_inputs},
            layer.num_edges, layer.input_product);
}

}  // namespace espalier::cuda
