// Head: a training step's last layer, dense and small, with its loss and the gradient by the layer below, in one launch:
//     z = b + W h;   the score of each sample;   dz = gradient of the loss;   dh = W^T dz, times act'(saved)
// where gathering would have one warp a class on the whole device, and three launches more. h [tile][inputs][128],
// z, dz [tile][classes][128]. A block owns 8 samples, so that a batch has many blocks and 8 lanes, a group, can do for a class
// what they do for their samples; h, W, z and dz lie in shared memory, what is summed over beside each other, so that four are
// read at once. Each sum has the order, and the bits, of the kernels that do the same one after the other. Nothing is
// atomic but the loss's fixed-point sums.
#pragma once

#include "cuda/kernels/backward.cuh"
#include "cuda/kernels/loss.cuh"

namespace espalier::cuda {

inline constexpr int head_threads = 256;
inline constexpr Index head_samples = 8;  // of a block: a lane's of each group
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

/// Floats of a row in shared memory: one more than `count` at least, and an odd number of fours, so that eight rows' fours
/// lie in different banks.
constexpr Index head_row(Index count) { return (count + 4) / 4 * 4 | 4; }

/// Of a block's dynamic shared memory: h and W; z, and what exp makes of it.
constexpr std::size_t head_shared_bytes(Index inputs, Index classes) {
    return (std::size_t{head_row(inputs)} * (head_samples + classes) + 2 * head_samples * head_row(classes)) * sizeof(float);
}

/// A block's share of the launch, and its shared memory.
struct HeadBlock {
    Index tile, offset;          // its first sample
    float *h, *w;                // [8][head_row(inputs)], [classes][head_row(inputs)] with the bias behind the weights
    float *z, *powers;           // [8][head_row(classes)]
    Index input_row, class_row;  // floats of one

