#include "cuda/kernels/update.cuh"

#include <variant>

#include "cuda/launch.cuh"
#include "cuda/operations.hpp"

namespace espalier::cuda {
namespace {

TrainedArrays arrays_of(const TrainedArray& array) {
    TrainedArrays arrays{array.values.data(), {}};
    for (std::size_t s = 0; s < array.states.size(); ++s) arrays.state[s] = array.states[s].data();
    return arrays;
}

template <class Rule>
void update_by(cudaStream_t stream, const Rule& rule, const CudaLayer& layer, ConstActivations x, ConstActivations dy,
               const StepScalars* step) {
    const auto update_from = [&](const TrainedArray& array, const float* gradient, std::size_t size) {
        const auto count = static_cast<Index>(size);
        launch(stream, update_parameters_kernel<update_threads, Rule>, thread_grid(count, update_threads),
               update_threads, rule, arrays_of(array), gradient, count, step);
    };
    if (layer.blas != nullptr) {
        layer.blas->weight_gradient(dy, x, layer.weight_gradient.data());
        update_from(layer.weights, layer.weight_gradient.data(), layer.num_edges);
    } else if (layer.library.gradient != nullptr) {
        layer.library.gradient->sample(dy, x);
        update_from(layer.weights, layer.library.edge_gradient.data(), layer.num_edges);
    } else {
        launch(stream, update_edges_kernel<update_threads, Rule>,
               warp_grid(groups(layer.num_edges, warp_lanes), update_threads), update_threads, rule,
               layer.row_start.data(), layer.column.data(), layer.num_edges, arrays_of(layer.weights), x, dy, step);
    }
    if (layer.products_alone) return;
    update_from(layer.bias, layer.neuron_sums.data(), layer.bias.values.size());
    update_from(layer.activation_parameters, layer.neuron_sums.data() + layer.num_outputs,
                layer.activation_parameters.values.size());
}

}  // namespace

void update(cudaStream_t stream, const CudaLayer& layer, ConstActivations x, ConstActivations dy,
            const StepScalars* step) {
    std::visit([&](const auto& rule) { update_by(stream, rule, layer, x, dy, step); }, layer.optimizer);
}

}  // namespace espalier::cuda
