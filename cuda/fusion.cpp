#include "cuda/fusion.hpp"

#include <algorithm>
#include <utility>
#include <variant>

namespace espalier::cuda {

void Fusion::forward(const CudaLayer& layer, ConstActivations x, Activations saved, Activations y, const Dropped& dropped) {
    release();
    if (!may_be_head(layer) || (saved && saved.data != y.data) || dropped.step != nullptr) {
        return graphs_.enqueue(cuda::forward, layer, x, saved, y, dropped);
    }
    head_.layer = &layer;
    head_.saved = saved;
    head_.call.x = x;
    head_.call.z = y;
}

void Fusion::loss(const Loss& loss, ConstActivations z, const std::int32_t* labels, Activations dz,
                  const float* class_weights, const float* targets, MetricSums* sums, const RankShare& share) {
    const bool is_of_head = head_.layer != nullptr && !head_.has_loss && z.data == head_.call.z.data && dz &&
                            std::holds_alternative<SoftmaxNll>(loss);
    if (!is_of_head) {
        release();
        return graphs_.enqueue(cuda::loss, loss, z, labels, dz, class_weights, targets, sums, share);
    }
    head_.call.loss = loss;
    head_.call.labels = labels;
    head_.call.dz = dz;
    head_.call.class_weights = class_weights;
    head_.call.sums = sums;
    head_.call.share = share;
    head_.has_loss = true;
}

void Fusion::release_head() {
    const HeldHead held = std::exchange(head_, {});
    if (held.layer == nullptr) return;
    const HeadCall& call = held.call;
    graphs_.enqueue(cuda::forward, *held.layer, call.x, held.saved, call.z, Dropped{});
    if (!held.has_loss) return;
    const float* const no_targets = nullptr;
    graphs_.enqueue(cuda::loss, call.loss, ConstActivations(call.z), call.labels, call.dz, call.class_weights, no_targets,
                    call.sums, call.share);
}

void Fusion::backward(const CudaLayer& layer, ConstActivations x, ConstActivations saved, Activations dy,
                      Activations dx, const StepScalars* step, const RankShare& share, const Dropped& dropped) {
    if (head_.has_loss && head_.layer == &layer && product_.layer == nullptr && dx && head_.call.dz.data == dy.data &&
        head_.call.x.data == x.data && dropped.step == nullptr) {
        product_ = {&layer, dy, dx, true};  // the derivative of Identity is 1
        updates_.push_back({&layer, x, dy, step, share});
        return;
    }
    if (!product_.with_head) release_head();
    const auto is_held = [&](const LayerUpdate& each) { return each.layer == &layer; };
    if (std::any_of(updates_.begin(), updates_.end(), is_held)) release();  // a layer used twice is updated twice
    // a head's own kernel knows nothing of dropout
    const bool ends_product = product_.layer != nullptr && product_.dx.data == dy.data &&
                              !(product_.with_head && dropped.step != nullptr) && fuses_derivative(*product_.layer, layer);
    if (ends_product) {
        release_product({&layer, saved, dropped});
    } else {
        release_before(dy);
        if (!layer.products_alone) graphs_.enqueue(differentiate, layer, saved, dy, dropped);
    }
    if (layer.activation_parameters.values.size() > 0 && !layer.products_alone && exchange_ == nullptr) {
        graphs_.enqueue(update_activation, layer, step);
    }
    if (dx) {
        release_before(dx);
        product_ = {&layer, dy, dx, false};
        if (!updates_edges(layer)) release_product({});  // by the weights from before the update
    }
    if (!updates_edges(layer) && exchange_ == nullptr) {
        graphs_.enqueue(update_by_library, layer, x, ConstActivations(dy), step);
    }
    updates_.push_back({&layer, x, dy, step, share});
}

void Fusion::release_product(const LayerBelow& below) {
    const HeldProduct held = std::exchange(product_, {});
    if (held.layer == nullptr) return;
    if (!held.with_head) return graphs_.enqueue(input_gradient, *held.layer, held.dy, below, held.dx);
    HeldHead of_head = std::exchange(head_, {});
    of_head.call.dx = held.dx;
    graphs_.enqueue(head, *held.layer, of_head.call, below);
}

bool Fusion::is_read_by_updates(ConstActivations written) const {
    return std::any_of(updates_.begin(), updates_.end(), [&](const LayerUpdate& each) {
        return each.x.data == written.data || each.dy.data == written.data;
    });
}

void Fusion::release_before(ConstActivations written) {
    if (!product_.with_head) release_head();
    release_product({});
    if (is_read_by_updates(written)) release();
}

void Fusion::release() {
    if (!product_.with_head) release_head();
    release_product({});
    const LayerUpdates updates = std::exchange(updates_, {});
    if (updates.empty()) return;
    if (exchange_ == nullptr) return graphs_.enqueue(update_layers, updates);
    graphs_.enqueue(update_over_ranks, exchange_, exchange_->memory_version(), updates);
}

void Fusion::forget() {
    head_ = {};
    product_ = {};
    updates_.clear();
}

}  // namespace espalier::cuda
