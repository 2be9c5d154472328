// The runs of a report as rows: runs that differ in nothing but their seed are one, and what is asked is how the rows
// differ.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "host/options/recipes.hpp"
#include "host/report/figures.hpp"

namespace espalier {

struct ReportRow {
    std::string name;                      // the options that set it apart; the run's name where it is the only one
    std::vector<const ReportedRun*> runs;  // at least one
    std::optional<double> place;           // on the axis
    const Published* published = nullptr;  // what is known of the recipe it repeats

    /// One figure of every run that has it: a history column's last value, or "contrast".
    [[nodiscard]] std::vector<double> values(const std::string& figure) const;
    /// Over the seeds; of a single run by its own permutation test. None without a map.
    [[nodiscard]] std::optional<Learning> learning() const;
};

struct ReportRows {
    std::vector<ReportRow> rows;
    std::vector<std::string> varied;  // options that differ between the rows
    std::string axis;                 // the only one of them, if all its values are numbers; else empty
    bool logarithmic_axis = false;
    std::optional<double> zero_at;  // where a logarithmic axis has its 0

    /// A series in the colour of row `r`, named after it: one of eight colours, or a shade where there are more rows
    /// and an axis to order them by, or a neutral one.
    [[nodiscard]] Series series(std::size_t r, Mark mark = Mark::line) const;
    [[nodiscard]] std::size_t most_runs() const;
};

/// The rows in order of appearance; along an axis in its order. The runs must outlive them.
ReportRows rows_of(Runs runs);

/// "155" or "20 to 155".
std::string epochs_text(const ReportRows& rows);

/// What the rows say about the sign of the topology, in a sentence or two made from the numbers: of the runs' last
/// maps, and, along an axis, whether the contrast follows it.
std::string verdict_sentence(const ReportRows& rows);

/// What they say about accuracy, or R^2. Empty for restricted Boltzmann machines.
std::string accuracy_sentence(const ReportRows& rows);

/// What the report is asked, where nobody said so.
std::string question_of(const ReportRows& rows);

/// First screen: contrast and accuracy of every row against the axis or by name, published figures beside them.
std::vector<Chart> answer_charts(const ReportRows& rows);

/// Mean and 95 % band of every row: loss, accuracy or error, contrast.
std::vector<Chart> row_curves(const ReportRows& rows);

/// The rest of them: confidence, replaced edges, correlation with the data, trend curves, rings, lifetimes; degrees and
/// weights pooled.
std::vector<Chart> more_row_curves(const ReportRows& rows);

}  // namespace espalier
