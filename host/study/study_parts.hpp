// A study in parts: which of its cells a process runs, in what order, and parts brought together.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "host/study/study_file.hpp"

namespace espalier {

/// The part `number` of `parts`, from 1: cells number, number + parts, ...
struct Shard {
    std::size_t number = 1;
    std::size_t parts = 1;
};

/// Reads "3/16". Throws UserError (usage).
Shard read_shard(const std::string& text);

/// Leaves the cells of the part.
void keep_shard(Study& study, Shard shard);

/// What training costs, up to a factor: edges times epochs.
double work(const Experiment& experiment);

/// The run folder of a cell.
std::filesystem::path cell_folder(const std::filesystem::path& study_folder, const StudyCell& cell);

/// The experiment that a run folder's config.toml describes; null if there is none that reads.
std::optional<Experiment> experiment_in(const std::filesystem::path& run);

/// What two experiments differ in, "epochs 20 instead of 155"; empty if in nothing but the machine.
std::string difference(const Experiment& found, const Experiment& wanted);

/// Whether a run folder holds the cell's results. Throws UserError (usage) if it holds results of other settings, unless
/// they may be overwritten.
bool is_finished(const std::filesystem::path& run, const StudyCell& cell, bool overwrite);

/// Copies the study's finished cells from `folders` into `out`, where they are not there yet. Returns the names of those
/// found nowhere. Throws UserError: usage as is_finished(), io.
std::vector<std::string> collect_cells(const Study& study, const std::vector<std::filesystem::path>& folders,
                                       const std::filesystem::path& out);

}  // namespace espalier
