#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>

#include "espalier/error.hpp"
#include "host/backends.hpp"
#include "host/run/checkpoint_folder.hpp"
#include "host/run/run_layout.hpp"
#include "host/commands/command.hpp"
#include "host/commands/validators.hpp"
#include "host/options/config_text.hpp"
#include "host/commands/experiment_options.hpp"
#include "espalier/data_meaning.hpp"
#include "host/training/memory_estimate.hpp"
#include "host/options/recipes.hpp"
#include "host/ranks/open_ranks.hpp"
#include "host/ranks/rank_job.hpp"
#include "host/system/signals.hpp"
#include "host/training/run_training.hpp"

namespace espalier {
namespace {

struct TrainArguments {
    explicit TrainArguments(CLI::App& app) : experiment(app) {}
    ExperimentArguments experiment;
    std::string out;
    std::string resume = "never";
    std::uint32_t checkpoint_every = 0;
    int keep = 3;
    bool overwrite = false;
    bool live = false;
    bool tensorboard = false;
    bool json = false;
    bool print_config = false;
    bool dry_run = false;
    bool list_recipes = false;
    std::string ranks = "auto";
    double rank_timeout = 600;
    ProgressForm progress = ProgressForm::automatic;
};

void print_recipes() {
    std::size_t width = 0;
    for (const Recipe& recipe : recipes()) width = std::max(width, recipe.name.size());
    for (const Recipe& recipe : recipes()) {
        std::cout << recipe.name << std::string(width + 2 - recipe.name.size(), ' ') << recipe.summary << '\n';
    }
    std::cout << "\nNAME-fixed and NAME-dense run a recipe's controls: a fixed random topology, no sparsity at all.\n";
}

/// Fills in what --resume says; the experiment that the given options add to: for a path, that run's own.
Experiment resumed_experiment(const TrainArguments& arguments, RunPlace& place) {
    if (arguments.resume == "never") return {};
    if (arguments.overwrite) throw UserError(ExitCode::usage, "--resume and --overwrite exclude each other; give one");
    if (arguments.resume == "auto") {
        place.resume = Resume::if_possible;
        return {};
    }
    namespace fs = std::filesystem;
    const fs::path path = arguments.resume;
    if (!fs::exists(path)) {
        throw UserError(ExitCode::checkpoint, "there is nothing at " + path.string() +
                                                  " to resume; --resume takes auto, never, a run folder or a "
                                                  "checkpoint in one");
    }
    place.resume = Resume::always;
    fs::path run = path;
    if (!fs::is_directory(path)) {
        place.checkpoint = path;
        run = run_of_checkpoint(path);
    }
    if (!place.folder.empty() && !fs::equivalent(place.folder, run)) {
        throw UserError(ExitCode::usage, "--resume goes on in " + run.string() + "; leave --out away");
    }
    place.folder = run;
    const std::string config = (run / run_layout::config).string();
    return recorded_experiment(read_config_file(config), config);
}

int train(const TrainArguments& arguments, Ranks* ranks) {
    if (arguments.list_recipes) {
        print_recipes();
        return 0;
    }
    RunPlace place{arguments.out, arguments.overwrite, Resume::never, {}, arguments.checkpoint_every, arguments.keep};
    place.progress = arguments.progress;
    place.live = arguments.live;
    place.tensorboard = arguments.tensorboard;
    place.ranks = ranks;
    const Experiment experiment = arguments.experiment.resolve(resumed_experiment(arguments, place));
    if (const std::string idle = arguments.experiment.idle_options(experiment); !idle.empty()) place.notes.push_back(idle);
    if (arguments.print_config) {
        std::cout << config_text(experiment);
        return 0;
    }
    if (arguments.dry_run) {
        const MemoryEstimate estimate = estimate_memory(experiment, arguments.keep);
        std::cout << (arguments.json ? estimate_json(estimate) + "\n" : estimate_table(estimate));
        return 0;
    }
    const RunResults results = run_training(experiment, place);
    const int code = static_cast<int>(results.stopped ? ExitCode::stopped : ExitCode::ok);
    if (ranks != nullptr && ranks->place().rank > 0) return code;
    std::cout << (arguments.json ? results_json(results) + "\n" : results_table(results));
    const auto report = results.run_dir / run_layout::report;
    if (!arguments.json && std::filesystem::exists(report)) std::cout << '\n' << report.string() << '\n';
    return code;
}

/// Alone, or as one of the processes that a launcher started.
int train(const TrainArguments& arguments) {
    const auto ranks = open_ranks(ranks_wanted(arguments.ranks, arguments.rank_timeout), module_folders());
    const auto work = [&] { return train(arguments, ranks.get()); };
    return ranks == nullptr ? work() : run_rank_job(*ranks, work);
}

}  // namespace

void add_train_command(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("train", "train a sparse network, pruning and regrowing its edges");
    const auto arguments = std::make_shared<TrainArguments>(*command);
    command->add_option("--out", arguments->out, "run folder (default: a new one under runs/)")->group("Run");
    command
        ->add_option("--resume", arguments->resume,
                     "go on with an interrupted run: auto (the one in --out, if there is one), never, or the path of a "
                     "run folder or a checkpoint")
        ->type_name("")
        ->capture_default_str()
        ->group("Run");
    command
        ->add_option("--checkpoint-every", arguments->checkpoint_every,
                     "epochs between checkpoints, 0: at the first epoch's end after every minute; the end of a run and "
                     "SIGINT, SIGTERM and SIGUSR1 always make one")
        ->check(within(0, 1000000000))
        ->type_name("")
        ->capture_default_str()
        ->group("Run");
    command
        ->add_option("--keep", arguments->keep,
                     "newest checkpoints to keep, besides the best by validation loss (without --validation: by test loss); 0: make none")
        ->type_name("")
        ->check(within(0, 1000000))
        ->capture_default_str()
        ->group("Run");
    command->add_flag("--overwrite", arguments->overwrite, "replace what an earlier run left in --out")->group("Run");
    command
        ->add_flag("--live", arguments->live,
                   "serve the report on 127.0.0.1 while it trains, updating itself; its address is printed")
        ->group("Run");
    command
        ->add_flag("--tensorboard", arguments->tensorboard,
                   "write an event file that TensorBoard shows, beside the other records")
        ->group("Run");
    command->add_flag("--json", arguments->json, "results as one JSON object, the last thing on stdout")->group("Run");
    command->add_flag("--print-config", arguments->print_config, "print the resolved options and end")->group("Run");
    command->add_flag("--dry-run", arguments->dry_run, "print edges, memory and disk a run would need, and end")
        ->group("Run");
    add_progress_option(*command, arguments->progress, "Run");
    command
        ->add_option("--ranks", arguments->ranks,
                     "processes that train the network together: auto (as many as mpirun, srun or torchrun started), off "
                     "(this one alone, whoever started it), or the number that there must be")
        ->type_name("")
        ->capture_default_str()
        ->group("Machine");
    command
        ->add_option("--rank-timeout", arguments->rank_timeout,
                     "seconds that a rank may keep the others waiting before all end")
        ->check(within(0.1, 1e6))
        ->type_name("")
        ->capture_default_str()
        ->group("Machine");
    command->add_flag("--list-recipes", arguments->list_recipes, "print the recipes and end")->group("Run");
    command->callback([arguments, &action] {
        watch_signals();  // before main receives them
        action = [arguments] { return train(*arguments); };
    });
}

}  // namespace espalier
