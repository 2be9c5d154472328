// What the backend asks of the device, one function per operation; each enqueues on the stream and returns, but for
// those of evolution, of which prune() waits for three integers, and some by Thrust for their counts. Shapes are as in
// Backend's verbs; the backend has checked them. Of several processes each gives the tiles of its share.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/dropped.hpp"
#include "cuda/launcher.hpp"
#include "cuda/layer.hpp"
#include "cuda/rank_share.hpp"
#include "cuda_calls.hpp"
#include "espalier/backend.hpp"

namespace espalier::cuda {

struct MetricSums;  // cuda/kernels/loss.cuh
std::size_t metric_bytes();
/// From device sums copied to the host. Throws std::logic_error when a label was no class.
Metrics metrics_of(const void* sums);
/// Adds those of another process, both on the host.
void add_metrics(void* sums, const void* more);

void gather(const Launcher& to, const Samples& samples, const BatchChoice& choice, Activations x, std::int32_t* labels,
            const StepScalars* step, const RankShare& share);
void forward(const Launcher& to, const CudaLayer& layer, ConstActivations x, Activations saved, Activations y,
             const Dropped& dropped = {});
/// `draws`: their event is the step's.
void dropout(const Launcher& to, Activations values, float rate, const Stream& draws, const StepScalars* step,
             const RankShare& share);
void loss(const Launcher& to, const Loss& loss, ConstActivations z, const std::int32_t* labels, Activations dz,
          const float* class_weights, const float* targets, MetricSums* sums, const RankShare& share);
// The parts of a layer's backward pass (fusion.hpp says which of them become one launch).
/// A layer whose activation's derivative the product of the layer above multiplies by, and what that is made of.
struct LayerBelow {
    const CudaLayer* layer = nullptr;  // null: dx remains the gradient by the output
    ConstActivations saved;
    Dropped dropped;
};
/// dy by the preactivation, in place, and the gradients by the activation's parameters. Nothing for Identity of which
/// nothing is dropped.
void differentiate(const Launcher& to, const CudaLayer& layer, ConstActivations saved, Activations dy,
                   const Dropped& dropped);
/// dx = W^T dy; with a layer below (fuses_derivative()) by its preactivation.
void input_gradient(const Launcher& to, const CudaLayer& layer, ConstActivations dy, const LayerBelow& below,
                    Activations dx);
/// Whether input_gradient() of `layer` can multiply by the derivative of `below`'s activation.
bool fuses_derivative(const CudaLayer& layer, const CudaLayer& below);

/// A head's forward pass, loss and dx, at once (kernels/head.cuh). The activation is Identity, the loss SoftmaxNll.
struct HeadCall {
    ConstActivations x;
    Activations z;
    Loss loss;
    const std::int32_t* labels = nullptr;
    Activations dz;
    const float* class_weights = nullptr;
    MetricSums* sums = nullptr;
    Activations dx;
    RankShare share;
};
void head(const Launcher& to, const CudaLayer& layer, const HeadCall& call, const LayerBelow& below);
/// Whether the layer is dense, small and linear, and by gathering as all it would replace.
bool may_be_head(const CudaLayer& layer);

/// A layer to be updated, given dy by the preactivation.
struct LayerUpdate {
    const CudaLayer* layer;
    ConstActivations x;
    ConstActivations dy;
    const StepScalars* step;
    RankShare share;
};
using LayerUpdates = std::vector<LayerUpdate>;
/// Biases, and weights where updates_edges().
void update_layers(const Launcher& to, const LayerUpdates& updates);
/// The gradients by an edge layer's weights, canonical order, and biases; either may be null. By panels where those have room
/// for all tiles. `step`: any, of the device.
void edge_gradients(cudaStream_t stream, const CudaLayer& layer, ConstActivations x, ConstActivations dy,
                    const StepScalars* step, float* weights, float* bias);
class Exchange;  // exchange.hpp
/// The same by the gradients of all ranks together, activation parameters included. `memory`: of the exchange's memory.
void update_over_ranks(cudaStream_t stream, const Exchange* exchange, std::uint64_t memory, const LayerUpdates& updates);
/// sum [count] = the sum by halves of the first `parts` of the arrays [parts][stride]; may be the first of them.
void sum_arrays(const Launcher& to, const float* arrays, std::size_t stride, Index parts, std::size_t count, float* sum);
/// sum [num_edges] = the gradients by the weights of a layer that makes them by panels; may be its parts.
void panel_gradients(const Launcher& to, const CudaLayer& layer, ConstActivations x, ConstActivations dy, float* sum);
/// Whether the parts of such gradients by so many tiles have room.
inline bool has_room_for_panels(const CudaLayer& layer, Index tiles) {
    return layer.gradient_by_panels() && layer.gradient_product.parts.size() >= std::size_t{tiles} * layer.num_edges;
}
/// Whether our own kernels sum the gradients of the weights.
inline bool updates_edges(const CudaLayer& layer) { return layer.blas == nullptr && layer.library.gradient == nullptr; }
/// Weights where a library multiplies.
void update_by_library(cudaStream_t stream, const CudaLayer& layer, ConstActivations x, ConstActivations dy,
                       const StepScalars* step);
/// Activation parameters, after differentiate().
void update_activation(const Launcher& to, const CudaLayer& layer, const StepScalars* step);

/// permuted[e] = values[slot[e]], of `count`.
void permute(cudaStream_t stream, const float* values, const EdgeIndex* slot, EdgeIndex count, float* permuted);

void transposed(cudaStream_t stream, const CudaLayer& layer, const CudaLayer& offsets, ConstActivations y,
                Activations x);
void sample(cudaStream_t stream, const UnitDraw& draw, ConstActivations values, Activations means, Activations states,
            const StepScalars* step);
void score_reconstruction(cudaStream_t stream, ConstActivations probabilities, ConstActivations data, MetricSums* sums);

/// outputs [num_outputs] and inputs [num_inputs], device memory.
void degrees(cudaStream_t stream, const CudaLayer& layer, EdgeIndex* outputs, EdgeIndex* inputs);
/// counts[n] = how many of the edges are neuron n's.
void count_neurons(cudaStream_t stream, const Index* of_edge, EdgeIndex num_edges, EdgeIndex* counts, Index neurons);

/// Fills row_order and, if the layer has it, the view by input from row_start and column.
void rebuild_views(cudaStream_t stream, Memory& memory, CudaLayer& layer);

Pruned prune(cudaStream_t stream, Memory& memory, CudaLayer& layer, const Pruning& pruning);
/// Backend's prune_ends(), which asks pruned_degrees() for what is left.
Pruned prune_ends(cudaStream_t stream, Memory& memory, CudaLayer& layer, const DeadEnds& dead);
/// How many edges of each neuron are pruned.
void pruned_degrees(cudaStream_t stream, Memory& memory, const CudaLayer& layer, EdgeIndex* outputs, EdgeIndex* inputs);
/// Replaces the pruned edges, or drops them where `regrowth` is null; returns how many were grown.
EdgeIndex replace(cudaStream_t stream, Memory& memory, CudaLayer& layer, const Regrowth* regrowth);

/// An address by which the runtime finds out whether this module has code for the device.
const void* some_kernel();

}  // namespace espalier::cuda
