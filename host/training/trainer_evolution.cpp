// How the trainer's layers evolve: when, how many edges go, what comes.
#include <chrono>

#include "espalier/trainer.hpp"
#include "host/training/evolution_plan.hpp"

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

void Trainer::evolve(std::size_t layer, double epoch_time, std::uint32_t event, EpochRecord& record) {
    const SecondsInto seconds(record.evolution_seconds);
    prune(layer, epoch_time, event, record);
    regrow(layer, event, record);
    compare_ranks();
}

void Trainer::probe(std::uint32_t event, EpochRecord& record) {
    if (probe_size_ == 0) return;
    const SecondsInto seconds(record.evolution_seconds);
    model_->probe(train_.samples(), probe_size_, event);
}

void Trainer::prune(std::size_t layer, double epoch_time, std::uint32_t event, EpochRecord& record) {
    if (!model_->is_sparse(layer)) return;
    const double share = prune_share(experiment_, layer, edges_[layer], epoch_time);
    const PruneRule rule = rule_at(experiment_.prune, epoch_time / experiment_.epochs);
    const Pruned pruned = backend_.prune(model_->layer(layer), {rule, share, event_of(layer, event)});
    pruned_[layer] = pruned;
    record.pruned += pruned.total();
    grow_[layer] = grow_rule(experiment_, layer, edges_[layer], pruned.total(), epoch_time);
    edges_[layer] -= pruned.total();
}

void Trainer::regrow(std::size_t layer, std::uint32_t event, EpochRecord& record) {
    if (!model_->is_sparse(layer)) return;
    const EdgeIndex grown =
        backend_.regrow(model_->layer(layer), {grow_[layer], new_weights_[layer], experiment_.reset_state != ResetState::none,
                                               event_of(layer, event),
                                               probe_size_ > 0 ? model_->evidence(layer) : Evidence{}});
    edges_[layer] += grown;
    record.grown += grown;
    const Pruned& pruned = pruned_[layer];
    if (grown == 0) return;
    // fewer than went: shared out between the signs
    record.replaced_positive += std::uint64_t{pruned.positive} * grown / pruned.total();
    record.replaced_negative += std::uint64_t{pruned.negative} * grown / pruned.total();
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
