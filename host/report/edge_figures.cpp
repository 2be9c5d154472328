// Charts of single edges: how old they become, where they were, what they weigh.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "host/topology/edge_lifetimes.hpp"
#include "host/report/figures.hpp"

namespace espalier {
namespace {

using Columns = std::map<std::string, std::vector<double>>;

/// The lines of a layer (from 1) of a file with a column "layer".
std::vector<std::size_t> lines_of(const Columns& columns, std::size_t layer) {
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

Series edges_over_time(const RunFolder& run, std::size_t layer, const std::string& column, double factor) {
    const auto lines = lines_of(run.edges, layer);
    if (lines.empty()) return {};
    Series series{{}, chosen(run.edges.at("epoch"), lines), chosen(run.edges.at(column), lines)};
    for (double& y : series.y) y *= factor;
    return series;
}

Series survival_of(const RunFolder& run, std::size_t layer) {
    const auto lines = lines_of(run.lifetimes, layer);
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

/// A single run's layers in one chart, or one chart a layer with all runs in it.
void add_by_layer(const std::vector<ReportedRun>& runs, const Chart& form,
                  const std::function<Series(const RunFolder&, std::size_t)>& series_of, std::vector<Chart>& charts) {
    std::size_t layers = 0;
    for (const ReportedRun& run : runs) layers = std::max(layers, run.folder.experiment.layers.size() - 1);
    const bool single = runs.size() == 1;
    Chart chart = form;
    for (std::size_t layer = 1; layer <= layers; ++layer) {
        for (std::size_t r = 0; r < runs.size(); ++r) {
            Series series = series_of(runs[r].folder, layer);
            if (series.x.empty()) continue;
            series.name = single ? "layer " + std::to_string(layer) : runs[r].folder.name;
            series.colour = single ? layer - 1 : r;
            chart.series.push_back(std::move(series));
        }
        if (chart.series.empty() || (single && layer < layers)) continue;
        if (!single) {
            chart.id += "-layer" + std::to_string(layer);
            chart.title += ", layer " + std::to_string(layer);
        }
        charts.push_back(std::move(chart));
        chart = form;
    }
}

struct Span {
    double low = std::numeric_limits<double>::infinity(), high = -low;
};

Span weight_span(const std::vector<ReportedRun>& runs, std::size_t layer) {
    Span span;
    for (const ReportedRun& run : runs) {
        if (!run.folder.network || layer >= run.folder.network->layers.size()) continue;
        for (const double weight : run.folder.network->layers[layer].weights) {
            span.low = std::min(span.low, weight);
            span.high = std::max(span.high, weight);
        }
    }
    return span;
}

/// Densities over `bins` equal bins.
Series weight_histogram(const std::vector<float>& weights, const Span& span, std::size_t bins) {
    Series series;
    series.mark = Mark::steps;
    series.y.assign(bins, 0.0);
    const double step = (span.high - span.low) / static_cast<double>(bins);
    for (std::size_t b = 0; b < bins; ++b) series.x.push_back(span.low + (static_cast<double>(b) + 0.5) * step);
    const double share = 1 / (step * static_cast<double>(weights.size()));
    for (const double weight : weights) {
        series.y[std::min(bins - 1, static_cast<std::size_t>((weight - span.low) / step))] += share;
    }
    return series;
}

/// Densities of a layer's recorded weights at the run's chosen moments, over the bins that were ever used.
Chart recorded_weight_chart(const RunFolder& run, std::size_t layer) {
    const WeightRecord& record = run.weights[layer];
    Chart chart{"weights-layer" + std::to_string(layer + 1),
                "Weights of layer " + std::to_string(layer + 1),
                {"weight", false, false},
                {"density", true, false},
                {},
                {}};
    const std::size_t bins = record.borders.size() - 1;
    std::size_t first = bins, last = 0;
    for (const auto& counts : record.counts) {
        for (std::size_t b = 0; b < bins; ++b) {
            if (counts[b] == 0) continue;
            first = std::min(first, b);
            last = std::max(last, b);
        }
    }
    const std::uint64_t end = std::min<std::uint64_t>(record.counts.size(), run.recorded.size() + 1) - 1;
    for (const std::uint64_t moment : evenly_spread(end)) {
        const auto& counts = record.counts[moment];
        double all = 0;
        for (const std::uint32_t count : counts) all += count;
        Series series{moment_name(run, moment),
                      {},
                      {},
                      0,
                      Mark::steps,
                      end > 0 ? static_cast<double>(moment) / static_cast<double>(end) : 1.0};
        for (std::size_t b = first; b <= last && all > 0; ++b) {
            const double width = record.borders[b + 1] - record.borders[b];
            series.x.push_back(0.5 * (record.borders[b] + record.borders[b + 1]));
            series.y.push_back(counts[b] / (all * width));
        }
        chart.series.push_back(std::move(series));
    }
    return chart;
}

std::vector<Chart> recorded_weight_charts(const RunFolder& run) {
    std::vector<Chart> charts;
    for (std::size_t layer = 0; layer < run.weights.size(); ++layer) {
        if (!run.weights[layer].counts.empty()) charts.push_back(recorded_weight_chart(run, layer));
    }
    return charts;
}

}  // namespace

std::vector<Chart> edge_charts(const std::vector<ReportedRun>& runs) {
    std::vector<Chart> charts;
    add_by_layer(runs,
                 {"survival", "Survival of edges", {"age in epochs", true, true}, {"share that reach it, %", true}},
                 survival_of, charts);
    add_by_layer(
        runs, {"edge-age", "Mean age of edges", {"epoch", false, true}, {"epochs"}},
        [](const RunFolder& run, std::size_t layer) { return edges_over_time(run, layer, "mean_age", 1); }, charts);
    add_by_layer(
        runs, {"from-birth", "Edges of the first topology still there", {"epoch", false, true}, {"share, %", true}},
        [](const RunFolder& run, std::size_t layer) { return edges_over_time(run, layer, "from_birth", 100); }, charts);
    add_by_layer(
        runs,
        {"ever-active", "Cells that ever held an edge", {"epoch", false, true}, {"share of the layer's cells, %"}},
        [](const RunFolder& run, std::size_t layer) { return edges_over_time(run, layer, "ever_active", 100); },
        charts);
    return charts;
}

std::vector<Chart> weight_charts(const std::vector<ReportedRun>& runs) {
    constexpr std::size_t bins = 80;
    if (runs.size() == 1 && !runs.front().folder.weights.empty()) return recorded_weight_charts(runs.front().folder);
    std::vector<Chart> charts;
    for (std::size_t layer = 0;; ++layer) {
        const Span span = weight_span(runs, layer);
        if (!(span.low < span.high)) break;
        Chart chart{"weights-layer" + std::to_string(layer + 1),
                    "Weights of layer " + std::to_string(layer + 1),
                    {"weight", false, false},
                    {"density", true, false},
                    {},
                    {}};
        for (std::size_t r = 0; r < runs.size(); ++r) {
            const auto& network = runs[r].folder.network;
            if (!network || layer >= network->layers.size() || network->layers[layer].weights.empty()) continue;
            Series series = weight_histogram(network->layers[layer].weights, span, bins);
            series.name = runs[r].folder.name;
            series.colour = r;
            series.in_legend = runs.size() > 1;
            chart.series.push_back(std::move(series));
        }
        charts.push_back(std::move(chart));
    }
    return charts;
}

}  // namespace espalier
