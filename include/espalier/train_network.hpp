// A whole training run in one call, with data from memory: in memory, or into a run folder as `espalier train` writes it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "espalier/backend.hpp"
#include "espalier/dataset.hpp"
#include "espalier/epoch_record.hpp"
#include "espalier/experiment.hpp"
#include "espalier/layer.hpp"
#include "espalier/trainer.hpp"

namespace espalier {

/// Who watches a run and who may end it.
struct TrainingHooks {
    std::vector<TrainObserver*> observers;  // told after the run's own
    std::function<bool()> stop;             // asked between pieces of some steps; yes ends the run, whole as it stands
};

/// What a run leaves behind.
struct TrainedNetwork {
    /// The one that the figures of epoch kept_epoch are of, however the run ended: the last one tested, with patience the
    /// best; before the first test the one that training has come to.
    std::shared_ptr<const Network> network;
    std::vector<EpochRecord> history;
    std::uint32_t kept_epoch = 0;  // from 1; 0: no epoch has ended
    bool stopped = false;          // by TrainingHooks::stop
    bool stopped_early = false;    // out of patience
};

/// Checks the experiment against the data: widths, classes, number of steps. Throws UserError (usage).
void check_against_data(const Experiment& experiment, const DataSet& data);

/// Data as an experiment sees them, checked: validation samples held out of the training samples or read as it says,
/// unless there are some; for a restricted Boltzmann machine as units in [0, 1]. Throws UserError: usage or data.
void prepare_data(const Experiment& experiment, DataSet& data);

/// The network a run on prepared data begins with: fresh, or from where Experiment::init_from says; a recipe's is trained
/// here. Throws UserError as the program ends.
Network starting_network(const Experiment& experiment, Backend& backend, const DataSet& data);

/// Trains `network`, which fits the experiment, on prepared data. Same arguments, same bits, as Trainer::run() and the
/// program have them. Throws UserError (nonfinite) as Trainer::run() does, and what an observer throws.
TrainedNetwork train_network(const Experiment& experiment, Backend& backend, const DataSet& data,
                             const Network& network, const TrainingHooks& hooks = {});

/// The same with all records of `espalier train --out FOLDER`: history, topology, checkpoints, network, report. Data that
/// are not prepared yet are; the experiment says where the network comes from. `overwrite`: also where a run is already.
/// Says nothing on stderr. Throws UserError as the program ends.
TrainedNetwork train_network_into(const std::filesystem::path& folder, const Experiment& experiment,
                                  const DataSet& data, const TrainingHooks& hooks = {}, bool overwrite = false);

}  // namespace espalier
