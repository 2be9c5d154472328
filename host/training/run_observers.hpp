// Who watches a training run on behalf of its folder and its user, each an observer of its own: what is recorded, when
// checkpoints are made, what is shown.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "host/report/live_server.hpp"
#include "host/run/checkpoint.hpp"
#include "host/run/recorder.hpp"
#include "host/run/topology_records.hpp"
#include "host/training/run_training.hpp"
#include "espalier/trainer.hpp"

namespace espalier {

class Progress;

/// Writes the history, and the degrees of the epochs on record.
class HistoryObserver final : public TrainObserver {
public:
    HistoryObserver(Recorder& recorder, const RecordPlan& plan) : recorder_(recorder), plan_(plan) {}
    void on_degrees(std::uint32_t epoch, std::size_t layer, const Degrees& before, const Degrees& after) override;
    void on_epoch(const EpochRecord& record) override { recorder_.epoch(record); }

private:
    Recorder& recorder_;
    RecordPlan plan_;
};

/// Follows edges and weights.
class TopologyObserver final : public TrainObserver {
public:
    explicit TopologyObserver(TopologyRecords& records) : records_(records) {}
    void on_epoch_end(EpochEnd& end) override;

private:
    TopologyRecords& records_;
};

/// Makes a run's checkpoints: when they are due, and what stands in them. Comes after the observers that write records:
/// a checkpoint says how far those have come.
class Checkpointer final : public TrainObserver {
public:
    Checkpointer(const RunPlace& place, Recorder& recorder, TopologyRecords& records, CheckpointInfo info)
        : every_(place.checkpoint_every),
          keep_(place.keep),
          recorder_(recorder),
          records_(records),
          info_(std::move(info)) {}

    void on_epoch_end(EpochEnd& end) override;
    void save(const Trainer& trainer, const Network& network);

private:
    std::uint32_t every_;
    int keep_;
    Recorder& recorder_;
    TopologyRecords& records_;
    CheckpointInfo info_;
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// Keeps the network that the latest figures are of: training goes on from another one, whose pruned edges have been
/// replaced. With `save_best`, hands it each one whose monitored loss is the least so far.
class NetworkKeeper final : public TrainObserver {
public:
    using SaveBest = std::function<void(const Network& network, std::uint32_t epoch)>;
    explicit NetworkKeeper(SaveBest save_best) : save_best_(std::move(save_best)) {}
    void on_tested(const EpochRecord& record, EpochEnd& end) override;
    /// Null until an epoch has ended.
    [[nodiscard]] const std::shared_ptr<const Network>& latest() const { return latest_; }

private:
    SaveBest save_best_;
    std::shared_ptr<const Network> latest_;
};

/// Shows the run's progress to its user. Comes last: an epoch is saved before it is printed.
class ProgressObserver final : public TrainObserver {
public:
    ProgressObserver(Progress& progress, ModelKind model) : progress_(progress), model_(model) {}
    void on_progress(std::uint32_t epoch, double part) override;
    void on_epoch_end(EpochEnd& end) override;

private:
    Progress& progress_;
    ModelKind model_;
};

/// Serves a page that follows the run. Comes last: what it shows is read from the files of the others.
class LiveObserver final : public TrainObserver {
public:
    LiveObserver(const std::filesystem::path& folder, std::uint32_t epochs, Progress& progress);
    void on_epoch_end(EpochEnd& end) override;
    void on_epoch(const EpochRecord& record) override { epoch_ = record.epoch; }
    void end(bool stopped);

private:
    [[nodiscard]] std::string place() const;

    std::uint32_t epochs_, epoch_ = 0;
    LiveServer server_;
};

}  // namespace espalier
