// One table of everything an Experiment can be told: it makes the command line, the meaning of recipes and config files
// (config_text.hpp) and the resolved configuration, and validates every value where it is set. Precedence: defaults <
// recipe < config file < command line.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "espalier/experiment.hpp"
#include "espalier/options.hpp"

namespace espalier {

struct ExperimentOption {
    std::string name;   // "weight-decay": --weight-decay on the command line, weight-decay = ... in files
    std::string group;  // heading in the help
    std::string help;
    /// Sets from text. Throws UserError (usage) saying what is wrong with the value and what would be right.
    std::function<void(Experiment&, const std::string&)> set;
    /// The value as text that `set` reads back; empty when another option already says it.
    std::function<std::string(const Experiment&)> get;
    std::vector<std::string> values = {};    // the names it takes, where there is a list of them
    std::vector<std::string> synonyms = {};  // names it also answers to, on the command line and in files
};

const std::vector<ExperimentOption>& experiment_options();

/// The entry of that name or synonym, whatever the case of letters; null if there is none.
const ExperimentOption* find_option(const std::string& name);

/// What a schedule can be, line by line, for a help text.
std::vector<std::string> schedule_lines();

/// Option texts by name, from one source (a recipe, a file or the command line).
using OptionTexts = std::map<std::string, std::string>;

/// Sets the options named in `texts`, in the table's order. `source` heads the errors ("recipe baseline-1").
/// Synonyms count as the name they stand for. Throws UserError (usage); an unknown name is answered with the nearest
/// known one.
void apply(const OptionTexts& texts, const std::string& source, Experiment& experiment);

/// The options that make runs different experiments: all but the seed and the machine (folder of the data, backend,
/// threads, what is recorded).
OptionTexts experiment_texts(const Experiment& experiment);

}  // namespace espalier
