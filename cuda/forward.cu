#include "cuda/kernels/forward.cuh"

#include <variant>

#include "cuda/choose_spmm.hpp"
#include "cuda/kernels/dense.cuh"
#include "cuda/launch.cuh"
#include "cuda/operations.hpp"

namespace espalier::cuda {

void forward(cudaStream_t stream, const CudaLayer& layer, ConstActivations x, Activations saved, Activations y) {
    const ForwardArguments arguments{layer.row_start.data(),      layer.column.data(),
                                     layer.weights.values.data(), layer.row_order.data(),
                                     layer.bias.values.data(),    layer.activation_parameters.values.data()};
    if (layer.blas != nullptr) layer.blas->forward(layer.weights.values.data(), x, y);
    std::visit(
        [&](const auto& rule) {
            using Rule = std::decay_t<decltype(rule)>;
            if (layer.blas != nullptr) {
                launch(stream, activate_kernel<activate_threads, Rule>, warp_grid(y.rows, activate_threads, y.tiles()),
                       activate_threads, rule, layer.bias.values.data(), layer.activation_parameters.values.data(),
                       saved, y);
                return;
            }
            switch (choose_spmm({layer.num_inputs, layer.num_outputs, layer.num_edges, x.batch})) {
                case Spmm::gather:
                    launch(stream, forward_kernel<forward_threads, Rule>, warp_grid(y.rows, forward_threads, y.tiles()),
                           forward_threads, arguments, rule, x, saved, y);
            }
        },
        layer.activation);
}

}  // namespace espalier::cuda
