// The checkpoints of a run, RUN/checkpoints/ckpt-<epochs done>[-<steps of the next>].safetensors: which are kept, which
// one a run resumes from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace espalier {

struct Checkpoint;
struct CheckpointInfo;
struct Network;

/// Place of a checkpoint in the run, as its name says.
struct CheckpointPlace {
    std::uint32_t epoch = 0, step = 0;
    auto operator<=>(const CheckpointPlace&) const = default;
};

struct CheckpointFile {
    std::filesystem::path path;
    CheckpointPlace place;
};

std::string checkpoint_name(const CheckpointPlace& place);
/// Nothing if the file is no checkpoint by its name.
std::optional<CheckpointPlace> checkpoint_place(const std::filesystem::path& path);

/// The checkpoints of a run folder by their names, oldest first.
std::vector<CheckpointFile> list_checkpoints(const std::filesystem::path& run);

/// Writes, verifies, and only then deletes old ones: of all in the folder, the newest `keep` stay and the one with the
/// least validation loss (test loss where there is none). Throws UserError: io or nonfinite.
void add_checkpoint(const std::filesystem::path& run, const CheckpointInfo& info, const Network& network, int keep);

/// Deletes the checkpoints beyond `place`, which a run that resumes there will write anew, and what killed writers
/// left. Returns how many checkpoints those were. Throws UserError (io).
int forget_newer(const std::filesystem::path& run, const CheckpointPlace& place);

/// Deletes all checkpoints of a run, what killed writers left, and the folder if nothing else is in it.
/// Throws std::filesystem::filesystem_error.
void remove_checkpoints(const std::filesystem::path& run);

/// The network file that a command's argument names: the file itself or, of a run folder, its network.safetensors or,
/// where a run has not got that far, its newest checkpoint. Throws UserError (checkpoint) if there is none.
std::filesystem::path network_of(const std::filesystem::path& file_or_run);

/// A checkpoint to resume from.
struct FoundCheckpoint {
    std::filesystem::path run;   // the run folder
    std::filesystem::path path;  // the file
    std::vector<std::string> warnings;
};

/// The run folder that a checkpoint file lies in. Throws UserError (checkpoint) if it lies in none.
std::filesystem::path run_of_checkpoint(const std::filesystem::path& file);

/// The newest checkpoint of a run that verifies and whose history files are still whole, read into `checkpoint`; a
/// newer one that fails becomes a warning. Nothing if there is none at all.
/// Throws UserError (checkpoint) with every fault if there are some but none is good.
std::optional<FoundCheckpoint> find_checkpoint(const std::filesystem::path& run, Checkpoint& checkpoint);

/// The same of one file. Throws UserError (checkpoint).
FoundCheckpoint open_checkpoint(const std::filesystem::path& file, Checkpoint& checkpoint);

}  // namespace espalier
