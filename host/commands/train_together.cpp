// espalier train-together: how a study trains several of its runs in one process, each on a thread of its own, so that a GPU
// takes a step of all of them by the launches of one (Backend::companions). Nobody else calls it, so no help shows it.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "espalier/backends.hpp"
#include "espalier/error.hpp"
#include "host/commands/command.hpp"
#include "host/options/config_text.hpp"
#include "host/system/progress.hpp"
#include "host/system/signals.hpp"
#include "host/system/threads.hpp"
#include "host/training/run_training.hpp"

namespace espalier {
namespace {

struct TogetherArguments {
    int device = any_device;
    std::vector<std::string> runs;  // "begin" or "go-on", configuration file, run folder; and so on
};

struct TogetherRun {
    Experiment experiment;
    RunPlace place;
    std::unique_ptr<Backend> backend;
    int code = 0;
};

std::vector<TogetherRun> read_runs(const TogetherArguments& arguments) {
    const std::vector<std::string>& words = arguments.runs;
    if (words.empty() || words.size() % 3 != 0) {
        throw UserError(ExitCode::usage, "train-together: begin or go-on, a configuration file and a run folder for each run");
    }
    std::vector<TogetherRun> runs(words.size() / 3);
    for (std::size_t r = 0; r < runs.size(); ++r) {
        const std::string& config = words[3 * r + 1];
        runs[r].experiment = recorded_experiment(read_config_file(config), config);
        if (arguments.device != any_device) runs[r].experiment.device = arguments.device;
        runs[r].place.folder = words[3 * r + 2];
        runs[r].place.progress = ProgressForm::lines;
        const bool goes_on = words[3 * r] == "go-on";
        runs[r].place.overwrite = !goes_on;
        runs[r].place.resume = goes_on ? Resume::if_possible : Resume::never;
    }
    return runs;
}

std::string head_of(std::size_t number) { return "[" + std::to_string(number) + "] "; }

/// Runs `action` for a run and tells what becomes of it in lines that begin with "[number] ", the last "exit code N".
void conclude(TogetherRun& run, std::size_t number, const Action& action) {
    const std::string head = head_of(number);
    const auto tell = [&](const std::string& line) { std::fprintf(stderr, "%s%s\n", head.c_str(), line.c_str()); };
    run.code = code_of(action, tell);
    tell("exit code " + std::to_string(run.code));
}

void train_one(TogetherRun& run, std::size_t number) {
    begin_lines_with(head_of(number));
    conclude(run, number, [&] {
        std::unique_ptr<Backend> backend = std::move(run.backend);  // gone when this run is, so that no other waits for it
        run.place.backend = &backend;
        return static_cast<int>(run_training(run.experiment, run.place).stopped ? ExitCode::stopped : ExitCode::ok);
    });
}

int train_together(const TogetherArguments& arguments) {
    std::vector<TogetherRun> runs = read_runs(arguments);
    auto backends = make_backend(runs.front().experiment)->companions(runs.size());
    backends.resize(runs.size());  // where there are no companions each run makes its own
    std::vector<std::jthread> threads;
    threads.reserve(runs.size());
    for (std::size_t r = 0; r < runs.size(); ++r) {
        runs[r].backend = std::move(backends[r]);
        try {
            threads.push_back(start_thread([&run = runs[r], r] { train_one(run, r); }));
        } catch (const std::exception&) {  // the others train all the same
            runs[r].backend.reset();       // and none waits for this one
            conclude(runs[r], r, []() -> int { throw; });
        }
    }
    threads.clear();  // once they have ended
    for (const TogetherRun& run : runs) {
        if (run.code != 0) return run.code;
    }
    return 0;
}

}  // namespace

void add_train_together_command(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("train-together", "train several runs of a study")->group(hidden_commands);
    const auto arguments = std::make_shared<TogetherArguments>();
    command->add_option("--device", arguments->device, "number of the GPU")->type_name("");
    command->add_option("runs", arguments->runs, "begin or go-on, configuration file, run folder; and so on");
    command->callback([arguments, &action] {
        watch_signals();  // before main receives them
        action = [arguments] { return train_together(*arguments); };
    });
}

}  // namespace espalier
