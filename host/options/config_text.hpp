// Options as text in files: key = value lines, as recipes and config files hold them and every run folder keeps them.
#pragma once

#include <string>

#include "host/options/option_table.hpp"

namespace espalier {

/// The experiment that a config.toml or a network file records. What one of an older program does not say yet has the
/// value it had then. Throws UserError (usage).
Experiment recorded_experiment(const OptionTexts& texts, const std::string& source);

/// Reads key = value lines (config_lines.hpp) without sections; a list is its values with commas between. "recipe" may
/// name a recipe to start from. Throws UserError (usage) with the source's name.
OptionTexts parse_config(const std::string& text, const std::string& source);

/// The same of a file. Throws UserError (usage), also for one too long to be meant.
OptionTexts read_config_file(const std::string& path);

/// config_text(), which parse_config reads back to the same Experiment, without the machine (backend, threads ...) and what is recorded: equal for runs that may differ only there,
/// as their networks are.
std::string experiment_text(const Experiment& experiment);

}  // namespace espalier
