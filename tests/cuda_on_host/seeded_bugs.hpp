// Six kernels that work, and 37 ways to break them: what the engine and the watch runtime are measured by.
// spmm: a block per row stages edges in shared memory, its warps share the edges and sum by a tree. sddmm: a warp per
// edge, fused with momentum. regrow: distinct cells through a hash table, compacted by ballots. panel: a block per row
// whose inputs arrive in shared memory by copies that overlap with the sums. coo: chunks of edges, parts joined later.
// ring: a warp fills stages in shared memory, others sum what they hold, and mbarriers say when.
#pragma once

#include <initializer_list>

#include "cuda_on_host.hpp"

namespace seeded {

enum class Bug {
    none,
    // spmm
    no_sync_after_staging,
    no_sync_before_restaging,
    no_sync_before_tree,
    no_sync_in_tree,
    no_sync_at_tile_end,  // harmless: that barrier is redundant
    divergent_barrier,
    return_before_barrier,
    shared_array_too_short,
    dynamic_shared_overrun,
    write_past_batch,
    unwritten_shared_read,
    misaligned_float4,
    blocks_update_one_word,
    // sddmm
    full_mask_in_half_a_warp,
    wrong_offset,
    all_lanes_update,
    no_tail_guard,
    reduction_without_syncwarp,
    ballot_in_divergent_code,
    // regrow
    plain_min,
    plain_key_insert,
    counter_without_atomic,
    // panel
    no_wait_for_copy,
    wait_for_too_few_copies,
    no_commit,
    no_sync_after_copy,
    no_sync_before_next_copy,
    panel_half_mixed_up,
    // coo
    both_ends_in_one_part,
    part_written_as_sum,
    first_part_left_out,
    // ring
    no_sync_after_init,
    full_counts_too_few,
    no_wait_for_full_stage,
    no_wait_for_empty_stage,
    arrive_before_fill,
    no_warp_sync_before_arrival,
};

inline constexpr int spmm_threads = 256;
inline constexpr int spmm_warps = spmm_threads / 32;
inline constexpr int chunk = 64;                                                    // edges staged at once
inline constexpr std::size_t spmm_shared_bytes = sizeof(float) * 128 * spmm_warps;  // a slot per warp

template <int N>
struct Staged {
    int column[N];
    float value[N];
};

struct Csr {
    const int* start;
    const int* column;
    const float* value;
};

inline void add4(float4& sum, float4 a, float factor) {
    sum.x = std::fma(factor, a.x, sum.x);
    sum.y = std::fma(factor, a.y, sum.y);
    sum.z = std::fma(factor, a.z, sum.z);
    sum.w = std::fma(factor, a.w, sum.w);
}

/// The warp's share of the staged edges.
inline void add_staged(Bug bug, float4& sum, const int* column, const float* value, int count, const float* x,
                       int batch, int lane_column) {
    if (lane_column >= batch) return;
    const int shift = bug == Bug::misaligned_float4 ? 1 : 0;
    for (int e = static_cast<int>(threadIdx.x) / 32; e < count; e += spmm_warps) {
        add4(sum, load4(x + column[e] * batch + lane_column + shift), value[e]);
    }
}

/// Sums the warps' slots of 128 floats into that of warp `tree_root`. In each step of the tree some warps need what a
/// higher one did, others what a lower one did, so that no order of threads hides a missing barrier.
inline constexpr int tree_root = 4;
inline void sum_by_tree(Bug bug, float* slots, float4 own) {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int overrun = bug == Bug::dynamic_shared_overrun ? 128 : 0;
    const auto slot = [&](int w) { return slots + w % spmm_warps * 128 + threadIdx.x % 32 * 4 + overrun; };
    if (bug != Bug::unwritten_shared_read || warp != 5) store4(slot(warp), own);
    if (bug == Bug::divergent_barrier && warp == 0) {
        __syncthreads();
    } else if (bug != Bug::no_sync_before_tree) {
        __syncthreads();
    }
    struct Step {
        int first, count, partner;
    };
    for (const Step step : {Step{2, 4, 4}, Step{4, 2, 6}, Step{4, 1, 1}}) {
        if (warp >= step.first && warp < step.first + step.count) {
            float4 sum = load4(slot(warp));
            add4(sum, load4(slot(warp + step.partner)), 1.0F);
            store4(slot(warp), sum);
        }
        if (bug != Bug::no_sync_in_tree) __syncthreads();
    }
}

/// y = W x; x [columns][batch], y [rows][batch], batch a multiple of 4.
__global__ inline void spmm(Bug bug, Csr w, const float* x, float* y, int batch, int* word) {
    auto& staged = block_shared<Staged<chunk>>();
    auto& too_short = block_shared<Staged<chunk - 8>>();
    int* column = bug == Bug::shared_array_too_short ? too_short.column : staged.column;
    float* value = bug == Bug::shared_array_too_short ? too_short.value : staged.value;
    auto* slots = dynamic_shared<float>();
    const int row = static_cast<int>(blockIdx.x);
    for (int tile = 0; tile < batch; tile += 128) {
        const int lane_column = tile + static_cast<int>(threadIdx.x) % 32 * 4;
        float4 sum = make_float4(0, 0, 0, 0);
        for (int begin = w.start[row]; begin < w.start[row + 1]; begin += chunk) {
            const int left = w.start[row + 1] - begin;
            const int count = left < chunk ? left : chunk;
            if (bug != Bug::no_sync_before_restaging) __syncthreads();
            for (int i = static_cast<int>(threadIdx.x); i < count; i += spmm_threads) {
                column[i] = w.column[begin + i];
                value[i] = w.value[begin + i];
            }
            if (bug != Bug::no_sync_after_staging) __syncthreads();
            add_staged(bug, sum, column, value, count, x, batch, lane_column);
        }
        if (bug == Bug::return_before_barrier && lane_column >= batch) return;
        sum_by_tree(bug, slots, sum);
        const bool inside = lane_column < batch || bug == Bug::write_past_batch;
        if (static_cast<int>(threadIdx.x) / 32 == tree_root && inside) {
            store4(y + row * batch + lane_column, load4(slots + threadIdx.x * 4));
        }
        if (bug != Bug::no_sync_at_tile_end) __syncthreads();
    }
    if (bug == Bug::blocks_update_one_word && threadIdx.x == 0) *word += 1;
}

inline constexpr int sddmm_warps = 4;

/// weight += momentum * velocity - gradient, the gradient being dy[row] . x[column]; dy, x [.][batch].
__global__ inline void sddmm(Bug bug, const int* row, const int* column, int count, const float* dy, const float* x,
                             int batch, float* weight, float* velocity) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int edge = static_cast<int>(blockIdx.x) * sddmm_warps + warp;
    if (edge >= count && bug != Bug::no_tail_guard) return;
    float sum = 0;
    for (int b = lane; b < batch; b += 32) sum = std::fma(dy[row[edge] * batch + b], x[column[edge] * batch + b], sum);
    if (bug == Bug::reduction_without_syncwarp) {
        auto& partial = block_shared<float[sddmm_warps][32]>();
        partial[warp][lane] = sum;
        for (int half = 16; half > 0; half /= 2) {
            if (lane < half) partial[warp][lane] += partial[warp][lane + half];
        }
        sum = partial[warp][0];
    } else if (bug == Bug::full_mask_in_half_a_warp && lane >= 16) {
        return;
    } else {
        const int first = bug == Bug::wrong_offset ? 8 : 16;
        for (int offset = first; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffU, sum, offset);
    }
    if (bug == Bug::ballot_in_divergent_code && lane % 2 == 1 && __ballot_sync(0xffffffffU, 1) == 0) return;
    if (lane == 0 || bug == Bug::all_lanes_update) {
        velocity[edge] = 0.5F * velocity[edge] - sum;
        weight[edge] += velocity[edge];
    }
}

