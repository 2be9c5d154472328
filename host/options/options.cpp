#include "espalier/options.hpp"

#include "espalier/error.hpp"
#include "host/options/option_table.hpp"
#include "host/options/recipes.hpp"
#include "host/system/did_you_mean.hpp"

namespace espalier {

std::vector<OptionInfo> known_options() {
    std::vector<OptionInfo> all;
    for (const ExperimentOption& option : experiment_options()) all.push_back({option.name, option.group, option.help});
    return all;
}

void set_option(Experiment& experiment, const std::string& name, const std::string& value) {
    apply({{name, value}}, "option", experiment);
}

void set_options(Experiment& experiment, const std::map<std::string, std::string>& texts, const std::string& source) {
    apply(texts, source, experiment);
}

std::vector<RecipeInfo> known_recipes() {
    std::vector<RecipeInfo> all;
    for (const Recipe& recipe : recipes()) all.push_back({recipe.name, recipe.summary});
    return all;
}

std::string option_value(const Experiment& experiment, const std::string& name) {
    if (const ExperimentOption* found = find_option(name); found != nullptr) return found->get(experiment);
    std::vector<std::string> names;
    for (const ExperimentOption& option : experiment_options()) names.push_back(option.name);
    throw UserError(ExitCode::usage, "unknown option '" + name + "'" + did_you_mean(name, names));
}

Experiment recipe_experiment(const std::string& name) {
    Experiment experiment;
    apply(recipe_options(name), "recipe " + name, experiment);
    return experiment;
}

}  // namespace espalier
