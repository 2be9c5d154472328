// The training loop: epochs of steps, test passes, evolution, one record an epoch. Without a word of any device: all
// work goes through Backend verbs, all output through the observer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "espalier/backend.hpp"
#include "espalier/experiment.hpp"
#include "host/data/dataset.hpp"
#include "host/models/model.hpp"
#include "host/run/recorder.hpp"

namespace espalier {

/// How far a run has come: with the experiment, the data and the network, all that decides what follows.
struct TrainingProgress {
    std::uint32_t epoch = 0;  // epochs done
    std::uint32_t step = 0;   // steps done of the one begun, 0: none is begun
    // of the epoch begun, meaningless otherwise:
    Metrics metrics;
    EpochRecord record;
    std::vector<Degrees> before;  // of the sparse layers, at its start
};

class Trainer;

/// What a training run tells as it goes.
class TrainObserver {
public:
    virtual ~TrainObserver() = default;
    /// Inside epoch `epoch` (from 1), `part` of it done.
    virtual void on_progress(std::uint32_t /*epoch*/, double /*part*/) {}
    virtual void on_epoch(const EpochRecord& /*record*/) {}
    /// Degrees of sparse layer `layer` (from 0) around an epoch's evolution.
    virtual void on_degrees(std::size_t /*layer*/, const Degrees& /*before*/, const Degrees& /*after*/) {}
    /// After every epoch and its record: the moment to read the network back and to save it, progress() included.
    virtual void on_epoch_end(Trainer& /*trainer*/) {}
    /// Polled between slices of steps; true ends the run.
    virtual bool stop() { return false; }
};

class Trainer {
public:
    /// `experiment`, `backend` and `observer` must outlive the trainer; `network` must fit the experiment.
    Trainer(const Experiment& experiment, Backend& backend, const DataSet& data, const Network& network,
            TrainObserver& observer);

    /// Goes on where another trainer of the same experiment, data and network stood; `history` is what that one
    /// recorded.
    void continue_from(TrainingProgress progress, std::vector<EpochRecord> history);

    /// Trains all epochs left. Returns false if the observer stopped it; network() and progress() then say all that
    /// another trainer needs to go on to the same bits.
    /// Throws UserError (nonfinite) naming epoch, step and layer when the loss is not finite.
    bool run();

    [[nodiscard]] Network network() { return model_->store(); }
    [[nodiscard]] const TrainingProgress& progress() const { return progress_; }
    [[nodiscard]] const std::vector<EpochRecord>& history() const { return history_; }

private:
    void begin_epoch();
    bool train_epoch();
    std::uint32_t train_slice();
    void finish_epoch();
    void upload_scalars(std::uint32_t epoch);
    void test(EpochRecord& record);
    /// Adds a slice's metrics, in which step `first` was the first, to the epoch's.
    void add_metrics(const Metrics& slice, std::uint32_t first, std::uint32_t steps);
    [[noreturn]] void refuse_nonfinite(const std::string& when, double loss);

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
    std::unique_ptr<Model> model_;
    WeightLaw new_weights_;
    DecayForm decay_form_;
    std::uint32_t steps_per_epoch_;
    Buffer<StepScalars> scalars_;   // [layers, or 1 if all decay alike][steps]
    std::vector<EdgeIndex> edges_;  // of each layer
    std::vector<GrowRule> grow_;    // of each layer's next regrowth
    TrainingProgress progress_;
    std::vector<EpochRecord> history_;
};

}  // namespace espalier
