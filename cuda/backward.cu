#include "cuda/kernels/backward.cuh"

#include <variant>

#include "cuda/launch.cuh"
#include "cuda/operations.hpp"
#include "cuda/products/product_launch.cuh"

namespace espalier::cuda {
namespace {

/// dy by the preactivation, in place; its sums over the batch into the layer's neuron_sums.
void differentiate(cudaStream_t stream, const CudaLayer& layer, ConstActivations saved, Activations dy) {
    std::visit(
        [&](const auto& rule) {
            using Rule = std::decay_t<decltype(rule)>;
            launch(stream, differentiate_kernel<backward_threads, Rule>, warp_grid(dy.rows, backward_threads),
                   backward_threads, rule, layer.activation_parameters.values.data(), saved, dy,
                   layer.neuron_sums.data());
        },
        layer.activation);
}

}  // namespace

void input_gradient(cudaStream_t stream, const CudaLayer& layer, ConstActivations dy, Activations dx) {
    if (layer.blas != nullptr) return layer.blas->input_gradient(layer.weights.values.data(), dy, dx);
    if (layer.library.backward != nullptr) {
        launch(stream, permute_weights_kernel<backward_threads>, thread_grid(layer.num_edges, backward_threads),
               backward_threads, layer.weights.values.data(), layer.slot.data(), layer.num_edges,
               layer.library.permuted_weights.data());
        return layer.library.backward->multiply(dy, dx);
    }
    const InputGradientArguments arguments{layer.column_start.data(), layer.row.data(), layer.slot.data(),
                                           layer.weights.values.data(), layer.column_order.data()};
    const Product& product = layer.input_product;
    if (product.choice.kernel == Spmm::panel) {
        with_panel_block(product.choice.block, [&]<class Block>(Block) {
            launch_panels<Block>(stream, input_gradient_panel_kernel<Block>, product, dx.tiles(), arguments,
                                 Panels{product.panels, product.panel_start.data()}, dy, dx);
        });
    } else if (product.choice.kernel == Spmm::coo) {
        const CooEdges edges{product.edge_row.data(), layer.row.data(), layer.num_edges};
        by_tiles(product, dx.tiles(), [&](Index first, Index count) {
            const Activations to = some_tiles(dx, first, count);
            launch(stream, input_gradient_coo_kernel<coo_threads>, warp_grid(edges.chunks(), coo_threads, count),
                   coo_threads, edges, arguments, some_tiles(dy, first, count), product.parts.data(), to);
            launch(stream, input_gradient_coo_join_kernel<coo_threads>, warp_grid(dx.rows, coo_threads, count),
                   coo_threads, arguments, edges.chunks(), product.parts.data(), to);
        });
    } else {
        launch(stream, input_gradient_kernel<backward_threads>, warp_grid(dx.rows, backward_threads, dx.tiles()),
               backward_threads, arguments, dy, dx);
    }
}

void differentiate(cudaStream_t stream, const CudaLayer& layer, ConstActivations saved, Activations dy,
                   Activations dx) {
    differentiate(stream, layer, saved, dy);
    if (dx) input_gradient(stream, layer, dy, dx);
}

void backward(cudaStream_t stream, const CudaLayer& layer, ConstActivations x, ConstActivations saved, Activations dy,
              Activations dx, const StepScalars* step) {
    if (!layer.products_alone) differentiate(stream, layer, saved, dy);
    if (dx) input_gradient(stream, layer, dy, dx);  // by the weights from before the update
    update(stream, layer, x, dy, step);
}

}  // namespace espalier::cuda
