// A whole training run: data, backend, network (born or loaded), training with records into a run folder, the saved
// network. What `espalier train` does once its options are resolved, and what a study does many times.
#pragma once

#include <filesystem>

#include "espalier/experiment.hpp"
#include "host/run_results.hpp"

namespace espalier {

struct DataSet;

struct RunPlace {
    std::filesystem::path folder;  // empty: a fresh one under runs/, named after recipe or data set and seed
    bool overwrite = false;
};

/// Trains and records. Ends early, saved, when a signal asks to (RunResults::stopped). A network to start from that is
/// given as "recipe:NAME" is trained first, into the folder's name plus ".start".
/// Throws UserError: see main's exit codes.
RunResults run_training(const Experiment& experiment, const RunPlace& place);

/// Checks the experiment against the data (widths, classes, batch). Throws UserError (usage).
void check_against_data(const Experiment& experiment, const DataSet& data);

}  // namespace espalier