inline constexpr unsigned empty_key = 0xffffffffU;

/// Draws `draws` cells below `cells`; `kept` receives each distinct one once, `num_kept` their count, `least` the
/// least. keys: `capacity` (a power of two above the number of cells) of empty_key.
__global__ inline void regrow(Bug bug, unsigned draws, unsigned cells, unsigned* keys, unsigned capacity,
                              unsigned* kept, unsigned* num_kept, unsigned* least) {
    const unsigned draw = blockIdx.x * blockDim.x + threadIdx.x;
    bool fresh = false;
    const unsigned cell = (draw * 2654435761U >> 7) % cells;
    if (draw < draws) {
        unsigned slot = cell * 2654435761U & (capacity - 1);
        for (;; slot = (slot + 1) & (capacity - 1)) {
            unsigned before = 0;
            if (bug == Bug::plain_key_insert) {
                before = keys[slot];
                if (before == empty_key) keys[slot] = cell;
            } else {
                before = atomicCAS(&keys[slot], empty_key, cell);
            }
            fresh = before == empty_key;
            if (fresh || before == cell) break;
        }
        if (bug == Bug::plain_min) {
            if (cell < *least) *least = cell;
        } else {
            atomicMin(least, cell);
        }
    }
    const unsigned ballot = __ballot_sync(0xffffffffU, fresh ? 1 : 0);
    unsigned base = 0;
    if (threadIdx.x % 32 == 0) {
        const auto found = static_cast<unsigned>(__popc(ballot));
        if (bug == Bug::counter_without_atomic) {
            base = *num_kept;
            *num_kept = base + found;
        } else {
            base = atomicAdd(num_kept, found);
        }
    }
    base = __shfl_sync(0xffffffffU, base, 0);
    const unsigned below = ballot & ((1U << threadIdx.x % 32) - 1);
    if (fresh) kept[base + static_cast<unsigned>(__popc(below))] = cell;
}

