// Experiments from texts: the options of the command line by name, and recipes.
#pragma once

#include <string>
#include <vector>

#include "espalier/experiment.hpp"

namespace espalier {

/// An option of the command line, "learning-rate", and what its help says.
struct OptionInfo {
    std::string name;
    std::string help;
};
/// All of them, in the order of the help.
std::vector<OptionInfo> known_options();

/// Sets one option from the text that the command line takes: set_option(e, "learning-rate", "cosine(value=0.1)").
/// Throws UserError (usage) saying what is wrong with the value; an unknown name is answered with the nearest one.
void set_option(Experiment& experiment, const std::string& name, const std::string& value);

/// An option's value as text that set_option reads back. Throws UserError (usage) for an unknown name.
std::string option_value(const Experiment& experiment, const std::string& name);

/// The experiment of a recipe, "experiment-1". Throws UserError (usage) for an unknown name.
Experiment recipe_experiment(const std::string& name);

/// Checks what no single option can see (epsilon against the widths, momentum against the optimizer ...).
/// Throws UserError (usage).
void validate(const Experiment& experiment);

}  // namespace espalier
