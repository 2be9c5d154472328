// Charts of single edges: how old they become, where they were, what they weigh.
#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "host/topology/edge_lifetimes.hpp"
#include "host/report/figures.hpp"

namespace espalier {
namespace {

using Columns = std::map<std::string, std::vector<double>>;

constexpr double outside_quantile = 0.001;  // of the weights, on either side of a histogram

/// The lines of a layer (from 1) of a file with a column "layer".
std::vector<std::size_t> lines_of_layer(const Columns& columns, std::size_t layer) {
    std::vector<std::size_t> lines;
    if (columns.empty()) return lines;
    const auto& layers = columns.at("layer");
    for (std::size_t l = 0; l < layers.size(); ++l) {
        if (layers[l] == static_cast<double>(layer)) lines.push_back(l);
    }
    return lines;
}

std::vector<double> chosen(const std::vector<double>& values, const std::vector<std::size_t>& lines) {
    std::vector<double> result;
    for (const std::size_t line : lines) result.push_back(values[line]);
    return result;
}

/// The layers of a run in one chart.
void add_layers(const RunFolder& run, Chart chart, const std::function<Series(std::size_t)>& series_of,
                std::vector<Chart>& charts) {
    for (std::size_t layer = 1; layer < run.experiment.layers.size(); ++layer) {
        Series series = series_of(layer);
        if (series.x.empty()) continue;
        series.name = "layer " + std::to_string(layer);
        series.colour = layer - 1;
        chart.series.push_back(std::move(series));
    }
    if (!chart.series.empty()) charts.push_back(std::move(chart));
}

std::string percent_text(double share) {
    return share < 0.0005 ? "under 0.1 %" : rounded(100 * share, 2) + " %";
}

/// Bins of a record from which on, and up to which, all but a thousandth of its weights lie on every side, at every
/// moment.
std::pair<std::size_t, std::size_t> kept_bins(const WeightRecord& record) {
    const std::size_t bins = record.borders.size() - 1;
    std::size_t first = bins - 1, last = 0;
    for (const auto& counts : record.counts) {
        double all = 0;
        for (const std::uint32_t count : counts) all += count;
        // The outer bins also hold what lies beyond them, so they are never drawn.
        double left = counts.front(), right = counts.back();
        std::size_t low = 1, high = bins - 2;
        while (low < high && left + counts[low] <= outside_quantile * all) left += counts[low++];
        while (high > low && right + counts[high] <= outside_quantile * all) right += counts[high--];
        first = std::min(first, low);
        last = std::max(last, high);
    }
    return {first, std::max(first, last)};
}

/// Densities of a layer's recorded weights at the run's chosen moments.
Chart recorded_weight_chart(const RunFolder& run, std::size_t layer) {
    const WeightRecord& record = run.weights[layer];
    Chart chart{"weights-layer" + std::to_string(layer + 1), "Weights of layer " + std::to_string(layer + 1),
                {"weight"}, {"density", true, false}};
    const auto [first, last] = kept_bins(record);
    const std::uint64_t end = std::min<std::uint64_t>(record.counts.size(), run.recorded.size() + 1) - 1;
    double below = 0, above = 0;  // at the last moment
    for (const std::uint64_t moment : evenly_spread(end)) {
        const auto& counts = record.counts[moment];
        double all = 0;
        for (const std::uint32_t count : counts) all += count;
        Series series{moment_name(run, moment), {}, {}, 0, Mark::steps,
                      end > 0 ? static_cast<double>(moment) / static_cast<double>(end) : 1.0};
        below = above = 0;
        for (std::size_t b = 0; b < counts.size() && all > 0; ++b) {
            const double width = record.borders[b + 1] - record.borders[b];
            if (b < first) below += counts[b] / all;
            if (b > last) above += counts[b] / all;
            if (b < first || b > last) continue;
            series.x.push_back(0.5 * (record.borders[b] + record.borders[b + 1]));
            series.y.push_back(counts[b] / (all * width));
        }
        chart.series.push_back(std::move(series));
    }
    chart.note = overflow_note(below, above);
    return chart;
}

}  // namespace

Series edges_over_time(const RunFolder& run, std::size_t layer, const std::string& column, double factor) {
    const auto lines = lines_of_layer(run.edges, layer);
    if (lines.empty()) return {};
    Series series{{}, chosen(run.edges.at("epoch"), lines), chosen(run.edges.at(column), lines)};
    for (double& y : series.y) y *= factor;
    return series;
}

Series survival_of(const RunFolder& run, std::size_t layer) {
    const auto lines = lines_of_layer(run.lifetimes, layer);
    if (lines.empty()) return {};
    std::vector<std::uint64_t> at_risk, lost;
    for (const std::size_t line : lines) {
        at_risk.push_back(static_cast<std::uint64_t>(run.lifetimes.at("at_risk")[line]));
        lost.push_back(static_cast<std::uint64_t>(run.lifetimes.at("lost")[line]));
    }
    Series series;
    const std::vector<double> shares = survival(at_risk, lost);
    for (std::size_t age = 0; age < shares.size(); ++age) {
        series.x.push_back(static_cast<double>(age + 1));
        series.y.push_back(100 * shares[age]);
    }
    return series;
}

WeightRange weight_range(std::vector<float> weights) {
    std::erase_if(weights, [](float weight) { return !std::isfinite(weight); });
    if (weights.empty()) return {};
    std::sort(weights.begin(), weights.end());
    const auto outside = static_cast<std::size_t>(outside_quantile * static_cast<double>(weights.size()));
    WeightRange range{weights[outside], weights[weights.size() - 1 - outside], 0, 0};
    const auto share = [&](auto begin, auto end) {
        return static_cast<double>(end - begin) / static_cast<double>(weights.size());
    };
    range.below = share(weights.begin(), std::lower_bound(weights.begin(), weights.end(), static_cast<float>(range.low)));
    range.above = share(std::upper_bound(weights.begin(), weights.end(), static_cast<float>(range.high)), weights.end());
    return range;
}

Series weight_histogram(const std::vector<float>& weights, const WeightRange& range) {
    constexpr std::size_t bins = 80;
    Series series;
    series.mark = Mark::steps;
    series.y.assign(bins, 0.0);
    const double step = (range.high - range.low) / static_cast<double>(bins);
    for (std::size_t b = 0; b < bins; ++b) series.x.push_back(range.low + (static_cast<double>(b) + 0.5) * step);
    const double share = 1 / (step * static_cast<double>(weights.size()));
    for (const double weight : weights) {
        if (!(weight >= range.low && weight <= range.high)) continue;
        series.y[std::min(bins - 1, static_cast<std::size_t>((weight - range.low) / step))] += share;
    }
    return series;
}

std::string overflow_note(double below, double above) {
    if (below <= 0 && above <= 0) return {};
    std::string text = "Not drawn: ";
    if (below > 0) text += percent_text(below) + " of the weights left of the range";
    if (above > 0) text += std::string(below > 0 ? ", " : "") + percent_text(above) + " right of it";
    return text + ".";
}

std::vector<Chart> edge_charts(const ReportedRun& run) {
    const RunFolder& folder = run.folder;
    std::vector<Chart> charts;
    add_layers(folder, {"survival", "Survival of edges", {"age in epochs", true, true}, {"share that reach it, %", true}},
               [&](std::size_t layer) { return survival_of(folder, layer); }, charts);
    const auto over_time = [&](Chart chart, const std::string& column, double factor) {
        chart.x = {"epoch", false, true};
        chart.event = last_epoch_event(folder);
        add_layers(folder, std::move(chart),
                   [&](std::size_t layer) { return edges_over_time(folder, layer, column, factor); }, charts);
    };
    over_time({"edge-age", "Mean age of edges", {}, {"epochs"}}, "mean_age", 1);
    over_time({"from-birth", "Edges of the first topology still there", {}, {"share, %", true}}, "from_birth", 100);
    over_time({"ever-active", "Cells that ever held an edge", {}, {"share of the layer's cells, %"}}, "ever_active", 100);
    return charts;
}

std::vector<Chart> weight_charts(const ReportedRun& run) {
    const RunFolder& folder = run.folder;
    std::vector<Chart> charts;
    if (!folder.weights.empty()) {
        for (std::size_t layer = 0; layer < folder.weights.size(); ++layer) {
            if (!folder.weights[layer].counts.empty()) charts.push_back(recorded_weight_chart(folder, layer));
        }
        return charts;
    }
    for (std::size_t layer = 0; folder.network && layer < folder.network->layers.size(); ++layer) {
        const auto& weights = folder.network->layers[layer].weights;
        const WeightRange range = weight_range(weights);
        if (!(range.low < range.high)) continue;
        Chart chart{"weights-layer" + std::to_string(layer + 1), "Weights of layer " + std::to_string(layer + 1),
                    {"weight"}, {"density", true, false}};
        chart.series.push_back(weight_histogram(weights, range));
        chart.series.back().name = folder.name;
        chart.note = overflow_note(range.below, range.above);
        charts.push_back(std::move(chart));
    }
    return charts;
}

}  // namespace espalier
