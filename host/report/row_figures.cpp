// Charts that set the rows of a report side by side.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "host/report/rows.hpp"

namespace espalier {
namespace {

using SeriesOf = std::function<Series(const ReportedRun&)>;

/// Mean over the runs of a row at every x that all of them have, with the 95 % interval over the seeds.
Series mean_series(const ReportRows& rows, std::size_t r, Mark mark, bool with_band, const SeriesOf& of) {
    std::map<double, std::vector<double>> values;
    std::size_t runs = 0;
    for (const ReportedRun* run : rows.rows[r].runs) {
        const Series one = of(*run);
        runs += one.x.empty() ? 0 : 1;
        for (std::size_t i = 0; i < std::min(one.x.size(), one.y.size()); ++i) values[one.x[i]].push_back(one.y[i]);
    }
    Series series = rows.series(r, mark);
    for (const auto& [x, all] : values) {
        if (all.size() < runs) continue;
        const MeanInterval interval = mean_interval(all);
        series.x.push_back(x);
        series.y.push_back(interval.mean);
        if (!with_band || runs < 2) continue;
        series.low.push_back(interval.low());
        series.high.push_back(interval.high());
    }
    return series;
}

Series history_of(const ReportedRun& run, const std::string& column, const std::function<double(double)>& value) {
    const auto found = run.folder.history.find(column);
    if (found == run.folder.history.end()) return {};
    Series series{{}, run.folder.history.at("epoch"), found->second};
    for (double& y : series.y) y = value(y);
    return series;
}

/// A line a row; with `other` a dashed one too.
void add_rows(const ReportRows& rows, Chart chart, const SeriesOf& of, const SeriesOf& other,
              const std::string& other_name, std::vector<Chart>& charts) {
    chart.legend = Legend::shared;
    for (std::size_t r = 0; r < rows.rows.size(); ++r) {
        Series series = mean_series(rows, r, Mark::line, true, of);
        if (!series.x.empty()) chart.series.push_back(std::move(series));
        if (!other) continue;
        Series second = mean_series(rows, r, Mark::dashed, false, other);
        second.name += ", " + other_name;
        second.in_legend = false;
        if (!second.x.empty()) chart.series.push_back(std::move(second));
    }
    if (!chart.series.empty()) charts.push_back(std::move(chart));
}

/// The event that all runs share.
std::optional<Event> common_event(const ReportRows& rows) {
    std::optional<Event> common;
    for (const ReportRow& row : rows.rows) {
        for (const ReportedRun* run : row.runs) {
            const std::optional<Event> event = last_epoch_event(run->folder);
            if (!event || (common && (common->x != event->x || common->text != event->text))) return std::nullopt;
            common = event;
        }
    }
    return common;
}

bool any_accuracy_near_one(const ReportRows& rows) {
    return std::any_of(rows.rows.begin(), rows.rows.end(),
                       [](const ReportRow& row) { return shows_errors(row.values("test_accuracy")); });
}

double same(double value) { return value; }
double percent_of(double share) { return 100 * share; }
double error_of(double accuracy) { return 100 * (1 - accuracy); }

/// Puts a value on the chart: against the axis, or beside the row's name.
void put(const ReportRows& rows, std::size_t r, double value, double low, double high, Series& series) {
    const bool along_axis = !rows.axis.empty();
    series.along_x = !along_axis;
    series.x.push_back(along_axis ? *rows.rows[r].place : value);
    series.y.push_back(along_axis ? value : static_cast<double>(r));
    if (std::isnan(low)) return;
    series.low.push_back(low);
    series.high.push_back(high);
}

/// A dot with its interval for every row, a small point for every run, a diamond for what was published.
Chart dot_chart(const ReportRows& rows, Chart chart, const std::string& figure,
                const std::function<double(double)>& value) {
    const Axis values = chart.y;
    if (!rows.axis.empty()) {
        chart.x = {rows.axis, rows.logarithmic_axis, false, rows.zero_at};
    } else {
        chart.x = values;
        chart.y = {};
        for (const ReportRow& row : rows.rows) chart.y.names.push_back(row.name);
    }
    chart.legend = Legend::shared;
    Series known{"published", {}, {}, neutral_colour, Mark::diamonds};
    const double none = std::nan("");
    for (std::size_t r = 0; r < rows.rows.size(); ++r) {
        const std::vector<double> all = rows.rows[r].values(figure);
        if (all.empty()) continue;
        Series each = rows.series(r, Mark::points), mean = rows.series(r, Mark::dots);
        each.name += ", single runs";
        each.in_legend = false;
        std::vector<double> shown;
        for (const double one : all) shown.push_back(value(one));
        if (shown.size() > 1) {
            for (const double one : shown) put(rows, r, one, none, none, each);
            chart.series.push_back(std::move(each));
        }
        const MeanInterval interval = mean_interval(shown);
        const bool interval_known = interval.count > 1;
        put(rows, r, interval.mean, interval_known ? interval.low() : none, interval.high(), mean);
        chart.series.push_back(std::move(mean));
        const Published* published = rows.rows[r].published;
        if (published == nullptr || !published->figures.contains(figure)) continue;
        put(rows, r, value(published->figures.at(figure)), none, none, known);
    }
    if (!known.x.empty()) chart.series.push_back(std::move(known));
    return chart;
}

/// Pooled over the runs of a row: every neuron, every weight counts once.
Chart pooled_degrees(const ReportRows& rows, std::size_t layer, bool inputs) {
    Chart chart;
    const std::string side = inputs ? "inputs" : "outputs";
    chart.id = "degrees-layer" + std::to_string(layer) + "-" + side;
    chart.title = "Degrees of layer " + std::to_string(layer) + ", " + side + ", last epoch";
    chart.x = {"edges per neuron", true, true};
    chart.y = {"share of neurons", true, false};
    chart.legend = Legend::shared;
    for (std::size_t r = 0; r < rows.rows.size(); ++r) {
        std::vector<EdgeIndex> degrees;
        for (const ReportedRun* run : rows.rows[r].runs) {
            for (const DegreeRecord& record : run->folder.degrees) {
                if (record.layer != layer || record.inputs != inputs) continue;
                const auto last = record.at(record.moments() - 1);
                degrees.insert(degrees.end(), last.begin(), last.end());
            }
        }
        Series series = rows.series(r, Mark::points);
        const auto distribution = degree_distribution(degrees);
        for (std::size_t k = 1; k < distribution.size(); ++k) {
            if (distribution[k] == 0) continue;
            series.x.push_back(static_cast<double>(k));
            series.y.push_back(static_cast<double>(distribution[k]) / static_cast<double>(degrees.size()));
        }
        if (!series.x.empty()) chart.series.push_back(std::move(series));
    }
    return chart;
}

Chart pooled_weights(const ReportRows& rows, std::size_t layer) {
    Chart chart{"weights-layer" + std::to_string(layer + 1),
                "Weights of layer " + std::to_string(layer + 1) + ", last epoch", {"weight"}, {"density", true, false}};
    chart.legend = Legend::shared;
    std::vector<std::vector<float>> weights(rows.rows.size());
    std::vector<float> all;
    for (std::size_t r = 0; r < rows.rows.size(); ++r) {
        for (const ReportedRun* run : rows.rows[r].runs) {
            if (!run->folder.network || layer >= run->folder.network->layers.size()) continue;
            const auto& more = run->folder.network->layers[layer].weights;
            weights[r].insert(weights[r].end(), more.begin(), more.end());
            all.insert(all.end(), more.begin(), more.end());
        }
    }
    const WeightRange range = weight_range(std::move(all));
    if (!(range.low < range.high)) return chart;
    for (std::size_t r = 0; r < rows.rows.size(); ++r) {
        if (weights[r].empty()) continue;
        Series series = weight_histogram(weights[r], range);
        const Series look = rows.series(r);
        series.name = look.name, series.colour = look.colour, series.shade = look.shade;
        chart.series.push_back(std::move(series));
    }
    chart.note = overflow_note(range.below, range.above);
    return chart;
}

std::size_t most_layers(const ReportRows& rows) {
    std::size_t layers = 0;
    for (const ReportRow& row : rows.rows) layers = std::max(layers, row.runs.front()->folder.experiment.layers.size() - 1);
    return layers;
}

/// The last trend curves or rings over the map's mean.
Series last_curve(const ReportedRun& run, bool rings) {
    if (run.contrasts.empty()) return {};
    const PixelMap map = run.folder.map_at(run.folder.connections()->moments() - 1);
    Series series{{}, {}, rings ? ring_curve(map) : trend_curve(map)};
    for (double& y : series.y) y /= mean(map);
    series.x = square_sides(run.folder.image, series.y.size());
    return series;
}

void add_lifetimes(const ReportRows& rows, std::vector<Chart>& charts) {
    const std::optional<Event> event = common_event(rows);
    for (std::size_t layer = 1; layer <= most_layers(rows); ++layer) {
        const std::string of = ", layer " + std::to_string(layer), id = "-layer" + std::to_string(layer);
        add_rows(rows, {"survival" + id, "Survival of edges" + of, {"age in epochs", true, true}, {"share that reach it, %", true}},
                 [&](const ReportedRun& run) { return survival_of(run.folder, layer); }, {}, {}, charts);
        const auto over_time = [&](const std::string& name, const std::string& title, const Axis& y,
                                   const std::string& column, double factor) {
            Chart chart{name + id, title + of, {"epoch", false, true}, y};
            chart.event = event;
            add_rows(rows, std::move(chart),
                     [&](const ReportedRun& run) { return edges_over_time(run.folder, layer, column, factor); }, {}, {},
                     charts);
        };
        over_time("edge-age", "Mean age of edges", {"epochs"}, "mean_age", 1);
        over_time("from-birth", "Edges of the first topology still there", {"share, %", true}, "from_birth", 100);
        over_time("ever-active", "Cells that ever held an edge", {"share of the layer's cells, %"}, "ever_active", 100);
    }
}

}  // namespace

std::vector<Chart> answer_charts(const ReportRows& rows) {
    std::vector<Chart> charts;
    Chart contrasts{"contrast-by-row", "Contrast of the centre", {}, {"centre over mean of all, minus 1"}};
    contrasts.reference = 0;
    charts.push_back(dot_chart(rows, std::move(contrasts), "contrast", same));
    const bool errors = any_accuracy_near_one(rows);
    charts.push_back(dot_chart(rows,
                               errors ? Chart{"error-by-row", "Test error", {}, {"wrong predictions, %", true}}
                                      : Chart{"accuracy-by-row", "Test accuracy", {}, {"right predictions, %"}},
                               "test_accuracy", errors ? error_of : percent_of));
    charts.push_back(dot_chart(rows, {"r2-by-row", "Test R²", {}, {"share of the targets' variance explained"}}, "test_r2",
                               same));
    std::erase_if(charts, [](const Chart& chart) { return chart.series.empty(); });
    return charts;
}

std::vector<Chart> row_curves(const ReportRows& rows) {
    const bool errors = any_accuracy_near_one(rows);
    const auto value = errors ? error_of : percent_of;
    std::vector<Chart> charts;
    Chart contrasts{"contrast", "Contrast of the centre", {"epoch", false, true}, {"centre over mean of all, minus 1"}};
    contrasts.reference = 0;
    contrasts.event = common_event(rows);
    add_rows(rows, std::move(contrasts),
             [](const ReportedRun& run) {
                 return run.contrasts.empty() ? Series{} : Series{{}, moment_epochs(run.folder), run.contrasts};
             },
             {}, {}, charts);
    add_rows(rows, {"loss", "Loss: test, dashed train", {"epoch", false, true}, {"loss", true}},
             [](const ReportedRun& run) { return history_of(run, "test_loss", same); },
             [](const ReportedRun& run) { return history_of(run, "train_loss", same); }, "train", charts);
    add_rows(rows,
             errors ? Chart{"error", "Error rate: test, dashed train", {"epoch", false, true}, {"wrong predictions, %", true}}
                    : Chart{"accuracy", "Accuracy: test, dashed train", {"epoch", false, true}, {"right predictions, %"}},
             [&](const ReportedRun& run) { return history_of(run, "test_accuracy", value); },
             [&](const ReportedRun& run) { return history_of(run, "train_accuracy", value); }, "train", charts);
    add_rows(rows, {"r2", "R²: test, dashed train", {"epoch", false, true}, {"share of the targets' variance explained"}},
             [](const ReportedRun& run) { return history_of(run, "test_r2", same); },
             [](const ReportedRun& run) { return history_of(run, "train_r2", same); }, "train", charts);
    add_rows(rows, {"rmse", "Root mean squared error: test", {"epoch", false, true}, {"in the target's units", true}},
             [](const ReportedRun& run) { return history_of(run, "test_rmse", same); }, {}, {}, charts);
    return charts;
}

std::vector<Chart> more_row_curves(const ReportRows& rows) {
    std::vector<Chart> charts;
    add_rows(rows, {"confidence", "Confidence in test predictions: all, dashed wrong ones", {"epoch", false, true}, {"mean confidence, %"}},
             [](const ReportedRun& run) { return history_of(run, "test_confidence", percent_of); },
             [](const ReportedRun& run) { return history_of(run, "test_wrong_confidence", percent_of); }, "wrong ones",
             charts);
    Chart replaced{"replaced", "Edges replaced of weight above 0, dashed below 0", {"epoch", false, true}, {"edges"}};
    replaced.event = common_event(rows);
    add_rows(rows, std::move(replaced),
             [](const ReportedRun& run) { return history_of(run, "replaced_positive", same); },
             [](const ReportedRun& run) { return history_of(run, "replaced_negative", same); }, "below 0", charts);
    Chart correlations{"correlation", "Correlation with the variance of the data's pixels", {"epoch", false, true}, {"Pearson's r"}};
    correlations.reference = 0;
    add_rows(rows, std::move(correlations),
             [](const ReportedRun& run) {
                 return run.with_variances.empty() ? Series{} : Series{{}, moment_epochs(run.folder), run.with_variances};
             },
             {}, {}, charts);
    for (const bool rings : {false, true}) {
        Chart chart{rings ? "rings" : "trend", rings ? "Rings after the last epoch" : "Trend curves after the last epoch",
                    {rings ? "outer side of the ring, pixels" : "side of the centred square, pixels", false, true},
                    {"edges per pixel over the mean"}};
        chart.reference = 1;
        add_rows(rows, std::move(chart), [&](const ReportedRun& run) { return last_curve(run, rings); }, {}, {}, charts);
    }
    add_lifetimes(rows, charts);
    for (std::size_t layer = 1; layer <= most_layers(rows); ++layer) {
        for (const bool inputs : {true, false}) {
            Chart chart = pooled_degrees(rows, layer, inputs);
            if (!chart.series.empty()) charts.push_back(std::move(chart));
        }
        Chart chart = pooled_weights(rows, layer - 1);
        if (!chart.series.empty()) charts.push_back(std::move(chart));
    }
    return charts;
}

}  // namespace espalier
