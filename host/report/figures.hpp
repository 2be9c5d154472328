// The charts of a report and the numbers beside them, drawn from run folders that have been read and checked.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "espalier/power_law.hpp"
#include "host/run/run_reader.hpp"
#include "host/report/svg_chart.hpp"

namespace espalier {

/// Power-law fit of one side of a sparse layer at the run's last moment.
struct DegreeFit {
    std::size_t layer = 1;     // from 1
    bool inputs = true;        // else outputs
    double without_edges = 0;  // share of neurons
    PowerLaw law;
    double p_value = 0;
};

/// A run with everything computed once.
struct ReportedRun {
    RunFolder folder;
    std::string slug;                                // the name, safe in file names and unique in the report
    std::vector<double> contrasts;                   // per moment; empty without a map
    std::optional<SignTest> sign;                    // of the last moment
    std::vector<double> with_variances, with_means;  // correlations with the data's pixels, per moment
    std::vector<DegreeFit> fits;
};

/// From so many runs on a page leaves out what grows with each of them, or with each pair: all but the first and last
/// picture of a film strip, topology distances.
constexpr std::size_t many_runs = 13;

/// Synthetic samples per power-law p-value in a report.
constexpr std::uint32_t report_bootstraps = 100;

void compute_statistics(ReportedRun& run);

/// "birth" or "epoch 7".
std::string moment_name(const RunFolder& run, std::uint64_t moment);

/// Up to six of the moments 0 (birth) to `last`, evenly spread.
std::vector<std::uint64_t> evenly_spread(std::uint64_t last);

/// Those of a run with a map.
std::vector<std::uint64_t> chosen_moments(const RunFolder& run);

/// Loss, accuracy, confidence and replaced edges per epoch, all runs in each chart.
std::vector<Chart> learning_charts(const std::vector<ReportedRun>& runs);

/// Contrast and correlation with the data per epoch and, with several runs, the last trend curves and rings side by
/// side.
std::vector<Chart> topology_charts(const std::vector<ReportedRun>& runs);

/// Trend curve and rings of one run at its chosen moments.
std::vector<Chart> map_charts(const ReportedRun& run);

/// Degree distribution of every side of every sparse layer.
std::vector<Chart> degree_charts(const std::vector<ReportedRun>& runs);

/// Survival and age of edges, and the cells that ever held one.
std::vector<Chart> edge_charts(const std::vector<ReportedRun>& runs);

/// Weight histogram of every layer: of a single run at several moments, of several runs at their last.
std::vector<Chart> weight_charts(const std::vector<ReportedRun>& runs);

}  // namespace espalier
