// A checkpoint: a network file (network_file.hpp) that also says how far its run had come, so that the run can go on to
// the same bits. Beside the layers: __metadata__ with schema, epoch, step, seed, the resolved experiment, the data's
// digest, backend and the sizes of the history files; the lifetimes of sparse layers' edges (lives.n.*); inside an epoch
// also that epoch's sums so far ("begun") and its first degrees (before.n.inputs, .outputs).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "espalier/experiment.hpp"
#include "espalier/layer.hpp"
#include "host/run/epoch_record.hpp"
#include "host/run/topology_records.hpp"
#include "espalier/training_progress.hpp"

namespace espalier {

/// What a checkpoint says besides the network.
struct CheckpointInfo {
    Experiment experiment;
    TrainingProgress progress;
    RecordedBytes recorded;
    AllLifetimes lifetimes;
    std::string dataset, dataset_digest;
    std::string backend;              // "cpu" or "cuda"
    std::string machine;              // the backend's description when it was written
    // of the last epoch done, unless another one is begun
    std::optional<double> test_loss;
    std::optional<double> validation_loss = {};  // of runs with validation samples
    std::string data_meaning = {};               // meaning_json(); empty in older checkpoints
};

struct Checkpoint {
    CheckpointInfo info;
    Network network;
};

/// Writes, reads back, verifies and renames (write_safetensors). Throws UserError: io, or nonfinite, with the old file
/// as it was.
void save_checkpoint(const std::filesystem::path& path, const CheckpointInfo& info, const Network& network);

/// Reads and checks everything, the checksum first. Throws UserError (checkpoint) with file, offset, expected and
/// found.
Checkpoint load_checkpoint(const std::filesystem::path& path);

}  // namespace espalier
