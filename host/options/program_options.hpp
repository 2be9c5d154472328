// The options of what published programs do otherwise than the textbook: dropout, their samples, their training figures.
#pragma once

#include <vector>

#include "host/options/option_table.hpp"

namespace espalier {

void add_program_options(std::vector<ExperimentOption>& table);

/// Throws UserError (usage) where dropout is made up for at the test and the activation does not allow it.
void validate_dropout(const Experiment& experiment);

}  // namespace espalier
