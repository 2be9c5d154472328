// The training loop: epochs of steps, test passes, evolution, one record an epoch. Without a word of any device: all
// work goes through Backend verbs, all output through observers.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "espalier/backend.hpp"
#include "espalier/experiment.hpp"
#include "espalier/dataset.hpp"
#include "espalier/model.hpp"
#include "espalier/epoch_record.hpp"
#include "espalier/predictions.hpp"
#include "espalier/training_progress.hpp"

namespace espalier {

class Trainer;

/// A moment at an epoch's end: after its test, or after its evolution and its record, when a run may be saved because
/// the trainer's progress() then says that no epoch is begun.
class EpochEnd {
public:
    explicit EpochEnd(Trainer& trainer) : trainer_(trainer) {}
    [[nodiscard]] const Trainer& trainer() const { return trainer_; }
    /// The network as it stands: read back on the first call, one copy for all observers of this moment.
    const Network& network() { return *share(); }
    /// The same, to be kept.
    std::shared_ptr<const Network> share();

private:
    Trainer& trainer_;
    std::shared_ptr<const Network> network_;
};

/// What a training run tells as it goes. Epochs count from 1, layers from 0.
class TrainObserver {
public:
    virtual ~TrainObserver() = default;
    /// Inside epoch `epoch`, `part` of it done, in [0, 1).
    virtual void on_progress(std::uint32_t /*epoch*/, double /*part*/) {}
    /// Degrees of a sparse layer around the evolution that ends an epoch.
    virtual void on_degrees(std::uint32_t /*epoch*/, std::size_t /*layer*/, const Degrees& /*before*/,
                            const Degrees& /*after*/) {}
    /// After an epoch's test: `end` has the network that the record's figures are of, which evolution is yet to change.
    virtual void on_tested(const EpochRecord& /*record*/, EpochEnd& /*end*/) {}
    virtual void on_epoch(const EpochRecord& /*record*/) {}
    /// After every epoch and its record.
    virtual void on_epoch_end(EpochEnd& /*end*/) {}
};

class Trainer {
public:
    /// Copies the data to the backend and loads the network there; keeps a reference to the backend alone, which must
    /// outlive the trainer. `network` must fit the experiment. Without test samples the records' test figures are NaN.
    Trainer(Experiment experiment, Backend& backend, const DataSet& data, const Network& network);

    /// Tells `observer`, which must outlive the trainer, from now on; observers are told in the order they were added.
    void add_observer(TrainObserver& observer) { observers_.push_back(&observer); }

    /// Goes on where another trainer of the same experiment, data and network stood; `history` is what that one
    /// recorded.
    void continue_from(TrainingProgress progress, std::vector<EpochRecord> history);

    /// Trains all epochs left, asking `stop`, if there is one, before each piece of advance(). Returns false if it said
    /// yes; network() and progress() then say all that another trainer needs to go on to the same bits.
    /// Throws UserError (nonfinite) naming epoch, step and layer when the loss is not finite.
    bool run(const std::function<bool()>& stop = {});

    /// Does the next piece of the run: up to 64 steps, or the end of an epoch (test, evolution, record). Returns
    /// whether anything is left to do. Throws as run() does.
    bool advance();
    [[nodiscard]] bool done() const { return progress_.epoch == experiment_.epochs || out_of_patience(); }
    /// Whether the monitored loss has not fallen for as many epochs as the experiment has patience.
    [[nodiscard]] bool out_of_patience() const;

