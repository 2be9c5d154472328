#include "host/commands/experiment_options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <variant>
#include <vector>

#include "host/commands/validators.hpp"
#include "host/options/config_text.hpp"
#include "host/options/recipes.hpp"

namespace espalier {

void add_experiment_options(CLI::App& app, OptionTexts& given) {
    const Experiment defaults;
    app.option_defaults()->ignore_case();  // also of the options that the command adds after these
    for (const ExperimentOption& option : experiment_options()) {
        const std::string name = option.name;
        std::string names = "--" + name;
        for (const std::string& other : option.synonyms) names += ",--" + other;
        app.add_option_function<std::string>(
               names, [&given, name](const std::string& text) { given[name] = text; }, option.help)
            ->default_str(option.get(defaults))
            ->group(option.group)
            ->type_name("")
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    }
    app.add_flag_callback("--gpu", [&given] { given["backend"] = "cuda"; }, "short for --backend cuda")
        ->group("Machine");
    app.add_flag_callback("--cpu", [&given] { given["backend"] = "cpu"; }, "short for --backend cpu")->group("Machine");
    std::string schedules = "Schedules of learning rates, decays, zeta and edges kept, a bare number being constant:";
    for (const std::string& line : schedule_lines()) schedules += "\n  " + line;
    app.footer(app.get_footer() + (app.get_footer().empty() ? "" : "\n\n") + schedules);
}

void add_progress_option(CLI::App& app, ProgressForm& form, const std::string& group) {
    const auto set = [&form](const std::string& text) {
        const auto& names = progress_forms();
        form = static_cast<ProgressForm>(std::find(names.begin(), names.end(), text) - names.begin());
    };
    app.add_option_function<std::string>("--progress", set,
                                         "what stderr shows: auto (lines that stay, and a bar on a terminal), bar, "
                                         "lines or none")
        ->check(one_of(progress_forms()))
        ->default_str("auto")
        ->type_name("")
        ->group(group);
}

ExperimentArguments::ExperimentArguments(CLI::App& app) {
    add_experiment_options(app, given_);
    app.add_option("--config", config_, "file of options (key = value), as --print-config writes it")->group("What");
}

Experiment ExperimentArguments::resolve(Experiment experiment) const {
    OptionTexts config;
    if (!config_.empty()) config = read_config_file(config_);
    OptionTexts given = given_;
    for (OptionTexts* texts : {&given, &config}) {
        const auto named = texts->find("recipe");
        if (named == texts->end()) continue;
        const OptionTexts recipe = recipe_options(named->second);
        named->second = recipe.at("recipe");  // as it is spelled
        apply(recipe, "recipe " + named->second, experiment);
        break;  // the command line's is the one that counts
    }
    apply(config, config_, experiment);
    apply(given, "command line", experiment);
    validate(experiment);
    return experiment;
}

std::string ExperimentArguments::idle_options(const Experiment& experiment) const {
    const bool never = std::holds_alternative<NeverEvolve>(experiment.cadence);
    if (experiment.topology == TopologyKind::set && !never) return "";
    std::vector<std::string> names;
    for (const auto& [name, text] : given_) {
        const ExperimentOption* option = find_option(name);
        if (option == nullptr || option->group != "Evolution" || option->name == "evolve") continue;
        names.push_back("--" + option->name);
    }
    if (names.empty()) return "";
    std::string text;
    for (std::size_t i = 0; i < names.size(); ++i) text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
    return text + (names.size() == 1 ? " does" : " do") + " nothing: " +
           (experiment.topology == TopologyKind::fixed   ? "the topology is fixed"
            : experiment.topology == TopologyKind::dense ? "every layer is dense"
                                                         : "with --evolve never the topology is fixed");
}

}  // namespace espalier
