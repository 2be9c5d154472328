#include "cuda/products/product.hpp"

#include <algorithm>

#include "cuda/kernels/coo.cuh"
#include "cuda/kernels/pack.cuh"
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
    const EdgeIndex* slot;  // of each edge's weight; null: the edge's own
    const float* weight;
};
RowView by_output(const CudaLayer& layer) {
    return {layer.row_start.data(), layer.column.data(),      layer.row_order.data(),
            layer.num_outputs,      nullptr,                  layer.weights.values.data()};
}
RowView by_input(const CudaLayer& layer) {
    return {layer.column_start.data(), layer.row.data(),  layer.column_order.data(),
            layer.num_inputs,          layer.slot.data(), layer.weights.values.data()};
}

PackedProduct packed_product(const RowView& view, const Product& product) {
    return {{product.panels, product.panel_start.data()}, product.choice.block,      view.other,          view.slot,
            view.weight,                                  product.pair_start.data(), product.pairs.data()};
}

/// The products' edges, all of them or their weights.
template <bool with_places>
void launch_pack(const Launcher& to, const PackedProduct* products, int count) {
    PackedProducts some{};
    Index blocks = 0;
    for (int i = 0; i < count; ++i) {
        const PanelLayout& layout = products[i].panels.layout;
        const std::size_t warps =
            std::size_t{layout.num_panels} * (layout.num_positions / products[i].block.rows_per_warp);
        some.product[i] = products[i];
        some.end_block[i] = blocks += groups(warps, pack_threads / warp_lanes);
    }
    launch(to, pack_kernel<pack_threads, with_places>, dim3(blocks), pack_threads, some);
}

/// The edges of a topology not packed before.
void pack(cudaStream_t stream, const RowView& view, const Product& product) {
    const PackedProduct packed = packed_product(view, product);
    const Index rows = product.panels.num_positions / product.choice.block.rows_per_warp;
    check(cudaMemsetAsync(product.pairs_used.data(), 0, sizeof(EdgeIndex), stream), "clearing memory");
    // what lies beside an edge that is alone, or behind the last, is read as well, but not used
    check(cudaMemsetAsync(product.pairs.data(), 0, product.pairs.size() * sizeof(EdgePair), stream), "clearing memory");
    launch(stream, pair_starts_kernel<pack_threads>, warp_grid(rows, pack_threads), pack_threads, packed,
           product.pairs_used.data());
    launch_pack<true>(stream, &packed, 1);
}

void refresh(cudaStream_t stream, const RowView& view, EdgeIndex num_edges, Product& product) {
    if (product.choice.kernel == Spmm::panel) {
        dim3 grid = thread_grid(product.panels.num_positions, panel_starts_threads);
        grid.y = product.panels.num_panels + 1;
        launch(stream, panel_starts_kernel<panel_starts_threads>, grid, panel_starts_threads, view.start, view.other,
               view.order, view.num_rows, product.panels, product.panel_start.data());
        if (product.pairs.size() > 0) pack(stream, view, product);
    }
    if (product.choice.kernel == Spmm::coo) {
        launch(stream, edge_rows_kernel<coo_threads>, thread_grid(num_edges, coo_threads), coo_threads, view.start,
               view.num_rows, num_edges, product.edge_row.data());
    }
}

void expect_panels(const PanelBlock& block, const SpmmShape& shape, const SpmmDevice& device) {
    if (has_panels(block, shape, device)) return;
    const PanelLayout layout = panel_layout(block, shape.num_rows, shape.num_others, device.shared_bytes);
    const bool fit = layout.num_panels > 0 && layout.num_panels < max_grid_rows;
    throw UserError(ExitCode::device,
                    "spmm: panels of a layer with " + std::to_string(shape.num_others) + " neurons " +
                        (fit ? "and " + std::to_string(shape.num_rows) + " at the other side take up to " +
                                   std::to_string(most_pairs(block, layout, shape.num_edges)) + " pairs of edges, and " +
                                   std::to_string(max_pairs) + " are counted"
                             : "do not fit into this GPU's shared memory, " + std::to_string(device.shared_bytes) +
                                   " bytes a block") +
                        "; choose auto, gather or coo");
}

}  // namespace

Product plan_product(Memory& memory, Spmm asked, const SpmmShape& shape, const SpmmDevice& device) {
    Product product;
    product.choice = choose_spmm(asked, shape, device);
    switch (product.choice.kernel) {
        case Spmm::panel:
            expect_panels(product.choice.block, shape, device);
            product.panels = panel_layout(product.choice.block, shape.num_rows, shape.num_others, device.shared_bytes);
            product.panel_start = Array<EdgeIndex>(memory, product.panels.size());
            product.pair_start = Array<EdgeIndex>(memory, product.panels.num_groups(product.choice.block));
            product.pairs = Array<EdgePair>(memory, most_pairs(product.choice.block, product.panels, shape.num_edges));
            product.pairs_used = Array<EdgeIndex>(memory, 1);
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
    refresh(stream, by_output(layer), layer.num_edges, layer.forward_product);
    refresh(stream, by_output(layer), layer.num_edges, layer.gradient_product);
    if (layer.by_input()) refresh(stream, by_input(layer), layer.num_edges, layer.input_product);
}

void add_panel_products(const CudaLayer& layer, std::vector<PanelProduct>& products) {
    for (const Product* product : {&layer.forward_product, &layer.input_product}) {
        if (product->choice.kernel == Spmm::panel) products.push_back({&layer, product});
    }
}

void pack_weights(const Launcher& to, const std::vector<PanelProduct>& products) {
    std::vector<PackedProduct> packed;
    for (const auto& [layer, product] : products) {
        packed.push_back(
            packed_product(product == &layer->forward_product ? by_output(*layer) : by_input(*layer), *product));
    }
    for (std::size_t first = 0; first < packed.size(); first += most_packed_products) {
        const std::size_t count = std::min<std::size_t>(most_packed_products, packed.size() - first);
        launch_pack<false>(to, packed.data() + first, static_cast<int>(count));
    }
}

void pack_weights(const Launcher& to, const CudaLayer& layer) {
    std::vector<PanelProduct> products;
    add_panel_products(layer, products);
    pack_weights(to, products);
}

}  // namespace espalier::cuda
