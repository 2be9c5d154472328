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
void multiply(const Launcher& to, const CudaLayer& layer, const Rule& rule, ConstActivations x, Activations saved,
              Activations y, const Dropped& dropped) {
    ForwardArguments arguments{layer.row_start.data(),
                               layer.column.data(),
                               layer.weights.values.data(),
                               layer.row_order.data(),
                               layer.bias.values.data(),
                               layer.activation_parameters.values.data(),
                               dropped};
    const Product& product = layer.forward_product;
    if (product.choice.kernel == Spmm::panel) {
        with_panel_block(product.choice.block, [&]<class Block>(Block) {
            launch_panels<Block>(to, forward_panel_kernel<Block, Rule>, product, y.tiles(), arguments,
                                 packed_panels(product), rule, x, saved, y);
        });
    } else if (product.choice.kernel == Spmm::coo) {
        const CooEdges edges{product.edge_row.data(), layer.column.data(), layer.num_edges};
        by_tiles(product, y.tiles(), [&](Index first, Index count) {
            const Activations out = some_tiles(y, first, count);
            const Activations kept = some_tiles(saved, first, count);
            arguments.dropped.share.first = dropped.share.tile(first);
            launch(to, forward_coo_kernel<coo_threads, Rule>, warp_grid(edges.chunks(), coo_threads, count),
                   coo_threads, edges, arguments, rule, some_tiles(x, first, count), product.parts.data(), kept, out);
            launch(to, forward_coo_join_kernel<coo_threads, Rule>, warp_grid(y.rows, coo_threads, count),
                   coo_threads, arguments, rule, edges.chunks(), product.parts.data(), kept, out);
        });
    } else {
        const int threads = threads_for(y.rows, y.tiles() * to.networks(), forward_threads, layer.multiprocessors);
        launch(to, ForMany<ForwardWork<forward_threads, Rule>>{}, forward_kernel<forward_threads, Rule>,
               warp_grid(y.rows, threads, y.tiles()), threads, arguments, rule, x, saved, y);
    }
}

}  // namespace

void forward(const Launcher& to, const CudaLayer& layer, ConstActivations x, Activations saved, Activations y,
             const Dropped& dropped) {
    const bool by_library = layer.blas != nullptr || layer.library.forward != nullptr;
    if (by_library) static_cast<void>(to.stream());  // no list has a library's launches
    if (layer.blas != nullptr) layer.blas->forward(layer.weights.values.data(), x, y);
    if (layer.library.forward != nullptr) layer.library.forward->multiply(x, y);
    if (layer.products_alone) return;
    std::visit(
        [&](const auto& rule) {
            using Rule = std::decay_t<decltype(rule)>;
            if (by_library) {
                launch(to, activate_kernel<activate_threads, Rule>, warp_grid(y.rows, activate_threads, y.tiles()),
                       activate_threads, rule, layer.bias.values.data(), layer.activation_parameters.values.data(),
                       saved, y, dropped);
            } else {
                multiply(to, layer, rule, x, saved, y, dropped);
            }
        },
        layer.activation);
}

}  // namespace espalier::cuda