    __device__ explicit HeadBlock(const HeadArguments& layer)
        : tile(blockIdx.x / (tile_lanes / head_samples)),
          offset(blockIdx.x % (tile_lanes / head_samples) * head_samples),
          h(dynamic_shared<float>()),
          w(h + head_samples * head_row(layer.h.rows)),
          z(w + layer.z.rows * head_row(layer.h.rows)),
          powers(z + head_samples * head_row(layer.z.rows)),
          input_row(head_row(layer.h.rows)),
          class_row(head_row(layer.z.rows)) {}
    /// The lane's sample in the block, and in the tile.
    __device__ Index own() const { return threadIdx.x % head_samples; }
    __device__ Index lane() const { return offset + own(); }
    /// Number of the lane's group in the block.
    __device__ Index group() const { return threadIdx.x / head_samples; }
};

/// h and W into shared memory. A thread's loads of both are on their way together.
template <int block_threads>
__device__ void head_load(const HeadArguments& layer, const HeadBlock& block) {
    constexpr Index in_flight = 5;
    const Index inputs = layer.h.rows, classes = layer.z.rows;
    const Index num_samples = inputs * head_samples, num_weights = inputs * classes;
    const Index most = num_samples > num_weights ? num_samples : num_weights;
    const float bias = threadIdx.x < classes ? layer.bias[threadIdx.x] : 0.0F;
    const Index more_classes = block_threads / inputs, more_inputs = block_threads % inputs;
    Index c = threadIdx.x / inputs, i = threadIdx.x % inputs;  // of the weight
    for (Index first = threadIdx.x; first < most; first += in_flight * block_threads) {
        float sample[in_flight], weight[in_flight];
        ESPALIER_UNROLL
        for (Index u = 0; u < in_flight; ++u) {
            const Index at = first + u * block_threads;
            if (at < num_samples) sample[u] = layer.h.row(block.tile, at / head_samples)[block.lane()];
            if (at < num_weights) weight[u] = layer.weight[at];
        }
        ESPALIER_UNROLL
        for (Index u = 0; u < in_flight; ++u) {
            const Index at = first + u * block_threads;
            if (at < num_samples) block.h[block.own() * block.input_row + at / head_samples] = sample[u];
            if (at < num_weights) block.w[c * block.input_row + i] = weight[u];
            c += more_classes;
            i += more_inputs;
            if (i >= inputs) i -= inputs, ++c;
        }
    }
    static_assert(block_threads >= most_head_classes);
    if (threadIdx.x < classes) block.w[threadIdx.x * block.input_row + inputs] = bias;
}

/// sum + w[i] * h[i] for i below `count`, in their order; the next four are on their way while these are added. All lanes of a
/// warp call it.
__device__ inline float head_product(float sum, const float* w, const float* h, Index count) {
    const auto add = [&](float4 weight, float4 sample) {
        sum = fmaf(weight.x, sample.x, sum);
        sum = fmaf(weight.y, sample.y, sum);
        sum = fmaf(weight.z, sample.z, sum);
        sum = fmaf(weight.w, sample.w, sum);
    };
    const Index whole = count / 4 * 4;
    if (whole > 0) {
        float4 weight = load4(w), sample = load4(h);
        ESPALIER_NO_UNROLL
        for (Index i = 4; i < whole; i += 4) {
            const float4 next_weight = load4(w + i), next_sample = load4(h + i);
            __syncwarp();  // a compiler would sink the loads to their uses
            add(weight, sample);
            weight = next_weight;
            sample = next_sample;
        }
        add(weight, sample);
    }
    for (Index i = whole; i < count; ++i) sum = fmaf(w[i], h[i], sum);
    return sum;
}

/// z of the block's samples, in shared memory and in memory. A group owns a class; behind the last class is the first again.
template <int block_threads>
__device__ void head_forward(const HeadArguments& layer, const HeadBlock& block) {
    const Index inputs = layer.h.rows;
    for (Index c = block.group(); c < block.class_row; c += block_threads / head_samples) {
        const float* const own = block.w + (c < layer.z.rows ? c : 0) * block.input_row;
        const float sum = head_product(own[inputs], own, block.h + block.own() * block.input_row, inputs);
        block.z[block.own() * block.class_row + c] = sum;
        if (c < layer.z.rows) layer.z.row(block.tile, c)[block.lane()] = sum;
    }
}

/// dz of the block's samples in the place of z and in memory, as SoftmaxNll::score makes it, a group a class; what the sample
/// adds to the metrics, in every group.
template <int block_threads>
__device__ ScoredSample head_score(const HeadArguments& layer, const SampleOfLane& sample, const HeadBlock& block) {
    constexpr Index groups = block_threads / head_samples;
    const Index classes = layer.z.rows;
    float* const z = block.z + block.own() * block.class_row;
    float* const powers = block.powers + block.own() * block.class_row;
    Index best = 0;
    float highest = z[0];
    const auto compare = [&](float value, Index c) {
        best = value > highest ? c : best;
        highest = value > highest ? value : highest;
    };
    for (Index c = 0; c < classes; c += 4) {  // the first class, behind the last, is no higher
        const float4 four = load4(z + c);
        compare(four.x, c);
        compare(four.y, c + 1);
        compare(four.z, c + 2);
        compare(four.w, c + 3);
    }
    const bool labelled = sample.used && sample.label < classes;
    const float missed = labelled ? highest - z[sample.label] : 0.0F;
    for (Index c = block.group(); c < block.class_row; c += groups) {
        powers[c] = c < classes ? portable_exp(z[c] - highest) : 0.0F;
    }
    __syncthreads();  // z has been read
    float sum = 0;
    for (Index c = 0; c < classes; c += 4) {
        const float4 four = load4(powers + c);
        sum += four.x;
        sum += four.y;
        sum += four.z;
        sum += four.w;
    }
    const float weight = labelled && layer.class_weights != nullptr ? layer.class_weights[sample.label] : 1.0F;
    const float scale = 1.0F / static_cast<float>(sample.batch) * weight;
    for (Index c = block.group(); c < classes; c += groups) {
        const float p = powers[c] / sum;
        const float by_z = labelled ? (p - (c == sample.label ? 1.0F : 0.0F)) * scale : 0.0F;
        z[c] = by_z;
        layer.dz.row(block.tile, c)[block.lane()] = by_z;
    }
    ScoredSample scored{{}, labelled};
    if (labelled) scored.score = {(portable_log(sum) + missed) * weight, 1.0F / sum, best == sample.label};
    return scored;
}

/// Adds to the metrics what the block's samples add. A group owns a counter, the last groups first: they have least to do.
template <int block_threads>
__device__ void head_count(const HeadArguments& layer, const SampleOfLane& sample, const ScoredSample& scored,
                           const HeadBlock& block) {
    constexpr Index groups = block_threads / head_samples;
    for (Index first = 0; first < MetricSums::counters; first += groups) {
        const Index counter = first + groups - 1 - block.group();
        Counter sum = scored.counted(counter, sample);
        for (Index other = head_samples / 2; other > 0; other /= 2) sum += __shfl_xor_sync(full_warp, sum, other);
        if (block.own() == 0 && sum != 0) atomicAdd(&layer.sums->counter(counter), sum);
    }
}

/// dh. A group owns four inputs at a time, whose sums do not wait for each other.
template <int block_threads, class Below>
__device__ void head_backward(const HeadArguments& layer, const Below& below, ConstActivations saved,
                              const HeadBlock& block) {
    constexpr bool is_scaled = !std::is_same_v<Below, Identity>;
    constexpr Index own_inputs = 4;
    const Index inputs = layer.h.rows;
    const float* const dz = block.z + block.own() * block.class_row;
    for (Index i = block.group() * own_inputs; i < inputs; i += block_threads / head_samples * own_inputs) {
        float made[own_inputs] = {};
        ESPALIER_UNROLL
        for (Index u = 0; u < own_inputs; ++u) {
            if (is_scaled && i + u < inputs) made[u] = saved.row(block.tile, i + u)[block.lane()];
        }
        float4 sum = make_float4(0, 0, 0, 0);
        for (Index c = 0; c < layer.z.rows; ++c) add_scaled(sum, dz[c], load4(block.w + c * block.input_row + i));
        const float sums[own_inputs] = {sum.x, sum.y, sum.z, sum.w};
        ESPALIER_UNROLL
        for (Index u = 0; u < own_inputs; ++u) {
            if (i + u >= inputs) continue;
            layer.dh.row(block.tile, i + u)[block.lane()] = is_scaled ? sums[u] * below.derivative(made[u]) : sums[u];
        }
    }
}

/// What head_kernel does.
template <int threads, class Rule, class Below>
struct HeadWork {
    static constexpr int block_threads = threads;
    using Arguments = Pack<HeadArguments, Rule, Below, ConstActivations>;

