// What a run begins with, and where that comes from.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "espalier/backend.hpp"
#include "espalier/dataset.hpp"
#include "espalier/layer.hpp"
#include "host/run/fresh_folder.hpp"
#include "host/training/resume.hpp"
#include "host/training/run_training.hpp"

namespace espalier {

/// What a run begins with.
struct RunStart {
    std::filesystem::path folder;
    std::unique_ptr<FreshFolder> fresh;  // the folder, if it was made for this run
    std::optional<InterruptedRun> resumed;
    std::unique_ptr<Backend> backend;
    std::string remark;  // on the choice of the backend
    DataSet data;
    Network network;
    std::optional<RunResults> stopped;  // set, and nothing else, if already the recipe's run before this one was
};

/// Part one of a run: fresh, from another run's network (a recipe's is trained here), or where an interrupted one
/// stood. Throws UserError as run_training() does.
RunStart choose_start(const Experiment& experiment, const RunPlace& place);

std::uint32_t steps_per_epoch(const Experiment& experiment, const DataSet& data);

}  // namespace espalier
