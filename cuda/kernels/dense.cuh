// After a dense layer's product: y = activation(b + W x), where y holds W x. Tiles are [tile][neuron][128]. A warp owns
// one neuron in one tile; nothing is atomic. Grid: x covers the neurons, y the tiles.
#pragma once

#include "cuda/dropped.hpp"
#include "cuda/kernels/warp.cuh"

namespace espalier::cuda {

inline constexpr int activate_threads = 256;

/// `saved` receives y or the preactivation, whichever the rule's derivative is made of; it may be y or empty.
template <int block_threads, class Rule>
__global__ void __launch_bounds__(block_threads)
    activate_kernel(Rule rule, const float* biases, const float* activation_parameters, Activations saved,
                    Activations y, Dropped dropped) {
    const Index neuron = warp_of_grid();
    if (neuron >= y.rows) return;  // no barrier follows
    const Index tile = blockIdx.y;
    const float bias = biases[neuron];
    float4 z = load4(lane_samples(y, tile, neuron));
    z = make_float4(z.x + bias, z.y + bias, z.z + bias, z.w + bias);
    const Rule own = for_neuron(rule, activation_parameters, neuron, y.rows);
    float out[] = {own.value(z.x), own.value(z.y), own.value(z.z), own.value(z.w)};
    if (saved.data != nullptr && saved.data != y.data) {
        store4(lane_samples(saved, tile, neuron), Rule::saves_input ? z : make_float4(out[0], out[1], out[2], out[3]));
    }
    dropped.apply(out, tile, neuron, lane_of_warp() * 4, y.used(tile));
    store_samples(lane_samples(y, tile, neuron), out);
}

}  // namespace espalier::cuda
