#include "host/experiment_arguments.hpp"

#include <CLI/CLI.hpp>
#include <fstream>
#include <sstream>

#include "espalier/error.hpp"
#include "host/recipes.hpp"

namespace espalier {

void add_experiment_options(CLI::App& app, OptionTexts& given) {
    const Experiment defaults;
    for (const ExperimentOption& option : experiment_options()) {
        const std::string name = option.name;
        app.add_option_function<std::string>(
               "--" + name, [&given, name](const std::string& text) { given[name] = text; }, option.help)
            ->default_str(option.get(defaults))
            ->group(option.group)
            ->type_name("")
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    }
}

ExperimentArguments::ExperimentArguments(CLI::App& app) {
    add_experiment_options(app, given_);
    app.add_option("--config", config_, "file of options (key = value), as --print-config writes it")->group("What");
}

Experiment ExperimentArguments::resolve() const {
    OptionTexts config;
    if (!config_.empty()) {
        std::ifstream file(config_, std::ios::binary);
        std::ostringstream text;
        if (!file || !(text << file.rdbuf())) {
            throw UserError(ExitCode::usage, "cannot read the config file " + config_);
        }
        config = parse_config(text.str(), config_);
    }
    Experiment experiment;
    const auto named = given_.contains("recipe") ? given_.find("recipe") : config.find("recipe");
    const bool has_recipe = given_.contains("recipe") || config.contains("recipe");
    if (has_recipe) apply(recipe_options(named->second), "recipe " + named->second, experiment);
    apply(config, config_, experiment);
    apply(given_, "command line", experiment);
    validate(experiment);
    return experiment;
}

}  // namespace espalier
