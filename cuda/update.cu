#include "cuda/kernels/update.cuh"

#include <algorithm>
#include <variant>

#include "cuda/exchange.hpp"
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
void update_from(const Launcher& to, const CudaLayer& layer, const TrainedArray& array, const float* gradient,
                 std::size_t size, const StepScalars* step) {
    const auto count = static_cast<Index>(size);
    std::visit(
        [&](const auto& rule) {
            using Rule = std::decay_t<decltype(rule)>;
            launch(to, update_parameters_kernel<update_threads, Rule>, thread_grid(count, update_threads),
                   update_threads, rule, arrays_of(array), gradient, count, step);
        },
        layer.optimizer);
}

/// Edges that the update makes the gradients of.
EdgeIndex gathered_edges(const CudaLayer& layer) {
    return updates_edges(layer) && !layer.gradient_by_panels() ? layer.num_edges : 0;
}

/// Warps that update a layer: one for 32 edges or a bias.
std::size_t warps_of(const CudaLayer& layer) {
    const std::size_t edges = gathered_edges(layer);
    return groups(edges, warp_lanes) + std::size_t{layer.num_outputs};
}

/// The first `count` of the layers, of at most so many tiles each.
template <class Rule>
void launch_update(const Launcher& to, UpdatedLayers<Rule>& layers, int count, int threads, Index tiles) {
    Index blocks = 0;
    for (int l = 0; l < count; ++l) {
        const Index warps_of_block = static_cast<Index>(threads) / warp_lanes;
        layers.edge_blocks[l] = layers.layer[l].edge_blocks(warps_of_block);
        layers.end_block[l] = blocks += layers.layer[l].blocks(warps_of_block);
    }
    launch_with_shared(to, ForMany<UpdateLayersWork<update_threads, Rule>>{}, update_layers_kernel<update_threads, Rule>,
                       dim3(blocks), static_cast<unsigned>(threads), halves_shared_bytes(tiles, threads), layers, count);
}

/// The first layers of [begin, end), at most as many as a launch takes, up to the first for which target(update, layer)
/// has no rule and arrays to give; returns their end.
template <class Rule, class Target>
const LayerUpdate* update_some(const Launcher& to, const LayerUpdate* begin, const LayerUpdate* end,
                               const Target& target) {
    UpdatedLayers<Rule> layers{};
    int count = 0;
    std::size_t warps = 0;
    Index tiles = 1;
    for (; begin != end && count < most_updated_layers; ++begin, ++count) {
        const CudaLayer& layer = *begin->layer;
        UpdatedLayer<Rule>& updated = layers.layer[count];
        if (!target(*begin, updated)) break;
        updated.row_start = layer.row_start.data();
        updated.column = layer.column.data();
        updated.num_edges = gathered_edges(layer);
        updated.num_biases = layer.products_alone ? 0 : layer.num_outputs;
        updated.x = begin->x;
        updated.dy = begin->dy;
        updated.step = begin->step;
        warps += warps_of(layer);
        tiles = std::max(tiles, begin->x.tiles());
    }
    const int threads = threads_for(warps, to.networks(), layers_threads, (begin - 1)->layer->multiprocessors);
    launch_update(to, layers, count, threads, tiles);
    return begin;
}

/// Those whose rule is a Rule, in place.
template <class Rule>
const LayerUpdate* update_some(const Launcher& to, const LayerUpdate* begin, const LayerUpdate* end) {
    return update_some<Rule>(to, begin, end, [](const LayerUpdate& update, UpdatedLayer<Rule>& updated) {
        const Rule* const rule = std::get_if<Rule>(&update.layer->optimizer);
        if (rule == nullptr) return false;
        updated.rule = *rule;
        updated.weights = arrays_of(update.layer->weights);
        updated.bias = arrays_of(update.layer->bias);
        return true;
    });
}

/// sum = the gradient of a matrix by the tiles first, first + step .. of a batch, by halves; sums that wait lie behind it.
void sum_tile_gradients(cudaStream_t stream, const CudaLayer& layer, ConstActivations x, ConstActivations dy, Index first,
                        Index step, float* sum) {
    if (first + step >= x.tiles()) {
        if (first < x.tiles()) layer.blas->weight_gradient(dy, x, first, sum);
        return;
    }
    const std::size_t count = layer.num_edges;
    sum_tile_gradients(stream, layer, x, dy, first, 2 * step, sum);
    sum_tile_gradients(stream, layer, x, dy, first + step, 2 * step, sum + count);
    sum_arrays(stream, sum, count, 2, count, sum);
}

/// Of all updated layers.
std::vector<PanelProduct> panel_products(const LayerUpdates& updates) {
    std::vector<PanelProduct> products;
    for (const LayerUpdate& each : updates) add_panel_products(*each.layer, products);
    return products;
}

void copy_floats(cudaStream_t stream, float* to, const float* from, std::size_t count) {
    if (count == 0) return;
    check(cudaMemcpyAsync(to, from, count * sizeof(float), cudaMemcpyDeviceToDevice, stream), "a copy");
}

}  // namespace

