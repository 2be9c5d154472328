// The names in a run folder, each said once: for those who write the files, for the reader, and for --overwrite, which
// removes these and no others.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace espalier::run_layout {

constexpr const char* config = "config.toml";  // the resolved options
constexpr const char* lock = "run.lock";       // while a process writes here
constexpr const char* takeover = "run.lock.takeover";  // for a moment, on file systems without locks
constexpr const char* checkpoints = "checkpoints";

// they grow with every epoch
constexpr const char* history_csv = "history.csv";
constexpr const char* history_jsonl = "history.jsonl";
constexpr const char* edges = "edges.csv";
constexpr const char* events = "events.out.tfevents.espalier";  // for TensorBoard, if asked for

// written once
constexpr const char* pixels = "pixels.npy";                // what the data look like
constexpr const char* weight_borders = "weights-bins.npy";  // of the bins that weight_counts() counts
constexpr const char* survival = "survival.csv";
constexpr const char* provenance = "provenance.json";  // command, machine, commit; again when the run has ended
constexpr const char* network = "network.safetensors";
constexpr const char* best_network = "best.safetensors";  // until a run with patience ends: then it is the network
constexpr const char* connections_first = "connections-first.png";
constexpr const char* connections_last = "connections-last.png";
constexpr const char* receptive_fields = "receptive-fields.png";  // this and the next two: of an RBM
constexpr const char* reconstructions = "reconstructions.png";
constexpr const char* samples = "samples.png";
constexpr const char* report = "report.html";
constexpr const char* results = "results.json";  // last of all: its presence marks the run as complete

/// Edges per neuron of one side of a layer (from 0).
std::string degrees(std::size_t layer, bool inputs);
/// Histograms of a layer's weights.
std::string weight_counts(std::size_t layer);

/// True for the files above and for what a killed writer left of one; checkpoints have a folder and names of their own
/// (checkpoint_folder.hpp).
bool is_run_file(const std::filesystem::path& path);

}  // namespace espalier::run_layout
