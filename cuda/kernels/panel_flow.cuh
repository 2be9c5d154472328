// Panels of neurons' samples on their way through a block's shared memory, several at once, each in a stage of it: the
// block's last warp copies them there, the others read them. A warp that has read a panel goes on with the next one as soon
// as that is there, whatever the others do; a panel is copied over one that all have read.
#pragma once

#include "cuda/kernels/warp.cuh"
#include "cuda/products/panel_layout.hpp"

namespace espalier::cuda {

/// In shared memory. Each barrier ends a phase for a panel when all summing warps and the copying one have arrived, for which
/// their first lanes do.
template <int stages>
struct PanelBarriers {
    __mbarrier_t arrived[stages];  // its samples are there
    __mbarrier_t read[stages];     // nobody needs them any longer

    /// By all threads of the block.
    template <class Block>
    __device__ void begin() {
        if (threadIdx.x == 0) {
            ESPALIER_UNROLL
            for (int s = 0; s < stages; ++s) {
                __mbarrier_init(&arrived[s], Block::size.warps() + 1);
                __mbarrier_init(&read[s], Block::size.warps() + 1);
            }
        }
        __syncthreads();
    }
};

/// What a warp waits by: of each stage the phase in which it has arrived. In shared memory, for registers are few.
template <int stages>
struct PanelPhases {
    __mbarrier_token_t of_stage[stages];

    __device__ void arrive(__mbarrier_t& barrier, Index stage) {
        if (lane_of_warp() == 0) of_stage[stage] = __mbarrier_arrive(&barrier);
    }
    __device__ void wait(__mbarrier_t& barrier, Index stage) const {
        if (lane_of_warp() == 0) wait_at(&barrier, of_stage[stage]);
        __syncwarp();
    }
};

/// All of it; begins the block's shared memory.
template <class Block, int stages>
struct PanelFlow {
    PanelBarriers<stages> barriers;
    PanelPhases<stages> phases[Block::size.warps() + 1];

    static_assert(stages <= most_stages);
    [[nodiscard]] __device__ PanelPhases<stages>& own_phases() { return phases[threadIdx.x / warp_lanes]; }
};

/// Begins to copy a panel of `neurons` neurons; `from`: the block's samples of the first. By one warp.
template <class Block>
__device__ void begin_panel(float* panel, const float* from, Index neurons) {
    constexpr Index lanes = Block::size.columns / 4;  // of a neuron
    constexpr Index at_once = warp_lanes / lanes;
    const Index first = lane_of_warp() / lanes;
    const Index piece = lane_of_warp() % lanes * 4;
    panel += first * Block::size.columns + piece;
    from += first * tile_lanes + piece;
    for (Index n = first; n < neurons; n += at_once) {
        __pipeline_memcpy_async(panel, from, 16);
        panel += at_once * Block::size.columns;
        from += at_once * tile_lanes;
    }
}

/// The copying warp's work. `from`: the block's samples of neuron 0; it has `num_neurons`.
template <class Block, int stages>
__device__ void copy_panels(PanelFlow<Block, stages>& flow, float* panels, const PanelLayout& layout, const float* from,
                            Index num_neurons) {
    PanelBarriers<stages>& barriers = flow.barriers;
    PanelPhases<stages>& phases = flow.own_phases();
    const auto announce = [&](Index panel) {
        __syncwarp();  // what the other lanes copied is there as well
        if (lane_of_warp() == 0) static_cast<void>(__mbarrier_arrive(&barriers.arrived[panel % stages]));
    };
    ESPALIER_NO_UNROLL
    for (Index panel = 0; panel < layout.num_panels; ++panel) {
        const Index stage = panel % stages;
        if (panel >= static_cast<Index>(stages)) phases.wait(barriers.read[stage], stage);
        const Index first = panel * layout.panel_neurons;
        const Index left = num_neurons - first;
        begin_panel<Block>(panels + layout.place(panel, stages, Block::size.columns),
                           from + static_cast<std::size_t>(first) * tile_lanes,
                           left < layout.panel_neurons ? left : layout.panel_neurons);
        __pipeline_commit();
        phases.arrive(barriers.read[stage], stage);
        if (panel > 0) {
            __pipeline_wait_prior(1);
            announce(panel - 1);
        }
    }
    __pipeline_wait_prior(0);
    announce(layout.num_panels - 1);
}

/// A summing warp's: use(panel) for one panel after the other.
template <class Block, int stages, class Use>
__device__ void read_panels(PanelFlow<Block, stages>& flow, Index num_panels, const Use& use) {
    PanelBarriers<stages>& barriers = flow.barriers;
    PanelPhases<stages>& phases = flow.own_phases();
    ESPALIER_UNROLL
    for (int s = 0; s < stages; ++s) phases.arrive(barriers.arrived[s], static_cast<Index>(s));
    ESPALIER_NO_UNROLL
    for (Index panel = 0; panel < num_panels; ++panel) {
        const Index stage = panel % stages;
        phases.wait(barriers.arrived[stage], stage);
        use(panel);
        __syncwarp();  // the other lanes have read it as well
        if (lane_of_warp() == 0) static_cast<void>(__mbarrier_arrive(&barriers.read[stage]));
        phases.arrive(barriers.arrived[stage], stage);
    }
}

}  // namespace espalier::cuda