void update_layers(const Launcher& to, const LayerUpdates& updates) {
    for (const auto& [layer, x, dy, step, share] : updates) {
        if (!layer->gradient_by_panels()) continue;
        float* const gradient = layer->gradient_product.parts.data();
        panel_gradients(to, *layer, x, dy, gradient);
        update_from(to, *layer, layer->weights, gradient, layer->num_edges, step);
    }
    const LayerUpdate* next = updates.data();
    const LayerUpdate* const end = next + updates.size();
    while (next != end) {
        std::visit([&](const auto& rule) { next = update_some<std::decay_t<decltype(rule)>>(to, next, end); },
                   next->layer->optimizer);
    }
    pack_weights(to, panel_products(updates));
}

void edge_gradients(cudaStream_t stream, const CudaLayer& layer, ConstActivations x, ConstActivations dy,
                    const StepScalars* step, float* weights, float* bias) {
    UpdatedLayers<KeepGradient> layers{};
    UpdatedLayer<KeepGradient>& one = layers.layer[0];
    const bool by_panels = weights != nullptr && has_room_for_panels(layer, x.tiles());
    if (by_panels) panel_gradients(stream, layer, x, dy, weights);
    one.row_start = layer.row_start.data();
    one.column = layer.column.data();
    one.num_edges = weights != nullptr && !by_panels ? layer.num_edges : 0;
    one.num_biases = bias != nullptr ? layer.num_outputs : 0;
    one.weights = {weights, {}};
    one.bias = {bias, {}};
    one.x = x;
    one.dy = dy;
    one.step = step;
    const std::size_t warps = groups(one.num_edges, warp_lanes) + std::size_t{one.num_biases};
    launch_update(stream, layers, 1, threads_for(warps, 1, layers_threads, layer.multiprocessors), x.tiles());
}

void update_over_ranks(cudaStream_t stream, const Exchange* exchange, std::uint64_t /*memory*/,
                       const LayerUpdates& updates) {
    float* const bucket = exchange->bucket();
    std::vector<GradientPlace> places;
    std::size_t floats = 0;
    for (const LayerUpdate& each : updates) {
        places.push_back({*each.layer, floats});
        floats = places.back().end;
    }
    const LayerUpdate* next = updates.data();
    const LayerUpdate* const end = next + updates.size();
    while (next != end) {
        next = update_some<KeepGradient>(stream, next, end, [&](const LayerUpdate& update, UpdatedLayer<KeepGradient>& updated) {
            const GradientPlace& place = places[static_cast<std::size_t>(&update - updates.data())];
            updated.weights = {bucket + place.weights, {}};
            updated.bias = {bucket + place.bias, {}};
            return true;
        });
    }
    for (std::size_t i = 0; i < updates.size(); ++i) {
        const CudaLayer& layer = *updates[i].layer;
        copy_floats(stream, bucket + places[i].activation, layer.neuron_sums.data(), layer.neuron_sums.size());
        if (layer.gradient_by_panels()) {
            panel_gradients(stream, layer, updates[i].x, updates[i].dy, bucket + places[i].weights);
        }
        if (layer.blas == nullptr) continue;
        sum_tile_gradients(stream, layer, updates[i].x, updates[i].dy, 0, 1, layer.weight_gradient.data());
        copy_floats(stream, bucket + places[i].weights, layer.weight_gradient.data(), layer.num_edges);
    }
    exchange->add(stream, floats, tiles_of(updates.front().share.batch));
    for (std::size_t i = 0; i < updates.size(); ++i) {
        const auto& [layer, x, dy, step, share] = updates[i];
        update_from(stream, *layer, layer->weights, bucket + places[i].weights, layer->num_edges, step);
        update_from(stream, *layer, layer->bias, bucket + places[i].bias, layer->num_outputs, step);
        update_from(stream, *layer, layer->activation_parameters, bucket + places[i].activation,
                    layer->activation_parameters.values.size(), step);
    }
    pack_weights(stream, panel_products(updates));
}

void sum_arrays(const Launcher& to, const float* arrays, std::size_t stride, Index parts, std::size_t count, float* sum) {
    launch_with_shared(to, sum_arrays_kernel<update_threads>, thread_grid(count, update_threads),
                       static_cast<unsigned>(update_threads), halves_shared_bytes(parts, update_threads), arrays, stride,
                       parts, count, sum);
}

void update_by_library(cudaStream_t stream, const CudaLayer& layer, ConstActivations x, ConstActivations dy,
                       const StepScalars* step) {
    const float* gradient = layer.weight_gradient.data();
    if (layer.blas != nullptr) {
        sum_tile_gradients(stream, layer, x, dy, 0, 1, layer.weight_gradient.data());
    } else {
        layer.library.gradient->sample(dy, x);
        gradient = layer.library.edge_gradient.data();
    }
    update_from(stream, layer, layer.weights, gradient, layer.num_edges, step);
}

void update_activation(const Launcher& to, const CudaLayer& layer, const StepScalars* step) {
    update_from(to, layer, layer.activation_parameters, layer.neuron_sums.data(),
                layer.activation_parameters.values.size(), step);
}

}  // namespace espalier::cuda
