// Runs the cells of a study, each as a process of its own, several at once. A cell is a run folder and is finished when
// its results file, which a run writes last, is there: running a study again goes on where it stopped.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "host/study/study_file.hpp"
#include "host/system/progress.hpp"

namespace espalier {

struct StudyPlace {
    std::filesystem::path folder;
    int jobs = 0;            // cells at once, 0: one per core, or one per GPU that they use
    bool overwrite = false;  // run again what is there with other settings
    ProgressForm progress = ProgressForm::automatic;
    bool live = false;       // a page on 127.0.0.1 follows the study
    bool wait = false;       // for the cells that other processes have
};

struct StudyProgress {
    bool stopped = false;                         // by a signal, before all was done
    std::map<std::string, std::string> failures;  // cells that failed: why
    int failed_code = 0;                          // exit code of the first of them
    std::size_t elsewhere = 0;                    // cells that other processes still run
};

/// Runs what is not finished and no other process has: any number of them may share a folder. A cell that fails is reported and the others go on. Throws UserError: usage for a folder
/// that holds cells of other settings, io if it cannot be written.
StudyProgress run_cells(const Study& study, const StudyPlace& place);

}  // namespace espalier
