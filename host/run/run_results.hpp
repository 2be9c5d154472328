// What a finished (or stopped) training run amounts to: the table a person reads and the JSON object a script reads.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "espalier/experiment.hpp"
#include "espalier/index.hpp"
#include "host/run/epoch_record.hpp"

namespace espalier {

struct RunResults {
    Experiment experiment;
    std::string dataset_source;
    std::string backend;  // "cpu" or "cuda"
    std::string machine;  // its own description: what it computes with
    std::filesystem::path run_dir;
    std::uint64_t edges = 0;  // sparse layers, at the end
    std::uint64_t parameters = 0;
    std::vector<EpochRecord> history;
    bool stopped = false;
    std::string class_figures;  // class_figures_json() of the test samples, by the network at the end; empty: not made
    std::string target_figures;  // target_figures_json() of a regression, likewise
    bool stopped_early = false;  // out of patience
    Index ranks = 1;             // processes that trained it
    std::uint32_t kept_epoch = 0;  // whose network is kept, if not the last one's
    /// The record whose figures are those of the network kept. There must be one.
    [[nodiscard]] const EpochRecord& kept() const {
        return kept_epoch == 0 ? history.back() : history.at(kept_epoch - 1);
    }
};

/// Median over the epochs of the training time of one, in seconds (evolution and tests not counted).
double seconds_per_epoch(const std::vector<EpochRecord>& history);

std::string results_table(const RunResults& results);

/// One line; keys test_accuracy, test_loss, train_accuracy, train_loss, epochs, seconds_per_epoch, run_dir, backend,
/// machine, edges are an interface.
std::string results_json(const RunResults& results);

}  // namespace espalier
