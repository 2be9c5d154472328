#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "espalier/error.hpp"
#include "host/command.hpp"
#include "host/experiment_arguments.hpp"
#include "host/memory_estimate.hpp"
#include "host/recipes.hpp"
#include "host/training_run.hpp"

namespace espalier {
namespace {

struct TrainArguments {
    explicit TrainArguments(CLI::App& app) : experiment(app) {}
    ExperimentArguments experiment;
    std::string out;
    bool overwrite = false;
    bool json = false;
    bool print_config = false;
    bool dry_run = false;
    bool list_recipes = false;
};

void print_recipes() {
    std::size_t width = 0;
    for (const Recipe& recipe : recipes()) width = std::max(width, recipe.name.size());
    for (const Recipe& recipe : recipes()) {
        std::cout << recipe.name << std::string(width + 2 - recipe.name.size(), ' ') << recipe.summary << '\n';
    }
    std::cout << "\nNAME-fixed and NAME-dense run a recipe's controls: a fixed random topology, no sparsity at all.\n";
}

int train(const TrainArguments& arguments) {
    if (arguments.list_recipes) {
        print_recipes();
        return 0;
    }
    const Experiment experiment = arguments.experiment.resolve();
    if (arguments.print_config) {
        std::cout << config_text(experiment);
        return 0;
    }
    if (arguments.dry_run) {
        const MemoryEstimate estimate = estimate_memory(experiment);
        std::cout << (arguments.json ? estimate_json(estimate) + "\n" : estimate_table(estimate));
        return 0;
    }
    const RunResults results = run_training(experiment, {arguments.out, arguments.overwrite});
    std::cout << (arguments.json ? results_json(results) + "\n" : results_table(results)) << std::flush;
    return static_cast<int>(results.stopped ? ExitCode::stopped : ExitCode::ok);
}

}  // namespace

void add_train_command(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("train", "train a sparse network, pruning and regrowing its edges");
    const auto arguments = std::make_shared<TrainArguments>(*command);
    command->add_option("--out", arguments->out, "run folder (default: a new one under runs/)")->group("Run");
    command->add_flag("--overwrite", arguments->overwrite, "replace what an earlier run left in --out")->group("Run");
    command->add_flag("--json", arguments->json, "results as one JSON object, the last thing on stdout")->group("Run");
    command->add_flag("--print-config", arguments->print_config, "print the resolved options and end")->group("Run");
    command->add_flag("--dry-run", arguments->dry_run, "print edges, memory and disk a run would need, and end")
        ->group("Run");
    command->add_flag("--list-recipes", arguments->list_recipes, "print the recipes and end")->group("Run");
    command->callback([arguments, &action] { action = [arguments] { return train(*arguments); }; });
}

}  // namespace espalier
