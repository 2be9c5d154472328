#include "cuda/kernels/update.cuh"

#include <algorithm>
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

/// `count` parameters from gradients in memory.
void update_from(cudaStream_t stream, const CudaLayer& layer, const TrainedArray& array, const float* gradient,
                 std::size_t size, const StepScalars* step) {
    const auto count = static_cast<Index>(size);
    std::visit(
        [&](const auto& rule) {
            using Rule = std::decay_t<decltype(rule)>;
            launch(stream, update_parameters_kernel<update_threads, Rule>, thread_grid(count, update_threads),
                   update_threads, rule, arrays_of(array), gradient, count, step);
        },
        layer.optimizer);
}

/// Warps that update a layer: one for 32 edges or a bias.
std::size_t warps_of(const CudaLayer& layer) {
    const std::size_t edges = updates_edges(layer) ? layer.num_edges : 0;
    return groups(edges, warp_lanes) + std::size_t{layer.num_outputs};
}

/// The first layers of [begin, end) whose rule is a Rule, at most as many as a launch takes; returns their end.
template <class Rule>
const LayerUpdate* update_some(cudaStream_t stream, const LayerUpdate* begin, const LayerUpdate* end) {
    UpdatedLayers<Rule> layers{};
    int count = 0;
    std::size_t warps = 0;
    for (; begin != end && count < most_updated_layers; ++begin, ++count) {
        const CudaLayer& layer = *begin->layer;
        const Rule* const rule = std::get_if<Rule>(&layer.optimizer);
        if (rule == nullptr) break;
        layers.layer[count] = {*rule,
                               layer.row_start.data(),
                               layer.column.data(),
                               updates_edges(layer) ? layer.num_edges : 0,
                               layer.products_alone ? 0 : layer.num_outputs,
                               arrays_of(layer.weights),
                               arrays_of(layer.bias),
                               begin->x,
                               begin->dy,
                               begin->step};
        warps += warps_of(layer);
    }
    const int threads = threads_for(warps, 1, update_threads, (begin - 1)->layer->multiprocessors);
    Index blocks = 0;
    for (int l = 0; l < count; ++l) {
        const Index warps_of_block = static_cast<Index>(threads) / warp_lanes;
        layers.edge_blocks[l] = layers.layer[l].edge_blocks(warps_of_block);
        layers.end_block[l] = blocks += layers.layer[l].blocks(warps_of_block);
    }
    launch(stream, update_layers_kernel<update_threads, Rule>, dim3(blocks), threads, layers, count);
    return begin;
}

}  // namespace

void update_layers(cudaStream_t stream, const LayerUpdates& updates) {
    const LayerUpdate* next = updates.data();
    const LayerUpdate* const end = next + updates.size();
    while (next != end) {
        std::visit([&](const auto& rule) { next = update_some<std::decay_t<decltype(rule)>>(stream, next, end); },
                   next->layer->optimizer);
    }
}

void update_by_library(cudaStream_t stream, const CudaLayer& layer, ConstActivations x, ConstActivations dy,
                       const StepScalars* step) {
    const float* gradient = layer.weight_gradient.data();
    if (layer.blas != nullptr) {
        layer.blas->weight_gradient(dy, x, layer.weight_gradient.data());
    } else {
        layer.library.gradient->sample(dy, x);
        gradient = layer.library.edge_gradient.data();
    }
    update_from(stream, layer, layer.weights, gradient, layer.num_edges, step);
}

void update_activation(cudaStream_t stream, const CudaLayer& layer, const StepScalars* step) {
    update_from(stream, layer, layer.activation_parameters, layer.neuron_sums.data(),
                layer.activation_parameters.values.size(), step);
}

}  // namespace espalier::cuda
