// Which edges go: of each group of keys (PruneOrder) the share zeta, least keys first, equal keys in slot order. Three
// launches count the digits of the keys, each among those that the launch before left; every block works out for itself
// what that one found. The fourth counts by chunk (cuda/chunks.hpp) what goes for certain and what has just the key at
// the cut, the fifth lists the slots. Integers only, so the order of atomics changes nothing.
#pragma once

#include "cuda/kernels/block_sums.cuh"
#include "espalier/evolution_rules.hpp"

namespace espalier::cuda {

/// int(zeta * count), the product rounded to a double as prune_quota() has it, without arithmetic in double.
struct QuotaOf {
    std::uint64_t mantissa = 0;  // zeta = mantissa * 2^-shift, 53 bits or 0
    unsigned shift = 52;

    [[nodiscard]] ESPALIER_HOST_DEVICE EdgeIndex operator()(EdgeIndex count) const {
        // the product is high * 2^32 + low
        const std::uint64_t least = (mantissa & 0xffffffffU) * count;
        const std::uint64_t high = (mantissa >> 32) * count + (least >> 32);
        const std::uint64_t low = least & 0xffffffffU;
        unsigned dropped = 0;  // bits beyond a double's 53
        while ((high >> (21 + dropped)) != 0) ++dropped;
        std::uint64_t rounded = (high << (32 - dropped)) | (low >> dropped);
        const std::uint64_t rest = low & ((std::uint64_t{1} << dropped) - 1);
        const std::uint64_t half = (std::uint64_t{1} << dropped) / 2;
        if (dropped > 0 && (rest > half || (rest == half && (rounded & 1) != 0))) ++rounded;
        const unsigned left = shift - dropped;
        return left > 63 ? 0 : static_cast<EdgeIndex>(rounded >> left);
    }
};

inline constexpr int num_digits = 3;
inline constexpr unsigned digit_bins = 2048;
/// Of the digit that a pass counts, the first pass the highest; keys less their group's first.
__device__ constexpr unsigned digit_shift(int pass) { return pass == 0 ? 21 : pass == 1 ? 10 : 0; }
__device__ constexpr unsigned digit_mask(int pass) { return pass == 2 ? 1023 : 2047; }

/// What a group's digits so far say of the last key that goes.
struct GroupCut {
    EdgeIndex quota;       // edges that go
    EdgeIndex left;        // of them those that share the digits
    std::uint32_t digits;  // of that key
};

/// Device memory of a search, 0 before it.
struct PruneSearch {
    std::uint32_t bins[num_digits][PruneOrder::max_groups][digit_bins];
    GroupCut cut[num_digits][PruneOrder::max_groups];  // after each pass
    std::uint32_t sign[3];                             // positive, negative and zero weights that went
};

struct PruneTask {
    const float* scores;  // [count]
    EdgeIndex count;
    PruneOrder order;
    QuotaOf quota;
    unsigned chunk_shift;

