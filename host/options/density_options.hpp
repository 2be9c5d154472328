// The options of how many edges the sparse layers have, and what does not go together among them.
#pragma once

#include <string>
#include <vector>

#include "host/options/option_table.hpp"

namespace espalier {

void add_density_options(std::vector<ExperimentOption>& table);

/// Refuses more than one way to say how many edges there are. Throws UserError (usage).
void expect_one_density(const OptionTexts& texts, const std::string& source);

/// Throws UserError (usage) unless there is a density for each layer where layers have one each.
void validate_density(const Experiment& experiment);

/// Throws UserError (usage) where a schedule finishes before it begins, or does either beyond the run.
void validate_schedules(const Experiment& experiment);

}  // namespace espalier