    /// The network as it stands; waits for the backend.
    [[nodiscard]] Network network() { return model_->store(); }
    [[nodiscard]] const Experiment& experiment() const { return experiment_; }
    /// What the samples it trains on mean: shape, normalisation, names of classes.
    [[nodiscard]] const DataMeaning& data_meaning() const { return data_meaning_; }
    [[nodiscard]] const TrainingProgress& progress() const { return progress_; }
    [[nodiscard]] const std::vector<EpochRecord>& history() const { return history_; }

private:
    void take_targets(const DataSet& data);
    /// Where several processes train: throws UserError (ranks) if they no longer hold the same network.
    void compare_ranks();
    void begin_epoch();
    void train_slice();
    std::uint32_t enqueue_slice();
    void finish_epoch();
    void summarise_training();
    void upload_scalars(std::uint32_t epoch);
    void evaluate(EpochRecord& record);
    Metrics test(const UploadedSplit& split);
    /// How the outputs of the last test() compare with the targets.
    [[nodiscard]] TargetFigures figures_of(const std::vector<double>& targets) const;
    /// Adds a slice's metrics, in which step `first` was the first, to the epoch's.
    void add_metrics(const Metrics& slice, std::uint32_t first, std::uint32_t steps);
    [[noreturn]] void refuse_nonfinite(const std::string& when, double loss);

    // Evolution. Layers are told apart by number; `event` tells the draws of one evolution from those of another.
    [[nodiscard]] bool evolves() const { return experiment_.topology == TopologyKind::set; }
    [[nodiscard]] bool evolves_at(std::size_t layer, std::uint32_t step) const;
    /// Takes the gradients that the growing rule looks at, if it looks at any.
    void probe(std::uint32_t event, EpochRecord& record);
    /// Sparse layers, before a step; those of which no edge is to go rest.
    void evolve(std::vector<std::size_t> layers, double epoch_time, std::uint32_t event, EpochRecord& record);
    [[nodiscard]] EvolutionEvent event_of(std::size_t layer, std::uint32_t event) const {
        return {experiment_.seed, static_cast<std::uint32_t>(layer), event};
    }
    /// What a cut over the network takes of each layer, if the experiment wants one.
    void plan_cut(double epoch_time);
    /// Of a layer, by the last plan_cut(); nothing where the cut is made layer by layer.
    [[nodiscard]] std::optional<EdgeIndex> surplus_of(std::size_t layer) const;
    void prune(std::size_t layer, double epoch_time, std::uint32_t event, EpochRecord& record);
    /// After every layer's prune(): the edges that lead nowhere go too.
    void percolate(double epoch_time, EpochRecord& record);
    /// Prunes the edges of a layer's dead neurons and returns what is left.
    Degrees prune_ends(std::size_t layer, const DeadEnds& dead, double epoch_time, EpochRecord& record);
    /// After every layer's prune(): how many edges each of them grows, where these are shared out between them.
    void share_out(const std::vector<std::size_t>& layers);
    void regrow(std::size_t layer, std::uint32_t event, EpochRecord& record);
    void finish_evolution(std::uint32_t epoch);
    [[nodiscard]] std::vector<Degrees> all_degrees();
    [[nodiscard]] std::vector<std::size_t> sparse_layers() const;

    Experiment experiment_;
    Backend& backend_;
    DataMeaning data_meaning_;
    std::vector<TrainObserver*> observers_;
    UploadedSplit train_;
    std::optional<UploadedSplit> test_, validation_;
    std::vector<double> test_targets_, validation_targets_;  // of a regression
    double target_variance_ = 0;                             // of the training targets as they are trained on
    std::unique_ptr<Model> model_;
    std::vector<WeightLaw> new_weights_;  // of each layer
    DecayForm decay_form_;
    std::uint32_t steps_per_epoch_;
    Buffer<StepScalars> scalars_;                 // [layers, or 1 if all decay alike][steps]
    std::optional<std::uint32_t> scalars_epoch_;  // the epoch they are of
    Index probe_size_;                            // samples of whose gradients edges grow; 0: growth looks at none
    std::vector<EdgeIndex> edges_;                // of each layer
    std::vector<EdgeIndex> surplus_;              // of each layer, of a cut over the network
    std::vector<GrowRule> grow_;                  // of each layer's next regrowth
    std::vector<Pruned> pruned_;                  // likewise
    std::vector<std::optional<EdgeIndex>> shared_out_;  // edges of it, where the layers share them
    TrainingProgress progress_;
    std::vector<EpochRecord> history_;
    bool compared_ = false;
};

}  // namespace espalier
