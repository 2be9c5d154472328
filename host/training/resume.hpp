// Going on with an interrupted run: which checkpoint it goes on from, whether that fits what is asked for and the data,
// and what the user is told.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "host/run/checkpoint.hpp"
#include "host/run/checkpoint_folder.hpp"
#include "host/training/run_training.hpp"

namespace espalier {

class Progress;

/// What an earlier process left of a run.
struct InterruptedRun {
    FoundCheckpoint found;
    CheckpointInfo info;
    Network network;
    std::vector<EpochRecord> history;  // up to the checkpoint
};

/// The run in `folder`, or the one of `place`'s checkpoint, if this run is to go on with it; nothing for a run that
/// starts anew. Throws UserError: checkpoint if there is none to go on from, usage for options other than that run's
/// (but for its machine, the place of its data, and more epochs).
std::optional<InterruptedRun> find_interrupted_run(const Experiment& experiment, const std::filesystem::path& folder,
                                                   const RunPlace& place);

/// Whether --resume auto starts anew in a folder that exists: one without any checkpoint is of a run that was killed
/// before its first. Throws UserError (usage) if it holds a finished network instead.
bool may_restart(const std::filesystem::path& folder, const RunPlace& place);

/// Throws UserError (checkpoint) if the interrupted run saw other data or does not belong to the experiment.
void expect_resumable(const Experiment& experiment, const DataSet& data, InterruptedRun& run);

/// Tells of what is gone on from and of more epochs, and deletes the checkpoints beyond that point.
void say_resumed(const Experiment& asked, const InterruptedRun& run, Progress& progress);

/// Tells of another instruction set or device, or other kernels of the dense library, `backend` holding the network.
void say_other_machine(const InterruptedRun& run, const Backend& backend, Progress& progress);

}  // namespace espalier
