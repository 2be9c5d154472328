// How the trainer's layers evolve: when, how many edges go, what comes.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "espalier/trainer.hpp"
#include "host/training/evolution_plan.hpp"
#include "host/training/redistribution.hpp"

namespace espalier {
namespace {

/// Adds the seconds of its life.
class SecondsInto {
public:
    explicit SecondsInto(double& sum) : sum_(sum) {}
    SecondsInto(const SecondsInto&) = delete;
    SecondsInto& operator=(const SecondsInto&) = delete;
    ~SecondsInto() { sum_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

private:
    double& sum_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

bool Trainer::evolves_at(std::size_t layer, std::uint32_t step) const {
    if (!model_->is_sparse(layer)) return false;
    const Stream draws{experiment_.seed, Purpose::evolve, static_cast<std::uint32_t>(layer), step};
    return due(experiment_.cadence, {false, step / steps_per_epoch_, step, draws});
}

void Trainer::evolve(std::vector<std::size_t> layers, double epoch_time, std::uint32_t event, EpochRecord& record) {
    plan_cut(epoch_time);
    if (!experiment_.percolate) {
        std::erase_if(layers, [&](std::size_t l) {
            return prune_share(experiment_, l, edges_[l], epoch_time, surplus_of(l)) == 0;
        });
    }
    if (layers.empty()) return;
    probe(event, record);  // one for all layers, before any of them changes
    const SecondsInto seconds(record.evolution_seconds);
    for (const std::size_t l : layers) prune(l, epoch_time, event, record);
    percolate(epoch_time, record);
    share_out(layers);
    for (const std::size_t l : layers) regrow(l, event, record);
    compare_ranks();
}

std::vector<std::size_t> Trainer::sparse_layers() const {
    std::vector<std::size_t> layers;
    for (std::size_t l = 0; l < model_->num_layers(); ++l) {
        if (model_->is_sparse(l)) layers.push_back(l);
    }
    return layers;
}

void Trainer::probe(std::uint32_t event, EpochRecord& record) {
    if (probe_size_ == 0) return;
    const SecondsInto seconds(record.evolution_seconds);
    model_->probe(train_.samples(), probe_size_, event);
}

void Trainer::plan_cut(double epoch_time) {
    if (experiment_.prune_scope != PruneScope::network) return;
    const SecondsInto seconds(progress_.record.evolution_seconds);
    std::vector<std::vector<float>> weights(model_->num_layers());
    for (std::size_t l = 0; l < weights.size(); ++l) {
        if (model_->is_sparse(l)) weights[l] = backend_.store(model_->layer(l)).weights;
    }
    surplus_ = network_surplus(experiment_, weights, epoch_time);
}

std::optional<EdgeIndex> Trainer::surplus_of(std::size_t layer) const {
    if (experiment_.prune_scope != PruneScope::network) return std::nullopt;
    return surplus_[layer];
}

void Trainer::prune(std::size_t layer, double epoch_time, std::uint32_t event, EpochRecord& record) {
    if (!model_->is_sparse(layer)) return;
    const double share = prune_share(experiment_, layer, edges_[layer], epoch_time, surplus_of(layer));
    const PruneRule rule = rule_at(experiment_.prune, epoch_time / experiment_.epochs);
    const Pruned pruned = backend_.prune(model_->layer(layer), {rule, share, event_of(layer, event)});
    pruned_[layer] = pruned;
    record.pruned += pruned.total();
    grow_[layer] =
        grow_rule(experiment_, layer, edges_[layer], pruned.total(), epoch_time, surplus_of(layer));
    edges_[layer] -= pruned.total();
}

Degrees Trainer::prune_ends(std::size_t layer, const DeadEnds& dead, double epoch_time, EpochRecord& record) {
    Degrees left;
    const Pruned more = backend_.prune_ends(model_->layer(layer), dead, left);
    Pruned& pruned = pruned_[layer];
    pruned.positive += more.positive;
    pruned.negative += more.negative;
    pruned.zero += more.zero;
    record.pruned += more.total();
    const EdgeIndex before = edges_[layer] + pruned.total() - more.total();
    edges_[layer] -= more.total();
    grow_[layer] = grow_rule(experiment_, layer, before, pruned.total(), epoch_time, surplus_of(layer));
    return left;
}

/// Edges into neurons without outgoing ones go from the last layer to the first, then edges out of neurons without
/// incoming ones from the first to the last: each pass makes the neurons of the next layer dead. Dense layers end it.
void Trainer::percolate(double epoch_time, EpochRecord& record) {
    if (!experiment_.percolate) return;
    const auto dead = [](const std::vector<EdgeIndex>& degrees) {
        std::vector<std::uint8_t> none(degrees.size());
        std::transform(degrees.begin(), degrees.end(), none.begin(),
                       [](EdgeIndex degree) { return std::uint8_t{degree == 0}; });
        return none;
    };
    const std::size_t layers = model_->num_layers();
    for (std::size_t l = layers; l-- > 0;) {
        if (!model_->is_sparse(l) || l + 1 == layers || !model_->is_sparse(l + 1)) continue;
        const Degrees after = prune_ends(l + 1, {}, epoch_time, record);
        prune_ends(l, {{}, dead(after.inputs)}, epoch_time, record);
    }
    for (std::size_t l = 0; l + 1 < layers; ++l) {
        if (!model_->is_sparse(l) || !model_->is_sparse(l + 1)) continue;
        const Degrees before = prune_ends(l, {}, epoch_time, record);
        prune_ends(l + 1, {dead(before.outputs), {}}, epoch_time, record);
    }
}

void Trainer::share_out(const std::vector<std::size_t>& layers) {
    if (experiment_.redistribute == Redistribution::none) return;
    std::vector<SharingLayer> sharing;
    double total = 0;
    for (const std::size_t l : layers) {
        const EdgeIndex pruned = pruned_[l].total();
        const double strength =
            sharing_strength(experiment_.redistribute, backend_.store(model_->layer(l)), edges_[l]);
        sharing.push_back({strength, edges_[l], pruned, most_grown(experiment_, l, edges_[l], pruned)});
        total += std::visit([&](const auto& rule) { return std::round(rule.share * pruned); }, grow_[l]);
    }
    const std::vector<EdgeIndex> grown = redistributed(sharing, static_cast<EdgeIndex>(total));
    for (std::size_t i = 0; i < layers.size(); ++i) shared_out_[layers[i]] = grown[i];
}

void Trainer::regrow(std::size_t layer, std::uint32_t event, EpochRecord& record) {
    if (!model_->is_sparse(layer)) return;
    const EdgeIndex grown =
        backend_.regrow(model_->layer(layer), {grow_[layer], new_weights_[layer], experiment_.reset_state != ResetState::none,
                                               event_of(layer, event),
                                               probe_size_ > 0 ? model_->evidence(layer) : Evidence{}, shared_out_[layer]});
    edges_[layer] += grown;
    record.grown += grown;
    const Pruned& pruned = pruned_[layer];
    const EdgeIndex replaced = std::min(grown, pruned.total());
    if (replaced == 0) return;
    // fewer than went: shared out between the signs
    record.replaced_positive += std::uint64_t{pruned.positive} * replaced / pruned.total();
    record.replaced_negative += std::uint64_t{pruned.negative} * replaced / pruned.total();
}

void Trainer::finish_evolution(std::uint32_t epoch) {
    const bool last = epoch + 1 == experiment_.epochs;
    if (last && experiment_.last_epoch == LastEpoch::zero) return;
    for (std::size_t l = 0; l < model_->num_layers(); ++l) {
        if (last && experiment_.last_epoch == LastEpoch::remove) {
            if (model_->is_sparse(l)) backend_.remove(model_->layer(l));
        } else {
            regrow(l, epoch, progress_.record);
        }
        if (experiment_.reset_state == ResetState::all) backend_.reset_state(model_->layer(l));
    }
}

}  // namespace espalier