inline constexpr int panel_threads = 64;
inline constexpr int panel_neurons = 4;
inline constexpr int panel_batch = panel_threads * 4;  // a thread owns four samples, but copies its neighbour's
inline constexpr std::size_t panel_shared_bytes = sizeof(float) * 2 * panel_neurons * panel_batch;

/// y = W x for x [columns][panel_batch], y [rows][panel_batch], columns ascending within a row.
__global__ inline void panel(Bug bug, Csr w, int columns, const float* x, float* y) {
    auto* memory = dynamic_shared<float>();
    const int own = static_cast<int>(threadIdx.x) * 4;
    const int copied = (own + 4 * 33) % panel_batch;
    const int panels = (columns + panel_neurons - 1) / panel_neurons;
    const auto begin_copy = [&](int number) {
        float* half = memory + number % 2 * panel_neurons * panel_batch;
        for (int n = 0; n < panel_neurons && number * panel_neurons + n < columns; ++n) {
            __pipeline_memcpy_async(half + n * panel_batch + copied,
                                    x + (number * panel_neurons + n) * panel_batch + copied, 16);
        }
        if (bug != Bug::no_commit || number % 2 == 0) __pipeline_commit();
    };
    const int row = static_cast<int>(blockIdx.x);
    int edge = w.start[row];
    float4 sum = make_float4(0, 0, 0, 0);
    begin_copy(0);
    for (int number = 0; number < panels; ++number) {
        if (number + 1 < panels) {
            begin_copy(number + 1);
        } else {
            __pipeline_commit();
        }
        if (bug != Bug::no_wait_for_copy) __pipeline_wait_prior(bug == Bug::wait_for_too_few_copies ? 2 : 1);
        if (bug != Bug::no_sync_after_copy) __syncthreads();
        const int half = bug == Bug::panel_half_mixed_up ? (number + 1) % 2 : number % 2;
        for (; edge < w.start[row + 1] && w.column[edge] < (number + 1) * panel_neurons; ++edge) {
            const int neuron = w.column[edge] - number * panel_neurons;
            add4(sum, load4(memory + (half * panel_neurons + neuron) * panel_batch + own), w.value[edge]);
        }
        if (bug != Bug::no_sync_before_next_copy) __syncthreads();
    }
    __pipeline_wait_prior(0);
    store4(y + row * panel_batch + own, sum);
}

inline constexpr int coo_chunk = 8;

