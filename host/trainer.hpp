// The training loop: epochs of steps, test passes, evolution, one record an epoch. Without a word of any device: all
// work goes through Backend verbs, all output through the observer.
#pragma once

#include <optional>
#include <vector>

#include "espalier/backend.hpp"
#include "espalier/experiment.hpp"
#include "host/data/dataset.hpp"
#include "host/perceptron.hpp"
#include "host/recorder.hpp"

namespace espalier {

class Trainer;

/// What a training run tells as it goes.
class TrainObserver {
public:
    virtual ~TrainObserver() = default;
    /// Inside epoch `epoch` (from 1), `part` of it done.
    virtual void within(std::uint32_t /*epoch*/, double /*part*/) {}
    virtual void epoch(const EpochRecord& /*record*/) {}
    /// Degrees of sparse layer `layer` (from 0) around an epoch's evolution.
    virtual void degrees(std::size_t /*layer*/, const Degrees& /*before*/, const Degrees& /*after*/) {}
    /// After every epoch and its record: the moment to read the network back.
    virtual void epoch_ended(Trainer& /*trainer*/) {}
    /// Polled between slices of steps; true ends the run.
    virtual bool stop() { return false; }
};

class Trainer {
public:
    /// `experiment`, `backend` and `observer` must outlive the trainer; `network` must fit the experiment.
    Trainer(const Experiment& experiment, Backend& backend, const DataSet& data, const Network& network,
            TrainObserver& observer);

    /// Trains all epochs. Returns false if the observer stopped it.
    /// Throws UserError (nonfinite) naming epoch and layer when the loss is not finite.
    bool run();

    [[nodiscard]] Network network() { return perceptron_.store(); }
    [[nodiscard]] const std::vector<EpochRecord>& history() const { return history_; }

private:
    bool train_epoch(std::uint32_t epoch, EpochRecord& record);
    void upload_scalars(std::uint32_t epoch);
    void test(EpochRecord& record);
    void check_finite(std::uint32_t epoch, double loss);

    // Evolution. Layers are told apart by number; `event` tells the draws of one evolution from those of another.
    [[nodiscard]] bool evolves() const { return experiment_.topology == TopologyKind::set; }
    [[nodiscard]] bool evolves_at(std::size_t layer, std::uint32_t step) const;
    void evolve(std::size_t layer, double epoch_time, std::uint32_t event, EpochRecord& record);
    void prune(std::size_t layer, double epoch_time, EpochRecord& record);
    [[nodiscard]] GrowRule grow_rule(std::size_t layer, EdgeIndex pruned, double epoch_time) const;
    void regrow(std::size_t layer, std::uint32_t event);
    void finish_evolution(std::uint32_t epoch);
    [[nodiscard]] std::vector<Degrees> all_degrees();

    const Experiment& experiment_;
    Backend& backend_;
    TrainObserver& observer_;
    UploadedSplit train_, test_;
    Perceptron perceptron_;
    WeightLaw new_weights_;
    DecayForm decay_form_;
    std::uint32_t steps_per_epoch_;
    Buffer<StepScalars> scalars_;   // [layers, or 1 if all decay alike][steps]
    std::vector<EdgeIndex> edges_;  // of each layer
    std::vector<GrowRule> grow_;    // of each layer's next regrowth
    std::vector<EpochRecord> history_;
};

}  // namespace espalier
