// The tables of a report, each as HTML for the page and as CSV beside it.
#pragma once

#include <string>
#include <vector>

#include "host/report/rows.hpp"

namespace espalier {

struct Table {
    std::string id{};  // file name without extension
    std::string title{};
    std::vector<std::string> header{};  // of the CSV file, numbers in full
    std::vector<std::vector<std::string>> rows{};
    std::vector<std::string> html_header{};  // of the page, numbers rounded, cells with markup
    std::vector<std::vector<std::string>> html_rows{};
};

std::string html(const Table& table);
std::string csv(const Table& table);

/// A row per run: final losses, accuracies, contrast with its p-value, correlations with the data.
Table summary_table(Runs runs, const ReportRows& rows);

/// A row per row of the report, with t intervals over the seeds; on the page what was published below it.
Table rows_table(const ReportRows& rows);

/// A row per side of a sparse layer: the power law fitted to its degrees, and what speaks for it.
Table fits_table(const ReportedRun& run);

/// A row per pair of runs and sparse layer they share the shape of: overlap of edges against chance.
Table overlaps_table(Runs runs);

/// A row per option that is not the same in all runs; on the page a column per option and a row per row.
Table differences_table(Runs runs, const ReportRows& rows);

}  // namespace espalier
