// The backward pass of sparse layers dealt out by batch tiles, for several threads: whoever computed a tile's
// activations turns to its gradients, so that activations, by far the most of the data, hardly travel between cores.
// The gradients of each tile go to an array of their own; their sum and the update, dealt out by edges, wait until the
// layers below have had their turn, which leaves two barriers to a step. The sums are those of backward_blocks.hpp.
#pragma once

#include <vector>

#include "host/cpu/layer.hpp"
#include "host/cpu/operations.hpp"
#include "host/cpu/team.hpp"

namespace espalier {

class TileBackward {
public:
    /// Phases go to `queue`, which its owner runs.
    explicit TileBackward(std::vector<Phase>& queue) : queue_(queue) {}

    /// Whether a layer can be done this way: whole tiles for every thread, and gradients that fit the arena.
    [[nodiscard]] static bool suits(const SparseCpuLayer& layer, ConstActivations x, int threads);

    /// Enqueues the gradients of a layer and sets its update aside.
    void enqueue(SparseCpuLayer& layer, ConstActivations x, const Saved& saved, Activations dy, Activations dx,
                 const StepScalars* step);
    /// Enqueues the updates set aside. Must precede whatever reads the layers' parameters.
    void enqueue_updates();
    /// Forgets them.
    void clear();

private:
    void enqueue_columns(SparseCpuLayer& layer, ConstActivations x, const Saved& saved, Activations dy,
                         Activations dx, const StepScalars* step);
    void enqueue_rows(SparseCpuLayer& layer, ConstActivations x, const Saved& saved, Activations dy,
                      const StepScalars* step);
    void set_aside_neurons(SparseCpuLayer& layer, Range rows, Index tiles, float* sums, const StepScalars* step);
    void set_aside_edges(SparseCpuLayer& layer, Range edges, Index tiles, float* gradients, const StepScalars* step);
    /// Memory until the next updates.
    float* take(std::size_t floats);

    std::vector<Phase>& queue_;
    std::vector<Phase> updates_;
    std::vector<const CpuLayer*> waiting_;  // layers whose updates are set aside
    AlignedVector<float> arena_;
    std::size_t taken_ = 0;
};

}  // namespace espalier
