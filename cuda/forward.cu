#include "cuda/kernels/forward.cuh"

#include <variant>

#include "cuda/kernels/dense.cuh"
#include "cuda/launch.cuh"
#include "cuda/operations.hpp"
#include "cuda/products/product_launch.cuh"

namespace espalier::cuda {
namespace {

/// By the layer's edges, in the way that was chosen for it.
template <class Rule>
void multiply(cudaStream_t stream, const CudaLayer& layer, const Rule& rule, ConstActivations x, Activations saved,
              Activations y) {
    const ForwardArguments arguments{layer.row_start.data(),      layer.column.data(),
                                     layer.weights.values.data(), layer.row_order.data(),
                                     layer.bias.values.data(),    layer.activation_parameters.values.data()};
    const Product& product = layer.forward_product;
    if (product.choice.kernel == Spmm::panel) {
        with_panel_block(product.choice.block, [&]<class Block>(Block) {
            launch_panels<Block>(stream, forward_panel_kernel<Block, Rule>, product, y.tiles(), arguments,
                                 Panels{product.panels, product.panel_start.data()}, rule, x, saved, y);
        });
    } else if (product.choice.kernel == Spmm::coo) {
        const CooEdges edges{product.edge_row.data(), layer.column.data(), layer.num_edges};
        by_tiles(product, y.tiles(), [&](Index first, Index count) {
            const Activations to = some_tiles(y, first, count);
            const Activations kept = some_tiles(saved, first, count);
            launch(stream, forward_coo_kernel<coo_threads, Rule>, warp_grid(edges.chunks(), coo_threads, count),
                   coo_threads, edges, arguments, rule, some_tiles(x, first, count), product.parts.data(), kept, to);
            launch(stream, forward_coo_join_kernel<coo_threads, Rule>, warp_grid(y.rows, coo_threads, count),
                   coo_threads, arguments, rule, edges.chunks(), product.parts.data(), kept, to);
        });
    } else {
        const int threads = threads_for(y.rows, y.tiles(), forward_threads, layer.multiprocessors);
        launch(stream, forward_kernel<forward_threads, Rule>, warp_grid(y.rows, threads, y.tiles()), threads, arguments,
               rule, x, saved, y);
    }
}

}  // namespace

void forward(cudaStream_t stream, const CudaLayer& layer, ConstActivations x, Activations saved, Activations y) {
    const bool by_library = layer.blas != nullptr || layer.library.forward != nullptr;
    if (layer.blas != nullptr) layer.blas->forward(layer.weights.values.data(), x, y);
    if (layer.library.forward != nullptr) layer.library.forward->multiply(x, y);
    if (layer.products_alone) return;
    std::visit(
        [&](const auto& rule) {
            using Rule = std::decay_t<decltype(rule)>;
            if (by_library) {
                launch(stream, activate_kernel<activate_threads, Rule>, warp_grid(y.rows, activate_threads, y.tiles()),
                       activate_threads, rule, layer.bias.values.data(), layer.activation_parameters.values.data(),
                       saved, y);
            } else {
                multiply(stream, layer, rule, x, saved, y);
            }
        },
        layer.activation);
}

}  // namespace espalier::cuda
