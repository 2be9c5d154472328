// The charts of a run and the numbers beside them, drawn from run folders that have been read and checked. Charts of
// several runs are those of their rows (rows.hpp).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
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
    PowerLaw law;              // none where the tail is too short to say anything
    double p_value = 0;
    Alternative poisson, log_normal;  // the law beside others over its tail
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

/// Several of them, seen and not held.
using Runs = std::span<const ReportedRun>;

/// From so many runs on a page leaves out what grows with each of them, or with each pair: all but the first and last
/// picture of a film strip, degree fits, topology distances.
constexpr std::size_t many_runs = 13;

/// Synthetic samples per power-law p-value in a report.
constexpr std::uint32_t report_bootstraps = 100;

/// The fits are what takes time; charts do without.
void compute_statistics(ReportedRun& run, bool with_fits);

/// "birth" or "epoch 7".
std::string moment_name(const RunFolder& run, std::uint64_t moment);

/// Up to six of the moments 0 (birth) to `last`, evenly spread.
std::vector<std::uint64_t> evenly_spread(std::uint64_t last);

/// Those of a run with a map.
std::vector<std::uint64_t> chosen_moments(const RunFolder& run);

/// The epochs of a run's moments.
std::vector<double> moment_epochs(const RunFolder& run);

/// Sides of the squares of a trend curve.
std::vector<double> square_sides(const ImageShape& image, std::size_t squares);

/// Where the last epoch prunes and nothing regrows, so that its values stand apart: what to point out.
std::optional<Event> last_epoch_event(const RunFolder& run);

/// Whether accuracies are better read as error rates on a logarithmic axis: some are near 1.
bool shows_errors(const std::vector<double>& accuracies);

/// Loss, accuracy or error rate, confidence and replaced edges per epoch.
std::vector<Chart> learning_charts(const ReportedRun& run);

/// Contrast and correlation with the data per epoch.
std::vector<Chart> topology_charts(const ReportedRun& run);

/// Trend curve and rings at the run's chosen moments.
std::vector<Chart> map_charts(const ReportedRun& run);

/// Degree distribution of every side of every sparse layer.
std::vector<Chart> degree_charts(const ReportedRun& run);

/// Survival and age of edges, and the cells that ever held one.
std::vector<Chart> edge_charts(const ReportedRun& run);

/// Weight histogram of every layer at several moments, or of the last where there are no records.
std::vector<Chart> weight_charts(const ReportedRun& run);

/// A column of edges.csv of a layer (from 1) over the epochs, or the survival of its edges over their age; empty where
/// there is none.
Series edges_over_time(const RunFolder& run, std::size_t layer, const std::string& column, double factor);
Series survival_of(const RunFolder& run, std::size_t layer);

/// Where most weights lie: what is left of the lowest and right of the highest is counted apart.
struct WeightRange {
    double low = 0, high = 0;
    double below = 0, above = 0;  // shares outside
};
WeightRange weight_range(std::vector<float> weights);

/// Densities of the weights in the range over equal bins.
Series weight_histogram(const std::vector<float>& weights, const WeightRange& range);

/// What lies outside, in words; empty if nothing does.
std::string overflow_note(double below, double above);

}  // namespace espalier
