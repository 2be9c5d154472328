// Study files: a grid of options times seeds. key = value lines as in a recipe, in which a list of values is an axis of
// the grid; `seeds = N` repeats every row with N seeds; a [section] is a block of rows of its own, its lines on top of
// those above the first section. Studies in host/studies/ are shipped inside the program; their first comment line is
// their summary.
#pragma once

#include <string>
#include <vector>

#include "espalier/experiment.hpp"
#include "host/options/option_table.hpp"

namespace espalier {

struct StudyFile {
    std::string name;
    std::string summary;
    std::string text;
};

/// The shipped ones.
const std::vector<StudyFile>& study_files();

/// A shipped study by its name, or a file by its path. Throws UserError (usage) with the nearest name.
StudyFile find_study(const std::string& name_or_path);

/// One row of a study's table: an experiment but for its seed.
struct StudyRow {
    std::string name;  // what sets it apart: its section and its place on the axes
    Experiment experiment;
};

/// One run of a study.
struct StudyCell {
    std::string name;     // of its run folder, unique in the study
    std::size_t row = 0;  // place in Study::rows
    Experiment experiment;
};

struct Study {
    std::string name;
    std::string summary;
    std::uint32_t seeds = 1;
    std::vector<StudyRow> rows;
    std::vector<StudyCell> cells;  // all rows with the first seed, then all with the next
};

/// Resolves every row: defaults < recipe < file < section < `given`. A value of `given` in brackets is a list too and
/// takes the place of the file's. Everything is checked before anything runs. Throws UserError (usage).
Study read_study(const StudyFile& file, OptionTexts given);

}  // namespace espalier
