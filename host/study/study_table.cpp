// The tables of a study: how its figures are rounded, what stands beside what.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <span>
#include <system_error>

#include "espalier/error.hpp"
#include "espalier/number_text.hpp"
#include "espalier/rule.hpp"
#include "host/formats/real_text.hpp"
#include "host/run/epoch_record.hpp"
#include "host/study/study_results.hpp"
#include "host/topology/group_statistics.hpp"

namespace espalier {
namespace {

struct Column {
    const char* figure;
    const char* title;
    int digits;
    double factor;
    bool with_sign;
};

constexpr Column figure_columns[] = {
    {"train_loss", "train loss", 4, 1, false}, {"train_accuracy", "acc. %", 2, 100, false},
    {"test_loss", "test loss", 4, 1, false},   {"test_accuracy", "acc. %", 2, 100, false},
    {"loss_gap", "loss gap", 4, 1, true},      {"contrast", "contrast", 3, 1, true}};

/// Of regressions, which have no accuracies.
constexpr Column regression_columns[] = {{"train_r2", "train R²", 4, 1, false},
                                         {"test_r2", "test R²", 4, 1, false},
                                         {"test_rmse", "test RMSE", 4, 1, false}};

/// The columns that the study's runs fill: accuracies, R², or both.
std::vector<Column> main_columns(const StudyResults& results) {
    const auto has = [&](const char* figure) {
        return std::any_of(results.rows.begin(), results.rows.end(),
                           [&](const RowResult& row) { return !row.values(figure).empty(); });
    };
    const bool targets = has("test_r2");
    std::vector<Column> columns;
    for (const Column& column : figure_columns) {
        if (!targets || has("test_accuracy") || !std::string(column.figure).ends_with("accuracy")) columns.push_back(column);
    }
    if (targets) columns.insert(columns.end(), std::begin(regression_columns), std::end(regression_columns));
    return columns;
}

constexpr Column confidence_columns[] = {{"lowest_test_loss", "lowest test loss", 4, 1, false},
                                         {"lowest_test_loss_epoch", "in epoch", 0, 1, false},
                                         {"test_loss", "test loss", 4, 1, false},
                                         {"test_accuracy", "acc. %", 2, 100, false},
                                         {"test_confidence", "confidence %", 2, 100, false},
                                         {"test_wrong_confidence", "when wrong %", 2, 100, false}};

constexpr Column topology_columns[] = {{"contrast_first", "centre at first", 3, 1, true},
                                       {"contrast", "centre", 3, 1, true},
                                       {"margin_first", "margin at first", 3, 1, true},
                                       {"margin", "margin", 3, 1, true},
                                       {"correlation_with_variance", "correlation with variance", 3, 1, true}};

constexpr Column evolution_columns[] = {{"test_accuracy", "acc. %", 2, 100, false},
                                        {"best_test_accuracy", "best acc. %", 2, 100, false},
                                        {"edges", "sparse edges", 0, 1, false},
                                        {"operations", "10⁹ operations", 1, 1e-9, false},
                                        {"operations_of_evolution", "of evolution", 1, 1e-9, false},
                                        {"ever_active", "cells ever active %", 1, 100, false},
                                        {"inputs_used", "inputs used", 0, 1, false},
                                        {"largest_input_degree", "largest degree", 0, 1, false},
                                        {"contrast", "contrast", 3, 1, true}};

std::string figure_text(double value, const Column& column) {
    char text[64];
    std::snprintf(text, sizeof text, column.with_sign ? "%+.*f" : "%.*f", column.digits, column.factor * value);
    return text;
}

std::string interval_text(const std::vector<double>& values, const Column& column) {
    if (values.empty()) return "–";
    const MeanInterval interval = mean_interval(values);
    const Column half{"", "", column.digits, column.factor, false};
    return figure_text(interval.mean, column) +
           (interval.count > 1 ? " ± " + figure_text(interval.half_width, half) : "");
}

/// The verdict over the seeds, and how many runs' own sign tests say the same.
std::string learning_text(const RowResult& row) {
    const std::vector<double> contrasts = row.values("contrast");
    if (contrasts.empty()) return "–";
    const std::vector<double> p_values = row.values("contrast_p_value");
    const MeanInterval interval = mean_interval(contrasts);
    std::size_t agreeing = 0;
    for (std::size_t i = 0; i < contrasts.size(); ++i) {
        agreeing += p_values[i] < 0.05 && (contrasts[i] > 0) == (interval.mean > 0) ? 1 : 0;
    }
    return std::string(name(verdict(interval))) + " (" + std::to_string(agreeing) + "/" +
           std::to_string(contrasts.size()) + ")";
}

/// The option in which alone the rows differ, if its values are numbers; else empty.
std::string numeric_axis(const std::vector<RowResult>& rows) {
    std::string axis;
    for (const auto& [option, text] : rows.empty() ? OptionTexts{} : rows.front().options) {
        const bool varies =
            std::any_of(rows.begin(), rows.end(), [&, name = option, first = text](const RowResult& row) {
                const auto found = row.options.find(name);
                return found == row.options.end() || found->second != first;
            });
        if (!varies) continue;
        if (!axis.empty()) return {};
        axis = option;
    }
    const bool numbers = std::all_of(rows.begin(), rows.end(), [&](const RowResult& row) {
        const auto found = row.options.find(axis);
        return found != row.options.end() && number_from<double>(found->second).has_value();
    });
    return numbers ? axis : std::string{};
}

std::vector<std::string> published_row(const RowResult& row, const std::vector<Column>& columns) {
    std::vector<std::string> cells{"published (" + row.published_recipe + ")", ""};
    Figures figures = row.published;
    if (figures.contains("test_loss") && figures.contains("train_loss")) {
        figures["loss_gap"] = figures["test_loss"] - figures["train_loss"];
    }
    for (const Column& column : columns) {
        const auto found = figures.find(column.figure);
        cells.push_back(found == figures.end() ? "" : figure_text(found->second, column));
    }
    cells.push_back(row.published_learning);
    return cells;
}

/// A row per row of the study, means with their intervals.
Table table_of(const char* name, std::span<const Column> shown_columns, const StudyResults& results) {
    Table table{name, results.summary};
    table.html_header = {results.study};
    for (const Column& column : shown_columns) table.html_header.emplace_back(column.title);
    for (const RowResult& row : results.rows) {
        std::vector<std::string> shown{row.name};
        for (const Column& column : shown_columns) shown.push_back(interval_text(row.values(column.figure), column));
        table.html_rows.push_back(shown);
    }
    return table;
}

/// A figure in full: counts as whole numbers, whatever a column holds in one type.
std::string figure_cell(const std::string& figure, double value) {
    return is_count_column(figure) || figure == "lowest_test_loss_epoch" ? number_text(value) : real_text(value);
}

}  // namespace

Table study_table(const StudyResults& results) {
    Table table{"study", results.summary};
    const std::vector<Column> columns = main_columns(results);
    table.header = {"row", "runs"};
    table.html_header = {results.study, "runs"};
    for (const Column& column : columns) {
        table.header.insert(table.header.end(), {column.figure, std::string(column.figure) + "_half_width"});
        table.html_header.emplace_back(column.title);
    }
    for (const char* more : {"learning", "published_recipe"}) table.header.emplace_back(more);
    for (const Column& column : columns) table.header.push_back(std::string("published_") + column.figure);
    table.html_header.emplace_back("learning");
    for (const RowResult& row : results.rows) {
        const std::size_t runs = row.values("test_loss").size();
        std::vector<std::string> full{row.name, std::to_string(runs)};
        std::vector<std::string> shown = full;
        for (const Column& column : columns) {
            const std::vector<double> values = row.values(column.figure);
            const MeanInterval interval = values.empty() ? MeanInterval{} : mean_interval(values);
            full.push_back(values.empty() ? "" : real_text(interval.mean));
            full.push_back(values.size() < 2 ? "" : real_text(interval.half_width));
            shown.push_back(interval_text(values, column));
        }
        const std::vector<double> contrasts = row.values("contrast");
        full.emplace_back(contrasts.empty() ? "" : name(verdict(mean_interval(contrasts))));
        full.push_back(row.published_recipe);
        for (const Column& column : columns) {
            const auto found = row.published.find(column.figure);
            full.push_back(found == row.published.end() ? "" : real_text(found->second));
        }
        shown.push_back(learning_text(row));
        table.rows.push_back(full);
        table.html_rows.push_back(shown);
        if (!row.published_recipe.empty()) table.html_rows.push_back(published_row(row, columns));
    }
    return table;
}

Table confidence_table(const StudyResults& results) { return table_of("confidence", confidence_columns, results); }

Table topology_table(const StudyResults& results) { return table_of("topology", topology_columns, results); }

Table evolution_table(const StudyResults& results) { return table_of("evolution", evolution_columns, results); }

Table changes_table(const StudyResults& results) {
    Table table{"changes", results.summary};
    expects(!results.rows.empty(), "a row to compare with");
    const RowResult& first = results.rows.front();
    const std::vector<Column> columns = main_columns(results);
    table.html_header = {"minus " + first.name};
    for (const Column& column : columns) table.html_header.emplace_back(column.title);
    for (std::size_t r = 1; r < results.rows.size(); ++r) {
        std::vector<std::string> shown{results.rows[r].name};
        for (const Column& column : columns) {
            const auto values = results.rows[r].values(column.figure), others = first.values(column.figure);
            if (values.empty() || others.empty()) {
                shown.emplace_back("–");
                continue;
            }
            const MeanInterval change = welch_difference(values, others);
            const Column with_sign{"", "", column.digits, column.factor, true};
            const Column half{"", "", column.digits, column.factor, false};
            const std::string mark = change.low() > 0 || change.high() < 0 ? "**" : "";
            shown.push_back(mark + figure_text(change.mean, with_sign) +
                            (change.count > 1 ? " ± " + figure_text(change.half_width, half) : "") + mark);
        }
        table.html_rows.push_back(shown);
    }
    return table;
}

std::string trend_sentence(const StudyResults& results) {
    const std::string axis = numeric_axis(results.rows);
    if (axis.empty()) return {};
    std::map<double, std::vector<double>> by_value;
    for (const RowResult& row : results.rows) {
        if (auto contrasts = row.values("contrast"); !contrasts.empty()) {
            by_value[*number_from<double>(row.options.at(axis))] = std::move(contrasts);
        }
    }
    if (by_value.size() < 3) return {};
    std::vector<std::vector<double>> groups;
    for (auto& [value, contrasts] : by_value) groups.push_back(std::move(contrasts));
    const RankTrend trend = rank_trend(groups);
    char text[240];
    std::snprintf(text, sizeof text,
                  "Contrast over %s: of the pairs of runs with different values, %.1f %% ascend (chance: 50 %%), "
                  "p = %.2g (two-sided, Jonckheere-Terpstra, 99,999 permutations).",
                  axis.c_str(), 100 * trend.ascending, trend.p_value);
    return text;
}

Table cells_table(const StudyResults& results) {
    Table table{"cells", "Runs of " + results.study};
    Figures all;
    for (const RowResult& row : results.rows) {
        for (const CellResult& cell : row.cells) all.insert(cell.figures.begin(), cell.figures.end());
    }
    table.header = {"row", "seed", "failure"};
    for (const auto& [figure, ignored] : all) table.header.push_back(figure);
    for (const RowResult& row : results.rows) {
        for (const CellResult& cell : row.cells) {
            std::vector<std::string> line{row.name, std::to_string(cell.seed), cell.failure};
            for (const auto& [figure, ignored] : all) {
                const auto found = cell.figures.find(figure);
                line.push_back(found == cell.figures.end() ? "" : figure_cell(figure, found->second));
            }
            table.rows.push_back(line);
        }
    }
    return table;
}

}  // namespace espalier
