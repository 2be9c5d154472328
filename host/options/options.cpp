#include "espalier/options.hpp"

#include "espalier/error.hpp"
#include "host/options/option_table.hpp"
#include "host/options/recipes.hpp"
#include "host/system/did_you_mean.hpp"

namespace espalier {

std::vector<OptionInfo> known_options() {
    std::vector<OptionInfo> all;
    for (const ExperimentOption& option : experiment_options()) all.push_back({option.name, option.help});
    return all;
}

void set_option(Experiment& experiment, const std::string& name, const std::string& value) {
    apply({{name, value}}, "option", experiment);
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