    __device__ EdgeIndex chunk_begin() const { return blockIdx.x << chunk_shift; }
    __device__ EdgeIndex chunk_end() const {
        const std::uint64_t end = std::uint64_t{blockIdx.x + 1} << chunk_shift;
        return end < count ? static_cast<EdgeIndex>(end) : count;
    }
};

template <int block_threads>
struct CutShared {
    GroupCut cut[PruneOrder::max_groups];
    BlockSums<block_threads, std::uint64_t> sums;
};

/// The cut after a pass, from its bins and the cut before: shared.cut. Every block comes to the same.
template <int block_threads, int pass>
__device__ void find_cut(const PruneTask& task, PruneSearch* search, CutShared<block_threads>& shared) {
    static_assert(PruneOrder::max_groups == 2, "the sums of both are one of 64 bits");
    constexpr unsigned own_bins = digit_bins / block_threads;
    const unsigned first_bin = threadIdx.x * own_bins;
    unsigned own[2] = {};
    ESPALIER_UNROLL
    for (unsigned i = 0; i < own_bins; ++i) {
        own[0] += search->bins[pass][0][first_bin + i];
        own[1] += search->bins[pass][1][first_bin + i];
    }
    std::uint64_t all = 0;
    const std::uint64_t all_before = sum_before(std::uint64_t{own[1]} << 32 | own[0], all, shared.sums);
    ESPALIER_UNROLL
    for (int group = 0; group < PruneOrder::max_groups; ++group) {
        auto before = static_cast<unsigned>(all_before >> 32 * group);
        GroupCut cut{};
        if constexpr (pass == 0) {
            cut.quota = task.quota(static_cast<EdgeIndex>(all >> 32 * group));
            cut.left = cut.quota;
        } else {
            cut = search->cut[pass - 1][group];
        }
        if (threadIdx.x == 0 && cut.left == 0) shared.cut[group] = cut;
        if (before < cut.left && cut.left <= before + own[group]) {  // one thread's
            unsigned digit = first_bin;
            for (; before + search->bins[pass][group][digit] < cut.left; ++digit) {
                before += search->bins[pass][group][digit];
            }
            shared.cut[group] = {cut.quota, cut.left - before,
                                 pass == 0 ? digit : cut.digits * (digit_mask(pass) + 1) + digit};
        }
    }
    __syncthreads();
    if (blockIdx.x == 0 && threadIdx.x < PruneOrder::max_groups) {
        search->cut[pass][threadIdx.x] = shared.cut[threadIdx.x];
    }
}

/// search->bins[pass] += the chunk's digits. Grid: x covers the chunks.
template <int block_threads, int pass>
__global__ void __launch_bounds__(block_threads) prune_digits_kernel(PruneTask task, PruneSearch* search) {
    struct Shared : CutShared<block_threads> {
        std::uint32_t bins[PruneOrder::max_groups * digit_bins];
    };
    auto& shared = block_shared<Shared>();
    for (unsigned i = threadIdx.x; i < PruneOrder::max_groups * digit_bins; i += block_threads) shared.bins[i] = 0;
    if constexpr (pass > 0) {
        find_cut<block_threads, pass - 1>(task, search, shared);
    } else {
        __syncthreads();
    }
    for (EdgeIndex slot = task.chunk_begin() + threadIdx.x; slot < task.chunk_end(); slot += block_threads) {
        const std::uint32_t key = task.order(task.scores[slot]);
        ESPALIER_UNROLL
        for (int group = 0; group < PruneOrder::max_groups; ++group) {
            const std::uint32_t place = key - task.order.first[group];
            bool counts = group < task.order.num_groups && place <= task.order.last[group] - task.order.first[group];
            if constexpr (pass > 0) {
                const GroupCut& cut = shared.cut[group];
                counts = counts && cut.left > 0 && place >> digit_shift(pass - 1) == cut.digits;
            }
            if (counts) {
                const unsigned digit = place >> digit_shift(pass) & digit_mask(pass);
                atomicAdd(&shared.bins[static_cast<unsigned>(group) * digit_bins + digit], 1U);
            }
        }
    }
    __syncthreads();
    std::uint32_t* const bins = search->bins[pass][0];
    for (unsigned i = threadIdx.x; i < PruneOrder::max_groups * digit_bins; i += block_threads) {
        if (shared.bins[i] > 0) atomicAdd(&bins[i], shared.bins[i]);
    }
}

/// What a slot is by a cut: goes for certain, or has the last key of group 0 or 1; a count of each in 10 bits.
struct SlotFate {
    static constexpr unsigned certain = 1, tie_bits = 10, mask = 1023;
    static constexpr unsigned tie0 = certain << tie_bits, tie1 = tie0 << tie_bits;
};
template <class Order>
__device__ unsigned fate_of(const Order& order, float score, const GroupCut& one, const GroupCut& other) {
    const std::uint32_t place0 = order(score) - order.first[0];
    const std::uint32_t place1 = order(score) - order.first[1];
    const bool least = (one.quota > 0 && place0 < one.digits) || (other.quota > 0 && place1 < other.digits);
    if (least) return SlotFate::certain;
    if (one.quota > 0 && place0 == one.digits) return SlotFate::tie0;
    return other.quota > 0 && place1 == other.digits ? SlotFate::tie1 : 0;
}

/// counts [3][max_chunks]: of each chunk those that go for certain, and those of either group with just the key at its
/// cut. Grid: x covers the chunks.
template <int block_threads>
__global__ void __launch_bounds__(block_threads)
    prune_count_kernel(PruneTask task, PruneSearch* search, std::uint32_t* counts) {
    struct Shared : CutShared<block_threads> {
        unsigned count[3];
    };
    auto& shared = block_shared<Shared>();
    if (threadIdx.x < 3) shared.count[threadIdx.x] = 0;
    find_cut<block_threads, num_digits - 1>(task, search, shared);
    unsigned certain = 0, tie0 = 0, tie1 = 0;
    for (EdgeIndex slot = task.chunk_begin() + threadIdx.x; slot < task.chunk_end(); slot += block_threads) {
        const unsigned fate = fate_of(task.order, task.scores[slot], shared.cut[0], shared.cut[1]);
        certain += fate == SlotFate::certain ? 1 : 0;
        tie0 += fate == SlotFate::tie0 ? 1 : 0;
        tie1 += fate == SlotFate::tie1 ? 1 : 0;
    }
    if (certain > 0) atomicAdd(&shared.count[0], certain);
    if (tie0 > 0) atomicAdd(&shared.count[1], tie0);
    if (tie1 > 0) atomicAdd(&shared.count[2], tie1);
    __syncthreads();
    if (threadIdx.x < 3) counts[threadIdx.x * max_chunks + blockIdx.x] = shared.count[threadIdx.x];
}

/// Lists the slots that go in `pruned`, ascending, sets their weights to 0 and counts by sign what these were; a NaN
/// counts by its sign bit. Grid: x covers the chunks.
template <int block_threads>
__global__ void __launch_bounds__(block_threads)
    prune_list_kernel(PruneTask task, PruneSearch* search, const std::uint32_t* counts, float* weights,
                      EdgeIndex* pruned) {
    struct Shared {
        BlockSums<block_threads> sums;
        unsigned sign[3];  // positive, negative, zero
    };
    auto& shared = block_shared<Shared>();
    if (threadIdx.x < 3) shared.sign[threadIdx.x] = 0;  // seen after the barriers of the sums
    const GroupCut one = search->cut[num_digits - 1][0];
    const GroupCut other = search->cut[num_digits - 1][1];
    EdgeIndex certain = sum_of_list(counts, blockIdx.x, shared.sums);
    EdgeIndex tie0 = sum_of_list(counts + max_chunks, blockIdx.x, shared.sums);
    EdgeIndex tie1 = sum_of_list(counts + 2 * max_chunks, blockIdx.x, shared.sums);
    const EdgeIndex end = task.chunk_end();
    for (std::uint64_t begin = task.chunk_begin(); begin < end; begin += block_threads) {
        const std::uint64_t slot = begin + threadIdx.x;
        const unsigned fate = slot < end ? fate_of(task.order, task.scores[slot], one, other) : 0;
        unsigned all = 0;
        const unsigned before = sum_before(fate, all, shared.sums);
        const EdgeIndex ties_before0 = tie0 + (before >> SlotFate::tie_bits & SlotFate::mask);
        const EdgeIndex ties_before1 = tie1 + (before >> 2 * SlotFate::tie_bits);
        const bool goes = fate == SlotFate::certain || (fate == SlotFate::tie0 && ties_before0 < one.left) ||
                          (fate == SlotFate::tie1 && ties_before1 < other.left);
        if (goes) {
            const EdgeIndex taken0 = ties_before0 < one.left ? ties_before0 : one.left;
            const EdgeIndex taken1 = ties_before1 < other.left ? ties_before1 : other.left;
            pruned[certain + (before & SlotFate::mask) + taken0 + taken1] = static_cast<EdgeIndex>(slot);
            const float weight = weights[slot];
            weights[slot] = 0;
            atomicAdd(&shared.sign[weight == 0 ? 2 : __float_as_uint(weight) >> 31], 1U);
        }
        certain += all & SlotFate::mask;
        tie0 += all >> SlotFate::tie_bits & SlotFate::mask;
        tie1 += all >> 2 * SlotFate::tie_bits;
    }
    __syncthreads();
    if (threadIdx.x < 3 && shared.sign[threadIdx.x] > 0) {
        atomicAdd(&search->sign[threadIdx.x], shared.sign[threadIdx.x]);
    }
}

}  // namespace espalier::cuda
