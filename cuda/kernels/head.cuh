// Head: a training step's last layer, dense and small, with its loss and the gradient by the layer below, in one launch:
//     z = b + W h;   the score of each sample;   dz = gradient of the loss;   dh = W^T dz, times act'(saved)
// where gathering would have one warp a class on the whole device, and three launches more. h [tile][inputs][128],
// z, dz [tile][classes][128]. A block owns 32 samples; h, W, z and dz lie in its shared memory. Each sum has the order,
// and the bits, of the kernels that do the same one after the other. Nothing is atomic but the loss's fixed-point sums.
#pragma once

#include "cuda/kernels/backward.cuh"
#include "cuda/kernels/loss.cuh"

namespace espalier::cuda {

inline constexpr int head_threads = 512;
inline constexpr Index head_samples = warp_lanes;  // of a block: a lane's each
inline constexpr Index most_head_classes = 32;
inline constexpr Index most_head_inputs = 1024;  // more of them leave a multiprocessor's arithmetic to too few blocks

struct HeadArguments {
    const float* weight;  // [classes][inputs]
    const float* bias;    // classes
    ConstActivations h;
    Activations z;
    Activations dz;
    Activations dh;
    const std::int32_t* labels;
    const float* class_weights;  // may be null
    MetricSums* sums;
    RankShare share;  // of the batch, whose tiles the views have
};

/// Floats of a block's dynamic shared memory: h and W; z and dz.
constexpr std::size_t head_shared_bytes(std::size_t inputs, std::size_t classes) {
    return (inputs * (head_samples + classes) + 2 * classes * head_samples) * sizeof(float);
}

/// z of the block's samples, in shared memory and in memory. A warp owns a class.
template <int block_threads>
__device__ void head_forward(const HeadArguments& layer, const float* h, const float* w, float* z, Index tile,
                             Index offset) {
    const Index lane = lane_of_warp();
    for (Index c = threadIdx.x / warp_lanes; c < layer.z.rows; c += block_threads / warp_lanes) {
        float sum = layer.bias[c];
        for (Index i = 0; i < layer.h.rows; ++i) {
            sum = fmaf(w[c * layer.h.rows + i], h[i * head_samples + lane], sum);
        }
        z[c * head_samples + lane] = sum;
        layer.z.row(tile, c)[offset + lane] = sum;
    }
}

/// dz to memory, and dh. A warp owns a class, then an input.
template <int block_threads, class Below>
__device__ void head_backward(const HeadArguments& layer, const Below& below, ConstActivations saved, const float* w,
                              const float* dz, Index tile, Index offset) {
    constexpr Index warps = block_threads / warp_lanes;
    const Index lane = lane_of_warp();
    const Index warp = threadIdx.x / warp_lanes;
    for (Index c = warp; c < layer.z.rows; c += warps) {
        layer.dz.row(tile, c)[offset + lane] = dz[c * head_samples + lane];
    }
    const InputRows<Below> rows{layer.dh, below, saved};
    for (Index i = warp; i < layer.h.rows; i += warps) {
        float sum = 0;
        for (Index c = 0; c < layer.z.rows; ++c) {
            sum = fmaf(w[c * layer.h.rows + i], dz[c * head_samples + lane], sum);
        }
        rows.finish(tile, i, offset + lane, {sum});
    }
}

/// What head_kernel does.
template <int threads, class Rule, class Below>
struct HeadWork {
    static constexpr int block_threads = threads;
    using Arguments = Pack<HeadArguments, Rule, Below, ConstActivations>;

    __device__ void operator()(HeadArguments layer, Rule rule, Below below, ConstActivations saved) const {
        const Index inputs = layer.h.rows;
        const Index classes = layer.z.rows;
        const Index tile = blockIdx.x / (tile_lanes / head_samples);
        const Index offset = blockIdx.x % (tile_lanes / head_samples) * head_samples;
        const Index lane = lane_of_warp();
        float* const h = dynamic_shared<float>();           // [inputs][32]
        float* const w = h + inputs * head_samples;         // [classes][inputs]
        float* const z = w + inputs * classes;              // [classes][32]
        float* const dz = z + classes * head_samples;       // [classes][32]
        for (Index i = threadIdx.x; i < inputs * head_samples; i += block_threads) {
            h[i] = layer.h.row(tile, i / head_samples)[offset + i % head_samples];
        }
        for (Index i = threadIdx.x; i < inputs * classes; i += block_threads) w[i] = layer.weight[i];
        __syncthreads();
        head_forward<block_threads>(layer, h, w, z, tile, offset);
        __syncthreads();
        if (threadIdx.x < warp_lanes) {
            const SampleOfLane sample{static_cast<Index>(layer.labels[tile * tile_lanes + offset + lane]),
                                      offset + lane < layer.z.used(tile), layer.share.batch,
                                      layer.share.tile(tile) == 0 && offset + lane == 0};
            score_sample(rule, z + lane, dz + lane, classes, head_samples, sample, layer.class_weights, nullptr,
                         layer.sums);
        }
        __syncthreads();
        head_backward<block_threads>(layer, below, saved, w, dz, tile, offset);
    }
};

template <int threads, class Rule, class Below>
inline constexpr int many_blocks<HeadWork<threads, Rule, Below>> = 1024 / threads;

/// `below`, `saved`: as of input_gradient_kernel. Grid: x covers the groups of 32 lanes of all tiles. Dynamic shared
/// memory: head_shared_bytes.
template <int block_threads, class Rule, class Below>
__global__ void __launch_bounds__(block_threads)
    head_kernel(HeadArguments layer, Rule rule, Below below, ConstActivations saved) {
    HeadWork<block_threads, Rule, Below>{}(layer, rule, below, saved);
}

}  // namespace espalier::cuda
