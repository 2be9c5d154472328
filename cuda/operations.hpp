// What the backend asks of the device, one function per operation; each enqueues on the stream and returns, but for
// those of evolution, which wait for a few integers. Shapes are as in Backend's verbs; the backend has checked them.
#pragma once

#include <cstdint>

#include "cuda/layer.hpp"
#include "cuda_calls.hpp"
#include "espalier/backend.hpp"

namespace espalier::cuda {

struct MetricSums;  // cuda/kernels/loss.cuh
std::size_t metric_bytes();
/// From device sums copied to the host. Throws std::logic_error when a label was no class.
Metrics metrics_of(const void* sums);

void gather(cudaStream_t stream, const Samples& samples, const BatchChoice& choice, Activations x, std::int32_t* labels,
            const StepScalars* step);
void forward(cudaStream_t stream, const CudaLayer& layer, ConstActivations x, Activations saved, Activations y);
/// `draws`: their event is the step's.
void dropout(cudaStream_t stream, Activations values, float rate, const Stream& draws, const StepScalars* step);
void loss(cudaStream_t stream, const Loss& loss, ConstActivations z, const std::int32_t* labels, Activations dz,
          const float* class_weights, const float* targets, MetricSums* sums);
void backward(cudaStream_t stream, const CudaLayer& layer, ConstActivations x, ConstActivations saved, Activations dy,
              Activations dx, const StepScalars* step);
/// dy by the preactivation, in place, and dx unless it is empty; no parameter changes.
void differentiate(cudaStream_t stream, const CudaLayer& layer, ConstActivations saved, Activations dy, Activations dx);
/// Weights, biases and activation parameters, given dy by the preactivation and the layer's neuron_sums.
void update(cudaStream_t stream, const CudaLayer& layer, ConstActivations x, ConstActivations dy,
            const StepScalars* step);
/// dx = W^T dy.
void input_gradient(cudaStream_t stream, const CudaLayer& layer, ConstActivations dy, Activations dx);
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
