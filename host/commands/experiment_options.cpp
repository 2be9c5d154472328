#include "host/commands/experiment_options.hpp"

#include <CLI/CLI.hpp>

#include "host/options/config_text.hpp"
#include "host/options/recipes.hpp"

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

Experiment ExperimentArguments::resolve(Experiment experiment) const {
    OptionTexts config;
    if (!config_.empty()) config = read_config_file(config_);
    const auto named = given_.contains("recipe") ? given_.find("recipe") : config.find("recipe");
    const bool has_recipe = given_.contains("recipe") || config.contains("recipe");
    if (has_recipe) apply(recipe_options(named->second), "recipe " + named->second, experiment);
    apply(config, config_, experiment);
    apply(given_, "command line", experiment);
    validate(experiment);
    return experiment;
}

}  // namespace espalier
