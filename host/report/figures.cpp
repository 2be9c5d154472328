#include "host/report/figures.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <tuple>
#include <utility>

namespace espalier {
namespace {

bool has_map(const ReportedRun& run) { return !run.contrasts.empty(); }

std::vector<double> moment_epochs(const RunFolder& run) {
    std::vector<double> epochs;
    for (std::uint64_t moment = 0; moment < run.connections()->moments(); ++moment) {
        epochs.push_back(run.epoch_of(moment));
    }
    return epochs;
}

/// Sides of the squares of a trend curve.
std::vector<double> square_sides(const ImageShape& image, std::size_t squares) {
    std::vector<double> sides;
    const bool even = std::max(image.height, image.width) % 2 == 0;
    for (std::size_t i = 0; i < squares; ++i) sides.push_back(static_cast<double>(2 * i + (even ? 2 : 1)));
    return sides;
}

/// One column of the history per run; with `other`, a second one dashed ("train" beside "test").
Chart history_chart(const std::vector<ReportedRun>& runs, Chart chart, const std::string& column,
                    const std::string& name, double factor, const std::string& other, const std::string& other_name) {
    chart.x = {"epoch", false, true};
    const bool single = runs.size() == 1;
    for (std::size_t r = 0; r < runs.size(); ++r) {
        const auto& history = runs[r].folder.history;
        for (const bool second : {false, true}) {
            const auto found = history.find(second ? other : column);
            if (found == history.end() || found->second.empty()) continue;
            Series series{single ? (second ? other_name : name) : runs[r].folder.name, history.at("epoch"),
                          found->second};
            for (double& y : series.y) y *= factor;
            series.colour = single && second ? 1 : r;
            series.mark = second ? Mark::dashed : Mark::line;
            series.in_legend = single || !second;
            if (!single && second) series.name += ", " + other_name;
            chart.series.push_back(std::move(series));
        }
    }
    if (!single) chart.title += ": " + name + " solid, " + other_name + " dashed";
    return chart;
}

Chart trend_chart(const ReportedRun& run, bool rings) {
    Chart chart;
    chart.id = (rings ? "rings-" : "trend-") + run.slug;
    chart.title = rings ? "Rings" : "Trend curve";
    chart.x = {rings ? "outer side of the ring" : "side of the centred square", false, true};
    chart.y = {"mean edges per pixel", false, false};
    const RunFolder& folder = run.folder;
    const auto last = static_cast<double>(folder.connections()->moments() - 1);
    for (const std::uint64_t moment : chosen_moments(folder)) {
        const PixelMap map = folder.map_at(moment);
        Series series{moment_name(folder, moment), {}, rings ? ring_curve(map) : trend_curve(map)};
        series.x = square_sides(folder.image, series.y.size());
        series.shade = last > 0 ? static_cast<double>(moment) / last : 1;
        chart.series.push_back(std::move(series));
    }
    chart.reference = mean(folder.map_at(0));
    return chart;
}

/// Correlation of the map with the data's pixels per epoch: with their variance and, for a single run, their mean.
Chart correlation_chart(const std::vector<ReportedRun>& runs) {
    Chart chart{"correlation", "Correlation with the data's variance", {"epoch", false, true}, {"Pearson's r"}};
    chart.reference = 0;
    const bool single = runs.size() == 1;
    if (single) chart.title = "Correlation with the data";
    for (std::size_t r = 0; r < runs.size(); ++r) {
        const ReportedRun& run = runs[r];
        if (run.with_variances.empty()) continue;
        const std::string name = single ? "variance of the pixel" : run.folder.name;
        chart.series.push_back({name, moment_epochs(run.folder), run.with_variances, r});
        if (single) {
            chart.series.push_back({"mean of the pixel", moment_epochs(run.folder), run.with_means, 1, Mark::dashed});
        }
    }
    return chart;
}

/// The last trend curves or rings of all runs.
Chart side_by_side(const std::vector<ReportedRun>& runs, bool rings) {
    Chart chart;
    chart.id = rings ? "rings" : "trend";
    chart.title = rings ? "Rings after the last epoch" : "Trend curves after the last epoch";
    chart.x = {rings ? "outer side of the ring" : "side of the centred square", false, true};
    chart.y = {"edges per pixel over the mean", false, false};
    chart.reference = 1;
    for (std::size_t r = 0; r < runs.size(); ++r) {
        if (!has_map(runs[r])) continue;
        const RunFolder& folder = runs[r].folder;
        const PixelMap map = folder.map_at(folder.connections()->moments() - 1);
        Series series{folder.name, {}, rings ? ring_curve(map) : trend_curve(map), r};
        for (double& y : series.y) y /= mean(map);
        series.x = square_sides(folder.image, series.y.size());
        chart.series.push_back(std::move(series));
    }
    return chart;
}

/// Share of neurons at every degree that occurs, from 1 on.
void add_distribution(Chart& chart, std::string name, const std::vector<EdgeIndex>& degrees, std::size_t colour,
                      std::optional<double> shade) {
    Series series{std::move(name), {}, {}, colour, Mark::points, shade};
    const auto distribution = degree_distribution(degrees);
    for (std::size_t k = 1; k < distribution.size(); ++k) {
        if (distribution[k] == 0) continue;
        series.x.push_back(static_cast<double>(k));
        series.y.push_back(static_cast<double>(distribution[k]) / static_cast<double>(degrees.size()));
    }
    chart.series.push_back(std::move(series));
}

void add_law(Chart& chart, const std::string& name, const DegreeFit& fit, const DegreeRecord& record,
             std::size_t colour, double largest) {
    if (!fit.law.found()) return;
    Series series{name + ", power law", {}, {}, colour, Mark::dashed};
    series.in_legend = false;
    const double share = static_cast<double>(fit.law.tail) / record.neurons;
    const auto end = static_cast<std::uint64_t>(largest);
    const std::uint64_t step = std::max<std::uint64_t>(1, (end - fit.law.smallest) / 100);
    for (std::uint64_t k = fit.law.smallest; k <= end; k += step) {
        series.x.push_back(static_cast<double>(k));
        series.y.push_back(share * probability(fit.law, k));
    }
    chart.series.push_back(std::move(series));
}

}  // namespace

void compute_statistics(ReportedRun& run) {
    const RunFolder& folder = run.folder;
    if (folder.connections() != nullptr) {
        const std::uint64_t moments = folder.connections()->moments();
        for (std::uint64_t moment = 0; moment < moments; ++moment) {
            const PixelMap map = folder.map_at(moment);
            run.contrasts.push_back(contrast(map));
            if (!folder.pixels) continue;
            run.with_variances.push_back(correlation(map, folder.pixels->variance_map()));
            run.with_means.push_back(correlation(map, folder.pixels->mean_map()));
        }
        run.sign = sign_test(folder.map_at(moments - 1));
    }
    for (const DegreeRecord& record : folder.degrees) {
        const auto distribution = degree_distribution(record.at(record.moments() - 1));
        DegreeFit fit{record.layer, record.inputs, static_cast<double>(distribution[0]) / record.neurons,
                      fit_power_law(distribution), 0};
        fit.p_value = power_law_p_value(distribution, fit.law, report_bootstraps);
        run.fits.push_back(fit);
    }
}

std::string moment_name(const RunFolder& run, std::uint64_t moment) {
    return moment == 0 ? "birth" : "epoch " + rounded(run.epoch_of(moment), 9);
}

std::vector<std::uint64_t> evenly_spread(std::uint64_t last) {
    constexpr std::uint64_t parts = 5;
    std::set<std::uint64_t> moments;
    for (std::uint64_t part = 0; part <= parts; ++part) moments.insert((part * last + parts / 2) / parts);
    return {moments.begin(), moments.end()};
}

std::vector<std::uint64_t> chosen_moments(const RunFolder& run) {
    return evenly_spread(run.connections()->moments() - 1);
}

std::vector<Chart> learning_charts(const std::vector<ReportedRun>& runs) {
    std::vector<Chart> charts;
    charts.push_back(history_chart(runs, {"loss", "Loss", {}, {"loss", true, false}, {}, {}}, "test_loss", "test", 1,
                                   "train_loss", "train"));
    charts.push_back(history_chart(runs, {"accuracy", "Accuracy", {}, {"accuracy, %", false, false}, {}, {}},
                                   "test_accuracy", "test", 100, "train_accuracy", "train"));
    charts.push_back(history_chart(runs,
                                   {"confidence", "Test confidence", {}, {"mean confidence, %", false, false}, {}, {}},
                                   "test_confidence", "all", 100, "test_wrong_confidence", "wrong ones"));
    charts.push_back(history_chart(runs, {"replaced", "Edges replaced", {}, {"edges per epoch", false, false}, {}, {}},
                                   "replaced_positive", "positive", 1, "replaced_negative", "negative"));
    std::erase_if(charts, [](const Chart& chart) { return chart.series.empty(); });
    return charts;
}

std::vector<Chart> topology_charts(const std::vector<ReportedRun>& runs) {
    Chart contrasts{
        "contrast", "Contrast of the centre", {"epoch", false, true}, {"centre over mean, minus 1", false, false}, {},
        0.0};
    for (std::size_t r = 0; r < runs.size(); ++r) {
        if (has_map(runs[r])) {
            contrasts.series.push_back({runs[r].folder.name, moment_epochs(runs[r].folder), runs[r].contrasts, r});
        }
    }
    if (contrasts.series.empty()) return {};
    contrasts.series.front().in_legend = runs.size() > 1;
    std::vector<Chart> charts{std::move(contrasts)};
    if (Chart correlations = correlation_chart(runs); !correlations.series.empty()) {
        charts.push_back(std::move(correlations));
    }
    if (runs.size() == 1) return charts;
    charts.push_back(side_by_side(runs, false));
    charts.push_back(side_by_side(runs, true));
    return charts;
}

std::vector<Chart> map_charts(const ReportedRun& run) {
    if (!has_map(run)) return {};
    return {trend_chart(run, false), trend_chart(run, true)};
}

std::vector<Chart> degree_charts(const std::vector<ReportedRun>& runs) {
    std::map<std::pair<std::size_t, bool>, Chart> charts;  // by layer, outputs
    for (std::size_t r = 0; r < runs.size(); ++r) {
        const RunFolder& folder = runs[r].folder;
        for (std::size_t d = 0; d < runs[r].fits.size(); ++d) {
            const DegreeRecord& record = folder.degrees[d];
            const std::string side = record.inputs ? "inputs" : "outputs";
            const std::string layer = std::to_string(record.layer);
            Chart& chart = charts[{record.layer, !record.inputs}];
            chart.id = "degrees-layer" + layer + "-" + side;
            chart.title = "Layer " + layer + ", " + side;
            chart.x = {"edges per neuron", true, true};
            chart.y = {"share of neurons", true, false};
            const auto last = record.at(record.moments() - 1);
            if (runs.size() == 1) add_distribution(chart, "birth", record.at(0), 1, std::nullopt);
            add_distribution(chart, runs.size() == 1 ? "last epoch" : folder.name, last, r, std::nullopt);
            add_law(chart, folder.name, runs[r].fits[d], record, r,
                    last.empty() ? 0 : *std::max_element(last.begin(), last.end()));
        }
    }
    std::vector<Chart> ordered;
    for (auto& [place, chart] : charts) ordered.push_back(std::move(chart));
    return ordered;
}

}  // namespace espalier
