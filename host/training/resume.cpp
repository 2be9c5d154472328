#include "host/training/resume.hpp"

#include "espalier/error.hpp"
#include "espalier/dataset.hpp"
#include "espalier/initialize_network.hpp"
#include "host/options/option_table.hpp"
#include "host/run/run_layout.hpp"
#include "host/system/progress.hpp"

namespace espalier {

namespace fs = std::filesystem;

namespace {

/// Refuses options other than the run's own. Those of the machine may change, and so may the place of the data, which
/// are known by their digest (expect_resumable), and the number of epochs if it grows.
void expect_same_options(const Experiment& asked, const Experiment& run, const fs::path& checkpoint) {
    for (const auto& option : experiment_options()) {
        if (option.group == "Machine" || option.name == "recipe") continue;
        if (option.name == "dataset" || option.name == "data-dir") continue;
        if (option.name == "epochs" && asked.epochs > run.epochs) continue;
        const std::string now = option.get(asked);
        const std::string then = option.get(run);
        if (now == then) continue;
        throw UserError(ExitCode::usage, "cannot resume from " + checkpoint.string() + ": its run has " + option.name +
                                             " = " + (then.empty() ? "none" : then) + ", asked for is " +
                                             (now.empty() ? "none" : now) +
                                             "; a run with other options is a new one (--init-from starts it from an "
                                             "old one's network)");
    }
}

/// Refuses more epochs where the run has recorded its last one, which another plan would have left out.
void expect_extensible(const Experiment& asked, const CheckpointInfo& info, const fs::path& checkpoint) {
    const std::uint32_t last = info.experiment.epochs;
    if (info.progress.epoch < last || asked.epochs == last) return;
    if (is_recorded(last, asked.record_every, asked.epochs)) return;
    throw UserError(ExitCode::usage, "cannot resume from " + checkpoint.string() + " with more epochs: its last, " +
                                         std::to_string(last) + ", is recorded, and record-every = " +
                                         std::to_string(asked.record_every) +
                                         " leaves it out of a longer run; --init-from starts a new run from its network");
}

}  // namespace

std::optional<InterruptedRun> find_interrupted_run(const Experiment& experiment, const fs::path& folder,
                                                   const RunPlace& place) {
    if (place.resume == Resume::never) return std::nullopt;
    Checkpoint checkpoint;
    std::optional<FoundCheckpoint> found;
    if (place.checkpoint.empty()) {
        found = find_checkpoint(folder, checkpoint);
    } else {
        found = open_checkpoint(place.checkpoint, checkpoint);
    }
    if (!found.has_value()) {
        if (place.resume == Resume::if_possible) return std::nullopt;
        throw UserError(ExitCode::checkpoint, folder.string() + " holds no checkpoint to resume from");
    }
    expect_same_options(experiment, checkpoint.info.experiment, found->path);
    expect_extensible(experiment, checkpoint.info, found->path);
    return InterruptedRun{std::move(*found), std::move(checkpoint.info), std::move(checkpoint.network), {}};
}

bool may_restart(const fs::path& folder, const RunPlace& place) {
    if (place.resume != Resume::if_possible || !fs::exists(folder)) return false;
    if (!fs::exists(folder / run_layout::network)) return true;
    throw UserError(ExitCode::usage, folder.string() +
                                         " holds a network but no checkpoint to resume from; pass "
                                         "--overwrite to replace it, or choose another folder with --out");
}

void expect_resumable(const Experiment& experiment, const DataSet& data, InterruptedRun& run) {
    const CheckpointInfo& info = run.info;
    const auto refuse = [&](const std::string& what) {
        throw UserError(ExitCode::checkpoint, run.found.path.string() + ": " + what);
    };
    if (info.dataset_digest != data.digest) {
        refuse("its run saw other data: expected digest " + info.dataset_digest + ", found " + data.digest + " in " +
               data.source);
    }
    fit_network(experiment, false, run.network);
    const std::uint32_t steps = (data.train.count() + experiment.batch - 1) / experiment.batch;
    const bool past_end = info.progress.epoch == experiment.epochs && info.progress.step > 0;
    if (info.progress.step > steps || past_end) {
        refuse("step " + std::to_string(info.progress.step) + " of epoch " + std::to_string(info.progress.epoch + 1) +
               " lies beyond the run");
    }
    const auto recorded = info.recorded.find(run_layout::history_jsonl);
    if (run.history.empty()) {  // another rank than the first was told it
        run.history = read_history(run.found.run / run_layout::history_jsonl,
                                   recorded == info.recorded.end() ? 0 : recorded->second);
    }
    if (run.history.size() != info.progress.epoch) {
        refuse("after epoch " + std::to_string(info.progress.epoch) + ", but history.jsonl holds " +
               std::to_string(run.history.size()) + " epochs there");
    }
}

void say_resumed(const Experiment& asked, const InterruptedRun& run, Progress& progress) {
    const FoundCheckpoint& found = run.found;
    const CheckpointInfo& info = run.info;
    for (const std::string& warning : found.warnings) progress.say("warning: " + warning);
    const CheckpointPlace place{info.progress.epoch, info.progress.step};
    const int forgotten = forget_newer(found.run, place);
    progress.say("resuming from " + found.path.string() +
                 (forgotten > 0 ? " (removed the " + std::to_string(forgotten) + " after it)" : ""));
    if (asked.epochs > info.experiment.epochs) {
        progress.say("warning: " + std::to_string(asked.epochs) + " epochs instead of " +
                     std::to_string(info.experiment.epochs) +
                     ": what depends on the number of epochs (schedules, the last one's evolution) is not what it "
                     "would have been in a run of that length from the start");
    }
}

void say_other_machine(const InterruptedRun& run, const Backend& backend, Progress& progress) {
    const std::string before = run.info.machine;
    const std::string now = backend.describe();
    const auto without_threads = [](const std::string& description) {
        return description.substr(0, description.find(','));
    };
    const auto dense = [](const std::string& description) {
        const auto at = description.find("; dense: ");
        return at == std::string::npos ? std::string() : description.substr(at);
    };
    // a checkpoint of an older version does not say what multiplied its dense layers
    const bool other_dense = !dense(before).empty() && dense(before) != dense(now);
    if (without_threads(before) != without_threads(now) || other_dense) {
        progress.say("warning: this run began on '" + before + "' and goes on on '" + now +
                     "': from here on its bits differ from those of an unbroken run");
    }
}

}  // namespace espalier