    static_assert(std::is_same_v<Rule, SoftmaxNll>);
    __device__ void operator()(HeadArguments layer, Rule /*rule*/, Below below, ConstActivations saved) const {
        const HeadBlock block(layer);
        const SampleOfLane sample{static_cast<Index>(layer.labels[block.tile * tile_lanes + block.lane()]),
                                  block.lane() < layer.z.used(block.tile), layer.share.batch,
                                  layer.share.tile(block.tile) == 0 && block.lane() == 0};
        head_load<block_threads>(layer, block);
        __syncthreads();
        head_forward<block_threads>(layer, block);
        __syncthreads();
        const ScoredSample scored = head_score<block_threads>(layer, sample, block);
        head_count<block_threads>(layer, sample, scored, block);
        __syncthreads();
        head_backward<block_threads>(layer, below, saved, block);
    }
};

template <int threads, class Rule, class Below>
inline constexpr int many_blocks<HeadWork<threads, Rule, Below>> = 512 / threads;

/// `below`, `saved`: as of input_gradient_kernel. Grid: x covers the groups of 8 lanes of all tiles. Dynamic shared
/// memory: head_shared_bytes.
template <int block_threads, class Rule, class Below>
__global__ void __launch_bounds__(block_threads)
    head_kernel(HeadArguments layer, Rule rule, Below below, ConstActivations saved) {
    HeadWork<block_threads, Rule, Below>{}(layer, rule, below, saved);
}

}  // namespace espalier::cuda