/// Sums of `value` by row: a thread owns a chunk of edges, and writes of the rows it shares part 0 (begun before) or 1
/// (goes on) to parts [chunk][2].
__global__ inline void coo(Bug bug, const int* row, const float* value, int count, float* parts, float* sums) {
    const auto own = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    const int first = own * coo_chunk;
    if (first >= count) return;
    const int end = first + coo_chunk < count ? first + coo_chunk : count;
    bool begun_before = first > 0 && row[first - 1] == row[first];
    float sum = 0;
    for (int e = first; e < end; ++e) {
        sum += value[e];
        if (e + 1 < end && row[e + 1] == row[e]) continue;
        const bool goes_on = e + 1 == end && end < count && row[end] == row[e];
        if ((begun_before || goes_on) && bug != Bug::part_written_as_sum) {
            parts[own * 2 + (begun_before || bug == Bug::both_ends_in_one_part ? 0 : 1)] = sum;
        } else {
            sums[row[e]] = sum;
        }
        begun_before = false;
        sum = 0;
    }
}
/// Rows without an edge, and those of several chunks.
__global__ inline void coo_join(Bug bug, const int* start, int rows, const float* parts, float* sums) {
    const auto row = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (row >= rows) return;
    const int first = start[row] / coo_chunk;
    const int last = (start[row + 1] - 1) / coo_chunk;
    const bool empty = start[row] == start[row + 1];
    if (!empty && first == last) return;
    float sum = 0;
    for (int each = first; each <= last && !empty; ++each) {
        if (each == first && bug == Bug::first_part_left_out) continue;
        sum += parts[each * 2 + (each == first ? 1 : 0)];
    }
    sums[row] = sum;
}

inline constexpr int ring_threads = 96;
inline constexpr int ring_stages = 3;
inline constexpr int ring_chunk = 64;

struct Ring {
    float value[ring_stages][ring_chunk];
    __mbarrier_t full[ring_stages];   // warp 0 has filled the stage, the others are done with what it held before
    __mbarrier_t empty[ring_stages];  // the others are done with what warp 0, which arrives too, filled it with
};

/// y [ring_chunk] = the sum of x [chunks][ring_chunk] over chunks; lane 0 of each warp arrives and waits for its warp.
__global__ inline void ring(Bug bug, int chunks, const float* x, float* y) {
    auto& stages = block_shared<Ring>();
    const int own = static_cast<int>(threadIdx.x);
    const bool leads = own % 32 == 0;
    if (own < ring_stages) {
        __mbarrier_init(&stages.full[own], bug == Bug::full_counts_too_few ? 2 : 3);
        __mbarrier_init(&stages.empty[own], 3);
    }
    if (bug != Bug::no_sync_after_init) __syncthreads();
    __mbarrier_token_t token[ring_stages] = {};
    for (int s = 0; s < ring_stages && leads && own > 0; ++s) token[s] = __mbarrier_arrive(&stages.full[s]);
    float sum = 0;
    for (int number = 0; number < chunks; ++number) {
        const int s = number % ring_stages;
        if (own < 32) {
            const bool used = number >= ring_stages && bug != Bug::no_wait_for_empty_stage;
            if (leads && used) wait_at(&stages.empty[s], token[s]);
            __syncwarp();
            if (leads && bug == Bug::arrive_before_fill) __mbarrier_arrive(&stages.full[s]);
            store2(stages.value[s] + own * 2, load2(x + number * ring_chunk + own * 2));
            if (bug != Bug::no_warp_sync_before_arrival) __syncwarp();
            if (leads && bug != Bug::arrive_before_fill) __mbarrier_arrive(&stages.full[s]);
            if (leads) token[s] = __mbarrier_arrive(&stages.empty[s]);
        } else {
            if (leads && bug != Bug::no_wait_for_full_stage) wait_at(&stages.full[s], token[s]);
            __syncwarp();
            sum += stages.value[s][own - 32];
            __syncwarp();
            if (leads) __mbarrier_arrive(&stages.empty[s]);
            if (leads && number + ring_stages < chunks) token[s] = __mbarrier_arrive(&stages.full[s]);
        }
    }
    if (own >= 32) y[own - 32] = sum;
}

}  // namespace seeded
