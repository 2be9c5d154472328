#include "host/report/tables.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>

#include "espalier/rule.hpp"
#include "host/formats/real_text.hpp"
#include "host/options/option_table.hpp"

namespace espalier {
namespace {

std::string fixed(double value, int digits) {
    if (!std::isfinite(value)) return std::isnan(value) ? "–" : "∞";
    char text[64];
    std::snprintf(text, sizeof text, "%.*f", digits, value);
    return text;
}

std::string with_sign(double value, int digits) {
    return (value > 0 && std::isfinite(value) ? "+" : "") + fixed(value, digits);
}

std::string p_text(double p) { return std::isnan(p) ? "–" : p < 0.001 ? "< 0.001" : fixed(p, 3); }

std::string swatch(const Series& look) {
    return "<span class=\"swatch " + colour_class(look) + "\"" + shade_style(look, "color") + "></span>";
}

std::string marked(Learning learning) {
    return std::string("<span class=\"") + name(learning) + "\">" + name(learning) + "</span>";
}

std::string option_text(const Experiment& experiment, const std::string& name) {
    for (const ExperimentOption& option : experiment_options()) {
        if (option.name == name) return option.get(experiment);
    }
    return {};
}

/// A cell of both forms: in full for the file, as shown on the page.
struct TableCell {
    std::string file;
    std::string page;
};

TableCell word(const std::string& text) { return {text, escaped(text)}; }
TableCell number(double value, int digits, double factor = 1) {
    return {real_text(value), fixed(factor * value, digits)};
}
TableCell signed_number(double value, int digits) { return {real_text(value), with_sign(value, digits)}; }
TableCell signed_number(const std::optional<double>& value, int digits) {
    return value ? signed_number(*value, digits) : TableCell{"", "–"};
}
std::optional<double> last_of(const std::vector<double>& values) {
    return values.empty() ? std::nullopt : std::optional(values.back());
}
TableCell judgement(const std::optional<Learning>& learning) {
    return learning ? TableCell{name(*learning), marked(*learning)} : TableCell{"", "–"};
}
/// With the colour of the run's row, where there are several.
TableCell run_name(const ReportedRun& run, const ReportRows& all) {
    std::string mark;
    for (std::size_t r = 0; all.rows.size() > 1 && r < all.rows.size(); ++r) {
        const auto& runs = all.rows[r].runs;
        if (std::find(runs.begin(), runs.end(), &run) != runs.end()) mark = swatch(all.series(r));
    }
    return {run.folder.name, mark + escaped(run.folder.name)};
}

void add_row(Table& table, const std::vector<TableCell>& cells) {
    table.rows.emplace_back();
    table.html_rows.emplace_back();
    for (const TableCell& cell : cells) {
        table.rows.back().push_back(cell.file);
        table.html_rows.back().push_back(cell.page);
    }
}

/// Mean over the seeds and the half width of its interval.
std::array<TableCell, 2> interval_cells(const std::vector<double>& values, int digits, double factor = 1) {
    if (values.empty()) return {TableCell{"", "–"}, TableCell{"", ""}};
    const MeanInterval interval = mean_interval(values);
    return {number(interval.mean, digits, factor),
            interval.count > 1
                ? TableCell{real_text(interval.half_width), "± " + fixed(factor * interval.half_width, digits)}
                : TableCell{"", ""}};
}

/// A column's last value, where the run has it.
TableCell last_cell(const RunFolder& run, const std::string& column, int digits, double factor = 1) {
    return run.history.contains(column) ? number(run.last(column), digits, factor) : TableCell{"", "–"};
}
TableCell best_cell(const RunFolder& run, const std::string& column, int digits, double factor = 1) {
    const auto found = run.history.find(column);
    if (found == run.history.end()) return {"", "–"};
    return number(*std::max_element(found->second.begin(), found->second.end()), digits, factor);
}

/// Takes columns out of a table whose page shows the same ones.
void remove_columns(Table& table, const std::set<std::string>& names) {
    for (std::size_t c = table.header.size(); c-- > 0;) {
        if (!names.contains(table.header[c])) continue;
        const auto erase = [&](std::vector<std::string>& row) { row.erase(row.begin() + static_cast<std::ptrdiff_t>(c)); };
        erase(table.header);
        erase(table.html_header);
        for (auto& row : table.rows) erase(row);
        for (auto& row : table.html_rows) erase(row);
    }
}

/// Regressions have R^2 where others have accuracies; a table has the columns that some of its runs fill.
void keep_used_columns(bool any_classes, bool any_targets, Table& table) {
    if (!any_classes) {
        remove_columns(table, {"train_accuracy", "test_accuracy", "best_test_accuracy", "test_accuracy_half_width"});
    }
    if (!any_targets) {
        remove_columns(table, {"train_r2", "test_r2", "best_test_r2", "test_rmse", "test_r2_half_width",
                               "test_rmse_half_width"});
    }
}

/// The option's values in the runs of a row.
std::string option_values(const ReportRow& row, const ExperimentOption& option) {
    constexpr std::size_t most = 8;
    std::vector<std::string> values;
    for (const ReportedRun* run : row.runs) {
        std::string value = option.get(run->folder.experiment);
        if (value.empty()) value = "–";
        if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(std::move(value));
    }
    std::string text;
    for (std::size_t v = 0; v < values.size() && v < most; ++v) text += (v == 0 ? "" : ", ") + values[v];
    if (values.size() > most) text += " and " + std::to_string(values.size() - most) + " more";
    return escaped(text);
}

/// What the tests say of a power law, in words.
std::string law_finding(const DegreeFit& fit) {
    constexpr double level = 0.1;
    if (!fit.law.found()) return "tail under " + std::to_string(least_tail) + " neurons";
    if (fit.p_value < level) return "ruled out";
    const bool poisson_decides = fit.poisson.p_value < level, log_normal_decides = fit.log_normal.p_value < level;
    if (poisson_decides && fit.poisson.ratio < 0) return "Poisson fits better";
    if (log_normal_decides && fit.log_normal.ratio < 0) return "log-normal fits better";
    if (poisson_decides && log_normal_decides) return "fits better than both";
    if (poisson_decides) return "not told apart from log-normal";
    return log_normal_decides ? "not told apart from Poisson" : "not told apart from either";
}

/// What was published of a recipe, below the row that repeats it.
std::vector<std::string> published_cells(const Published& known) {
    const auto figure = [&](const std::string& name, int digits, double factor = 1) {
        const auto found = known.figures.find(name);
        return found == known.figures.end() ? std::string{} : fixed(factor * found->second, digits);
    };
    return {"<span class=\"published\">published (" + escaped(known.recipe) + ")</span>", "", figure("train_loss", 4), "",
            figure("test_loss", 4), "", figure("test_accuracy", 2, 100), "", "", "", figure("contrast", 3), "",
            escaped(known.learning), "", "", "", ""};
}

const Topology* topology_of(const ReportedRun& run, std::size_t layer) {
    const auto& network = run.folder.network;
    if (!network || layer >= network->layers.size() || !network->layers[layer].topology) return nullptr;
    return &*network->layers[layer].topology;
}

void add_overlaps(const ReportedRun& a, const ReportedRun& b, Table& table) {
    const std::size_t layers = a.folder.network ? a.folder.network->layers.size() : 0;
    for (std::size_t layer = 0; layer < layers; ++layer) {
        const Topology* of_a = topology_of(a, layer);
        const Topology* of_b = topology_of(b, layer);
        if (of_a == nullptr || of_b == nullptr) continue;
        if (of_a->num_inputs != of_b->num_inputs || of_a->num_outputs != of_b->num_outputs) continue;
        const TopologyOverlap shared = overlap(*of_a, *of_b);
        const DegreeRecord* inputs_a = a.folder.connections();
        const DegreeRecord* inputs_b = b.folder.connections();
        std::optional<double> alike;
        if (layer == 0 && inputs_a != nullptr && inputs_b != nullptr && a.folder.image == b.folder.image) {
            alike = correlation(a.folder.map_at(inputs_a->moments() - 1), b.folder.map_at(inputs_b->moments() - 1));
        }
        add_row(table, {word(a.folder.name), word(b.folder.name), word(std::to_string(layer + 1)),
                        word(std::to_string(shared.shared)), number(shared.expected, 1),
                        signed_number(shared.deviation, 1), number(shared.distance(), 4), signed_number(alike, 3)});
    }
}

}  // namespace

std::string html(const Table& table) {
    std::string text = "<div class=\"scroll\"><table><thead><tr>";
    for (const std::string& cell : table.html_header) text += "<th>" + escaped(cell) + "</th>";
    text += "</tr></thead><tbody>\n";
    for (const auto& row : table.html_rows) {
        text += "<tr>";
        for (const std::string& cell : row) text += "<td>" + cell + "</td>";
        text += "</tr>\n";
    }
    return text + "</tbody></table></div>\n";
}

std::string csv(const Table& table) {
    std::string text;
    const auto add = [&](const std::vector<std::string>& row) {
        for (std::size_t c = 0; c < row.size(); ++c) text += (c == 0 ? "" : ",") + csv_cell(row[c]);
        text += "\n";
    };
    add(table.header);
    for (const auto& row : table.rows) add(row);
    return text;
}

Table summary_table(Runs runs, const ReportRows& rows) {
    Table table{"summary", "Runs"};
    table.header = {"run",
                    "weight_decay",
                    "seed",
                    "epochs",
                    "train_loss",
                    "train_accuracy",
                    "test_loss",
                    "test_accuracy",
                    "best_test_accuracy",
                    "loss_gap",
                    "contrast",
                    "p_value",
                    "learning",
                    "correlation_with_variance",
                    "correlation_with_mean",
                    "train_r2",
                    "test_r2",
                    "best_test_r2",
                    "test_rmse"};
    table.html_header = {"run",       "weight decay",    "seed",       "epochs",   "train loss", "acc. %",
                         "test loss", "acc. %",          "best %",     "loss gap", "contrast",   "p",
                         "learning",  "r with variance", "r with mean", "train R²", "test R²",    "best R²",
                         "test RMSE"};
    const auto regressions = std::count_if(runs.begin(), runs.end(), [](const auto& run) { return run.folder.is_regression(); });
    for (std::size_t r = 0; r < runs.size(); ++r) {
        const RunFolder& run = runs[r].folder;
        const auto& sign = runs[r].sign;
        const bool judged = sign.has_value();
        add_row(table,
                {run_name(runs[r], rows), word(option_text(run.experiment, "weight-decay")),
                 word(std::to_string(run.experiment.seed)), word(rounded(run.last("epoch"), 9)),
                 number(run.last("train_loss"), 4), last_cell(run, "train_accuracy", 2, 100),
                 number(run.last("test_loss"), 4), last_cell(run, "test_accuracy", 2, 100),
                 best_cell(run, "test_accuracy", 2, 100),
                 signed_number(run.last("test_loss") - run.last("train_loss"), 4),
                 signed_number(judged ? std::optional(sign->contrast) : std::nullopt, 3),
                 judged ? TableCell{real_text(sign->p_value), p_text(sign->p_value)} : TableCell{"", "–"},
                 judgement(judged ? std::optional(sign->learning) : std::nullopt),
                 signed_number(last_of(runs[r].with_variances), 3), signed_number(last_of(runs[r].with_means), 3),
                 last_cell(run, "train_r2", 4), last_cell(run, "test_r2", 4), best_cell(run, "test_r2", 4),
                 last_cell(run, "test_rmse", 4)});
    }
    keep_used_columns(regressions < std::ssize(runs), regressions > 0, table);
    return table;
}

Table rows_table(const ReportRows& all) {
    Table table{"seeds", "Rows"};
    table.header = {"group",         "seeds",
                    "train_loss",    "train_loss_half_width",
                    "test_loss",     "test_loss_half_width",
                    "test_accuracy", "test_accuracy_half_width",
                    "loss_gap",      "loss_gap_half_width",
                    "contrast",      "contrast_half_width",
                    "learning",      "test_r2",
                    "test_r2_half_width", "test_rmse",
                    "test_rmse_half_width"};
    table.html_header = {"row", "runs",     "train loss", "",         "test loss", "",        "test acc. %",
                         "",    "loss gap", "",           "contrast", "",          "learning", "test R²", "",
                         "test RMSE", ""};
    bool any_classes = false, any_targets = false;
    for (std::size_t r = 0; r < all.rows.size(); ++r) {
        const ReportRow& row = all.rows[r];
        std::vector<double> gaps = row.values("test_loss");
        const std::vector<double> train = row.values("train_loss");
        for (std::size_t i = 0; i < gaps.size() && i < train.size(); ++i) gaps[i] -= train[i];
        std::vector<TableCell> cells{{row.name, swatch(all.series(r)) + escaped(row.name)},
                                     word(std::to_string(row.runs.size()))};
        for (const auto& pair :
             {interval_cells(train, 4), interval_cells(row.values("test_loss"), 4),
              interval_cells(row.values("test_accuracy"), 2, 100), interval_cells(gaps, 4),
              interval_cells(row.values("contrast"), 3)}) {
            cells.insert(cells.end(), pair.begin(), pair.end());
        }
        cells.push_back(judgement(row.learning()));
        for (const auto& pair : {interval_cells(row.values("test_r2"), 4), interval_cells(row.values("test_rmse"), 4)}) {
            cells.insert(cells.end(), pair.begin(), pair.end());
        }
        add_row(table, cells);
        if (row.published != nullptr) table.html_rows.push_back(published_cells(*row.published));
        const bool regression = row.runs.front()->folder.is_regression();
        any_classes = any_classes || !regression;
        any_targets = any_targets || regression;
    }
    keep_used_columns(any_classes, any_targets, table);
    return table;
}

Table fits_table(const ReportedRun& run) {
    Table table{"power-laws", "Power laws"};
    table.header = {"run",     "layer",         "side",      "without_edges",    "exponent", "from_degree", "neurons_in_tail",
                    "ks_distance", "p_value", "poisson_log_ratio", "poisson_p_value", "log_normal_log_ratio",
                    "log_normal_p_value", "finding"};
    table.html_header = {"layer", "side", "no edges, %", "exponent", "from degree", "neurons in tail", "p",
                         "over Poisson", "p", "over log-normal", "p", "power law"};
    for (const DegreeFit& fit : run.fits) {
        std::vector<TableCell> cells{word(run.folder.name), word(std::to_string(fit.layer)),
                                     word(fit.inputs ? "inputs" : "outputs"), number(fit.without_edges, 2, 100)};
        if (fit.law.found()) {
            cells.insert(cells.end(),
                         {number(fit.law.exponent, 2), word(std::to_string(fit.law.smallest)),
                          word(std::to_string(fit.law.tail)), number(fit.law.distance, 3), number(fit.p_value, 2),
                          signed_number(fit.poisson.ratio, 1), {number_text(fit.poisson.p_value), p_text(fit.poisson.p_value)},
                          signed_number(fit.log_normal.ratio, 1),
                          {number_text(fit.log_normal.p_value), p_text(fit.log_normal.p_value)}});
        } else {
            cells.insert(cells.end(), 9, TableCell{"", "–"});
        }
        cells.push_back(word(law_finding(fit)));
        add_row(table, cells);
        table.html_rows.back().erase(table.html_rows.back().begin());      // the run is the page's
        table.html_rows.back().erase(table.html_rows.back().begin() + 6);  // the distance says little beside its p
    }
    return table;
}

Table overlaps_table(Runs runs) {
    Table table{"overlaps", "Topology distance"};
    table.header = {"run",          "other_run",          "layer",
                    "shared_edges", "expected_by_chance", "standard_deviations",
                    "distance",     "correlation_of_maps"};
    table.html_header = {"run",       "other run",  "layer",    "shared edges",
                         "by chance", "deviations", "distance", "r of the maps"};
    for (std::size_t a = 0; a < runs.size(); ++a) {
        for (std::size_t b = a + 1; b < runs.size(); ++b) add_overlaps(runs[a], runs[b], table);
    }
    return table;
}

Table differences_table(Runs runs, const ReportRows& all) {
    Table table{"differences", "Options that differ"};
    table.header = {"option"};
    for (const ReportedRun& run : runs) table.header.push_back(run.folder.name);
    table.html_header = {"row"};
    table.html_rows.resize(all.rows.size());
    for (std::size_t r = 0; r < all.rows.size(); ++r) {
        table.html_rows[r] = {swatch(all.series(r)) + escaped(all.rows[r].name)};
    }
    for (const ExperimentOption& option : experiment_options()) {
        std::vector<std::string> cells{option.name};
        for (const ReportedRun& run : runs) cells.push_back(option.get(run.folder.experiment));
        if (std::all_of(cells.begin() + 1, cells.end(), [&](const std::string& cell) { return cell == cells[1]; })) continue;
        table.rows.push_back(cells);
        table.html_header.push_back(option.name);
        for (std::size_t r = 0; r < all.rows.size(); ++r) table.html_rows[r].push_back(option_values(all.rows[r], option));
    }
    if (table.rows.empty()) table.html_rows.clear();
    return table;
}

}  // namespace espalier
