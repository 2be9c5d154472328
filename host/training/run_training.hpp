// A whole training run: data, backend, network (new or loaded), training with records into a run folder, the saved
// network. What `espalier train` does once its options are resolved, and what a study does many times.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "espalier/experiment.hpp"
#include "espalier/ranks.hpp"
#include "espalier/train_network.hpp"
#include "host/run/run_results.hpp"
#include "host/system/progress.hpp"

namespace espalier {

/// Whether a run goes on with what an earlier process left in its folder: never, if there is a checkpoint, or in any
/// case.
enum class Resume { never, if_possible, always };

struct RunPlace {
    std::filesystem::path folder;  // empty: a fresh one under runs/, named after recipe or data set and seed
    bool overwrite = false;
    Resume resume = Resume::never;
    std::filesystem::path checkpoint;    // to resume from; empty: the newest that verifies
    std::uint32_t checkpoint_every = 0;  // epochs; 0: at the first epoch's end after every minute
    int keep = 3;                        // newest checkpoints, besides the best by monitored loss; 0: make none
    ProgressForm progress = ProgressForm::automatic;
    bool live = false;         // a page on 127.0.0.1 follows the run
    bool tensorboard = false;  // an event file of the folder says what TensorBoard shows
    const DataSet* data = nullptr;  // what is trained on; null: what the experiment names
    TrainingHooks hooks{};          // without `stop`, signals end the run
    Ranks* ranks = nullptr;  // with which this process trains; only rank 0 writes and tells
    std::unique_ptr<Backend>* backend = nullptr;  // is taken from there: a companion of others'; null: made for the run
    std::vector<std::string> notes = {};  // what the user is told before the first epoch
};

/// Trains and records. Ends early, saved, when a signal asks to (RunResults::stopped). A network to start from that is
/// given as "recipe:NAME" is trained first, into the folder's name plus ".start". A resumed run gives the same bits as
/// one that was never interrupted, on the same backend. Of several ranks all must call it with the same arguments; those
/// beside rank 0 have no folder in their results.
/// Throws UserError: see main's exit codes.
RunResults run_training(const Experiment& experiment, const RunPlace& place);

}  // namespace espalier
