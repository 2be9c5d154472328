// Verbs of a program that become one launch. Within CudaBackend::run() some verbs are held back until the next one shows
// what can be done with them in one go: the last layer's product, its loss and its dx are one kernel where the layer is
// small and dense; the product that gives dx also multiplies by the derivative of the layer below, and by the mask of units
// dropped there; all layers are updated by one kernel at the end. Every verb still does what it says, with the same bits;
// only when is another matter, so whatever would read or write what is held back must come after release().
#pragma once

#include "cuda/exchange.hpp"
#include "cuda/graph_cache.hpp"
#include "cuda/operations.hpp"

namespace espalier::cuda {

class Fusion {
public:
    /// `exchange`: where several processes train one network; null alone.
    Fusion(GraphCache& graphs, const Exchange* exchange) : graphs_(graphs), exchange_(exchange) {}

    void forward(const CudaLayer& layer, ConstActivations x, Activations saved, Activations y, const Dropped& dropped);
    void loss(const Loss& loss, ConstActivations z, const std::int32_t* labels, Activations dz,
              const float* class_weights, const float* targets, MetricSums* sums, const RankShare& share);
    /// Backend::backward, held back at least in part.
    void backward(const CudaLayer& layer, ConstActivations x, ConstActivations saved, Activations dy, Activations dx,
                  const StepScalars* step, const RankShare& share, const Dropped& dropped);
    /// Enqueues what is held back but for updates that `written` does not concern: `written` is about to change.
    void release_before(ConstActivations written);
    /// Enqueues all that is held back.
    void release();
    /// Forgets what is held back: its program is not to run.
    void forget();

private:
    struct HeldProduct {
        const CudaLayer* layer = nullptr;  // null: none is held
        ConstActivations dy;
        Activations dx;
        bool with_head = false;  // head_ is held, and gives dx
    };
    /// The forward pass of a layer that may be a head, or that and the loss.
    struct HeldHead {
        const CudaLayer* layer = nullptr;  // null: none is held
        Activations saved;
        HeadCall call;
        bool has_loss = false;
    };
    void release_head();
    void release_product(const LayerBelow& below);
    [[nodiscard]] bool is_read_by_updates(ConstActivations written) const;

    GraphCache& graphs_;
    const Exchange* exchange_;
    HeldHead head_;        // before all others
    HeldProduct product_;  // of the layer whose backward pass came last; before the updates
    LayerUpdates updates_;
};

}  // namespace espalier::cuda
