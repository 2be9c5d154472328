#include "cuda/kernels/panel_gradient.cuh"

#include "cuda/launch.cuh"
#include "cuda/operations.hpp"
#include "cuda/products/product_launch.cuh"

namespace espalier::cuda {

void panel_gradients(const Launcher& to, const CudaLayer& layer, ConstActivations x, ConstActivations dy, float* sum) {
    const Product& product = layer.gradient_product;
    expects(has_room_for_panels(layer, x.tiles()), "room for the gradients of all tiles");
    float* const parts = product.parts.data();
    with_gradient_block(product.choice.block, [&]<class Block>(Block) {
        launch_with_shared(to, panel_gradient_kernel<Block>,
                           dim3(product.panels.num_positions / Block::size.rows(), x.tiles()), Block::size.launched_threads(),
                           gradient_shared_bytes(Block::size, product.panels.panel_neurons),
                           PanelGradientArguments{layer.column.data(), layer.row_order.data(), layer.num_edges},
                           Panels{product.panels, product.panel_start.data()}, x, dy, parts);
    });
    if (sum != parts || x.tiles() != 1) sum_arrays(to, parts, layer.num_edges, x.tiles(), layer.num_edges, sum);
}

}  // namespace espalier::cuda
