// Experiments from texts: the options of the command line by name, and recipes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "espalier/experiment.hpp"

namespace espalier {

/// An option of the command line, "learning-rate", and what its help says.
struct OptionInfo {
    std::string name;
    std::string group;  // the heading it stands under
    std::string help;
};
/// All of them, in the order of the help.
std::vector<OptionInfo> known_options();

/// Sets one option from the text that the command line takes: set_option(e, "learning-rate", "cosine(value=0.1)").
/// Throws UserError (usage) saying what is wrong with the value; an unknown name is answered with the nearest one.
void set_option(Experiment& experiment, const std::string& name, const std::string& value);

/// Sets several at once, in the order of known_options(), as a configuration file does. `source` heads the errors.
void set_options(Experiment& experiment, const std::map<std::string, std::string>& texts, const std::string& source);

/// An option's value as text that set_option reads back. Throws UserError (usage) for an unknown name.
std::string option_value(const Experiment& experiment, const std::string& name);

/// The lines of a configuration file that make this experiment, as --print-config prints them.
std::string config_text(const Experiment& experiment);

/// A recipe's name, and its purpose in a sentence.
struct RecipeInfo {
    std::string name;
    std::string summary;
};
std::vector<RecipeInfo> known_recipes();

/// The experiment of a recipe, "experiment-1". Throws UserError (usage) for an unknown name.
Experiment recipe_experiment(const std::string& name);

/// Checks what no single option can see (epsilon against the widths, momentum against the optimizer ...).
/// Throws UserError (usage).
void validate(const Experiment& experiment);

}  // namespace espalier
