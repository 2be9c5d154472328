// What a study found: figures of every run, means with intervals over the seeds, and the published figures beside
// them. Kept as JSON that reads back, shown as a table.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "host/report/tables.hpp"
#include "host/study/study_run.hpp"

namespace espalier {

/// Figures by name: the history's columns at the last epoch, and best_test_accuracy, lowest_test_loss,
/// lowest_test_loss_epoch, loss_gap (test minus train), contrast, contrast_p_value, margin (margin_contrast),
/// correlation_with_variance; contrast_first and margin_first before the first evolution; operations of training
/// (training_operations()), operations_of_evolution among them, ever_active (the share of the sparse layers' cells that
/// ever held an edge), inputs_used (that have an edge in the end) and largest_input_degree.
using Figures = std::map<std::string, double>;

struct CellResult {
    std::uint64_t seed = 1;
    std::string failure;  // why there are no figures
    Figures figures;
};

struct RowResult {
    std::string name;
    OptionTexts options;  // the experiment's settings
    Figures published;    // of the recipe it repeats
    std::string published_recipe, published_learning, published_source;
    std::vector<CellResult> cells;

    /// One figure of all cells that have it.
    [[nodiscard]] std::vector<double> values(const std::string& figure) const;
};

struct StudyResults {
    std::string study;
    std::string summary;
    std::string version;  // of the program
    std::vector<RowResult> rows;
};

/// The figures of a finished run.
Figures run_figures(const std::filesystem::path& folder);

StudyResults collect_results(const Study& study, const StudyPlace& place, const StudyProgress& progress);

std::string study_json(const StudyResults& results);

/// Reads study_json() back. Throws UserError (data) with the file's name.
StudyResults read_study_json(const std::filesystem::path& path);

/// A row per row of the study: mean ± half the 95 % Student t interval over the seeds, and below it what was published.
/// The CSV form holds the numbers in full.
Table study_table(const StudyResults& results);

/// How sure the networks were: test loss at its lowest and at the end, accuracy, mean confidence of all answers and of
/// the wrong ones.
Table confidence_table(const StudyResults& results);

/// Where the first layer's edges went: contrast of the centre and of the margin before the first evolution and at the
/// end, correlation with the data's variance.
Table topology_table(const StudyResults& results);

/// What evolution cost and where it led: accuracy, edges, operations, the cells and inputs used.
Table evolution_table(const StudyResults& results);

/// Every row's figures minus the first row's, with 95 % Welch intervals; ** where an interval leaves out 0.
Table changes_table(const StudyResults& results);

/// One sentence: does the contrast rise with the option in which the rows differ? Empty unless that is one option with
/// three numbers or more.
std::string trend_sentence(const StudyResults& results);

/// A row per run.
Table cells_table(const StudyResults& results);

/// Markdown, its columns padded so that it reads well as plain text.
std::string markdown(const Table& table);

/// The study's results as Markdown: table of figures, trend, tables of confidence and evolution.
std::string study_text(const StudyResults& results);

/// `text` with everything between `<!-- study TABLE FILE -->` and `<!-- end -->` made anew from the results in FILE
/// (relative to `folder`); blocks of code stay as they are. TABLE is figures, confidence, topology, evolution or changes.
/// Throws UserError (usage) naming the line at fault.
std::string with_tables(const std::string& text, const std::filesystem::path& folder);

}  // namespace espalier
