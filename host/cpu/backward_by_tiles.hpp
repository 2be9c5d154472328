// The backward pass dealt out by batch tiles, for several threads or processes: whoever computed a tile's activations
// turns to its gradients, so that activations, by far the most of the data, hardly travel. The gradients of each tile
// go to an array of their own, the arena: [tile of this process][floats]; their sum, with that of the other processes,
// and the update, dealt out by edges, wait until the layers below have had their turn or the arena is full. That leaves
// two barriers, and one exchange, to a step of a small network; of a large one an exchange travels beside the next
// arena. The sums are by halves (halves.hpp), whoever computes what.
#pragma once

#include <vector>

#include "host/cpu/exchange.hpp"
#include "host/cpu/layer.hpp"
#include "host/cpu/operations.hpp"
#include "host/cpu/team.hpp"

namespace espalier {

class TileBackward {
public:
    /// Phases go to `queue`, which its owner runs.
    TileBackward(std::vector<Phase>& queue, Exchange& exchange) : queue_(queue), exchange_(exchange) {}

    /// Whether a layer can be done this way: whole tiles for every thread, and gradients that fit the arena. Where
    /// there are several processes every layer is.
    [[nodiscard]] static bool suits(const SparseCpuLayer& layer, ConstActivations x, int threads);

    /// Whether a layer and a batch of so many tiles need no reserve(), before which nothing may be enqueued.
    [[nodiscard]] bool has_room(const CpuLayer& layer, Index tiles) const;
    void reserve(const CpuLayer& layer, Index tiles);

    /// Enqueues the gradients of a layer and sets its update aside.
    void enqueue(CpuLayer& layer, ConstActivations x, const Saved& saved, Activations dy, Activations dx,
                 const StepScalars* step);
    /// Enqueues the updates set aside. Must precede whatever reads the layers' parameters.
    void enqueue_updates();
    /// Forgets them.
    void clear();

private:
    void enqueue_neurons(CpuLayer& layer, Index tiles, const Saved& saved, Activations dy, const StepScalars* step);
    void enqueue_columns(SparseCpuLayer& layer, ConstActivations x, ConstActivations dy, Activations dx,
                         const StepScalars* step);
    void enqueue_rows(SparseCpuLayer& layer, ConstActivations x, const Saved& saved, Activations dy,
                      const StepScalars* step);
    void enqueue_dense(DenseCpuLayer& layer, ConstActivations x, ConstActivations dy, Activations dx,
                       const StepScalars* step);
    void set_aside_neurons(CpuLayer& layer, Range rows, float* sums, const StepScalars* step);
    void set_aside_edges(SparseCpuLayer& layer, Range edges, float* gradients, const StepScalars* step);
    /// Enqueues what the arena is for: alone its updates; of several processes it begins its sum over all of them,
    /// which travels while the other arena is filled, and enqueues the updates of that one.
    void flush();
    /// Memory in the array of this process's first tile, until the next updates; that of tile number i lies
    /// i * stride() behind.
    float* take(Index tiles, std::size_t floats);
    [[nodiscard]] std::size_t stride() const { return stride_; }
    [[nodiscard]] std::size_t bucket_for(const CpuLayer& layer) const;
    /// Floats of the arena.
    [[nodiscard]] std::size_t room_for(Index tiles) const;
    /// Floats of one tile that the arena has room for.
    [[nodiscard]] std::size_t capacity(Index tiles) const;
    /// Limits of a block whose gradients take at most a quarter of that.
    [[nodiscard]] std::pair<EdgeIndex, Index> block_limits(const CpuLayer& layer, Index tiles) const;
    /// How many arrays an update has to add: one where the exchange has added them.
    [[nodiscard]] Index terms() const { return exchange_.alone() ? tiles_ : 1; }

    std::vector<Phase>& queue_;
    Exchange& exchange_;
    std::vector<Phase> updates_;
    std::vector<const CpuLayer*> waiting_;  // layers whose updates are set aside
    std::vector<Phase> travelling_;         // updates whose sums are on their way
    AlignedVector<float> arenas_[2];        // the second only where several processes fill the first within a step
    std::size_t bank_ = 0;                  // the one that is filled
    std::size_t bucket_ = 0;                // floats a tile, of several processes
    std::size_t room_ = 0;                  // floats of an arena then
    std::size_t stride_ = 0;
    std::size_t taken_ = 0;
    Index tiles_ = 0;  // of the batch whose gradients are there
};

}  // namespace espalier
