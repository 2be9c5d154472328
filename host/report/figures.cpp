#include "host/report/figures.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

namespace espalier {
namespace {

/// One column of the history, and a second one dashed ("train" beside "test").
Chart history_chart(const RunFolder& run, Chart chart, const std::string& column, const std::string& name,
                    const std::string& other, const std::string& other_name, double (*value)(double)) {
    chart.x = {"epoch", false, true};
    for (const bool second : {false, true}) {
        const auto found = run.history.find(second ? other : column);
        if (found == run.history.end() || found->second.empty()) continue;
        Series series{second ? other_name : name, run.history.at("epoch"), found->second, second ? 1U : 0U,
                      second ? Mark::dashed : Mark::line};
        for (double& y : series.y) y = value(y);
        chart.series.push_back(std::move(series));
    }
    return chart;
}

double as_is(double value) { return value; }
double as_percent(double share) { return 100 * share; }
double as_error(double accuracy) { return 100 * (1 - accuracy); }

Chart trend_chart(const ReportedRun& run, bool rings) {
    Chart chart;
    chart.id = (rings ? "rings-" : "trend-") + run.slug;
    chart.title = rings ? "Rings" : "Trend curve";
    chart.x = {rings ? "outer side of the ring, pixels" : "side of the centred square, pixels", false, true};
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

/// Share of neurons at every degree that occurs, from 1 on.
Series degree_shares(std::string name, const std::vector<EdgeIndex>& degrees, std::size_t colour) {
    Series series{std::move(name), {}, {}, colour, Mark::points};
    const auto distribution = degree_distribution(degrees);
    for (std::size_t k = 1; k < distribution.size(); ++k) {
        if (distribution[k] == 0) continue;
        series.x.push_back(static_cast<double>(k));
        series.y.push_back(static_cast<double>(distribution[k]) / static_cast<double>(degrees.size()));
    }
    return series;
}

Series law_curve(const DegreeFit& fit, const DegreeRecord& record, double largest) {
    Series series{"power law", {}, {}, 2, Mark::dashed};
    const double share = static_cast<double>(fit.law.tail) / record.neurons;
    const auto end = static_cast<std::uint64_t>(largest);
    const std::uint64_t step = std::max<std::uint64_t>(1, (end - fit.law.smallest) / 100);
    for (std::uint64_t k = fit.law.smallest; k <= end; k += step) {
        series.x.push_back(static_cast<double>(k));
        series.y.push_back(share * probability(fit.law, k));
    }
    return series;
}

}  // namespace

void compute_statistics(ReportedRun& run, bool with_fits) {
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
    if (!with_fits) return;
    for (const DegreeRecord& record : folder.degrees) {
        const auto distribution = degree_distribution(record.at(record.moments() - 1));
        DegreeFit fit;
        fit.layer = record.layer;
        fit.inputs = record.inputs;
        fit.without_edges = static_cast<double>(distribution[0]) / record.neurons;
        fit.law = fit_power_law(distribution, least_tail);
        fit.p_value = power_law_p_value(distribution, fit.law, report_bootstraps, 1, least_tail);
        fit.poisson = against_poisson(distribution, fit.law);
        fit.log_normal = against_log_normal(distribution, fit.law);
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

std::vector<double> moment_epochs(const RunFolder& run) {
    std::vector<double> epochs;
    for (std::uint64_t moment = 0; moment < run.connections()->moments(); ++moment) {
        epochs.push_back(run.epoch_of(moment));
    }
    return epochs;
}

std::vector<double> square_sides(const ImageShape& image, std::size_t squares) {
    std::vector<double> sides;
    const bool even = std::max(image.height, image.width) % 2 == 0;
    for (std::size_t i = 0; i < squares; ++i) sides.push_back(static_cast<double>(2 * i + (even ? 2 : 1)));
    return sides;
}

std::optional<Event> last_epoch_event(const RunFolder& run) {
    const Experiment& experiment = run.experiment;
    const bool prunes_only = experiment.last_epoch == LastEpoch::zero || experiment.last_epoch == LastEpoch::remove;
    const bool evolves = experiment.topology == TopologyKind::set && run.connections() != nullptr;
    if (!prunes_only || !evolves || run.last("epoch") != experiment.epochs || run.epochs() < 2) return std::nullopt;
    return Event{run.last("epoch"), experiment.last_epoch == LastEpoch::zero ? "pruned to weight 0, none regrown"
                                                                             : "pruned, none regrown"};
}

bool shows_errors(const std::vector<double>& accuracies) {
    constexpr double near_one = 0.95;
    return std::any_of(accuracies.begin(), accuracies.end(), [](double accuracy) { return accuracy >= near_one; });
}

std::vector<Chart> learning_charts(const ReportedRun& run) {
    const RunFolder& folder = run.folder;
    const bool errors = !folder.is_regression() && shows_errors(folder.history.at("test_accuracy"));
    std::vector<Chart> charts;
    charts.push_back(history_chart(folder, {"loss", "Loss", {}, {"loss", true, false}}, "test_loss", "test",
                                   "train_loss", "train", as_is));
    charts.push_back(history_chart(
        folder,
        errors ? Chart{"error", "Error rate", {}, {"wrong predictions, %", true}}
               : Chart{"accuracy", "Accuracy", {}, {"right predictions, %"}},
        "test_accuracy", "test", "train_accuracy", "train", errors ? as_error : as_percent));
    charts.push_back(history_chart(folder, {"r2", "R²: share of the targets' variance explained", {}, {"R²"}}, "test_r2",
                                   "test", "train_r2", "train", as_is));
    charts.push_back(history_chart(folder, {"rmse", "Root mean squared error", {}, {"in the target's units", true}},
                                   "test_rmse", "test", "validation_rmse", "validation", as_is));
    charts.push_back(history_chart(folder, {"confidence", "Confidence in test predictions", {}, {"mean confidence, %"}},
                                   "test_confidence", "all", "test_wrong_confidence", "wrong ones", as_percent));
    charts.push_back(history_chart(folder, {"replaced", "Edges replaced, by the sign of their weight", {}, {"edges"}},
                                   "replaced_positive", "weight above 0", "replaced_negative", "weight below 0",
                                   as_is));
    charts.back().event = last_epoch_event(folder);
    std::erase_if(charts, [](const Chart& chart) { return chart.series.empty(); });
    return charts;
}

std::vector<Chart> topology_charts(const ReportedRun& run) {
    if (run.contrasts.empty()) return {};
    const std::vector<double> epochs = moment_epochs(run.folder);
    Chart contrasts{"contrast", "Contrast of the centre", {"epoch", false, true}, {"centre over mean of all, minus 1"}};
    contrasts.reference = 0;
    contrasts.event = last_epoch_event(run.folder);
    contrasts.series.push_back({run.folder.name, epochs, run.contrasts});
    std::vector<Chart> charts{std::move(contrasts)};
    if (run.with_variances.empty()) return charts;
    Chart correlations{"correlation", "Correlation with the data's pixels", {"epoch", false, true}, {"Pearson's r"}};
    correlations.reference = 0;
    correlations.series.push_back({"with their variance", epochs, run.with_variances});
    correlations.series.push_back({"with their mean", epochs, run.with_means, 1, Mark::dashed});
    charts.push_back(std::move(correlations));
    return charts;
}

std::vector<Chart> map_charts(const ReportedRun& run) {
    if (run.contrasts.empty()) return {};
    return {trend_chart(run, false), trend_chart(run, true)};
}

std::vector<Chart> degree_charts(const ReportedRun& run) {
    std::map<std::pair<std::size_t, bool>, Chart> charts;  // by layer, outputs
    for (std::size_t d = 0; d < run.fits.size(); ++d) {
        const DegreeRecord& record = run.folder.degrees[d];
        const DegreeFit& fit = run.fits[d];
        const std::string side = record.inputs ? "inputs" : "outputs";
        Chart& chart = charts[{record.layer, !record.inputs}];
        chart.id = "degrees-layer" + std::to_string(record.layer) + "-" + side;
        chart.title = "Degrees of layer " + std::to_string(record.layer) + ", " + side;
        chart.x = {"edges per neuron", true, true};
        chart.y = {"share of neurons", true, false};
        const auto last = record.at(record.moments() - 1);
        chart.series.push_back(degree_shares("birth", record.at(0), 1));
        chart.series.push_back(degree_shares("last epoch", last, 0));
        if (fit.law.found()) {
            chart.series.push_back(law_curve(fit, record, *std::max_element(last.begin(), last.end())));
        } else {
            chart.note = "No power law: no tail of " + std::to_string(least_tail) + " neurons or more to fit.";
        }
    }
    std::vector<Chart> ordered;
    for (auto& [place, chart] : charts) ordered.push_back(std::move(chart));
    return ordered;
}

}  // namespace espalier
