// What the ranks of one run make sure of: that they train the same, still have the same, and end at the same step.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "espalier/model.hpp"
#include "espalier/ranks.hpp"

namespace espalier {

struct Experiment;

/// Refuses (UserError, usage) other options than rank 0's, but for the machine's and the place of the data, and another
/// version of the program. Does nothing for null, as the functions below.
void expect_equal_options(Ranks* ranks, const Experiment& experiment);
/// Likewise other data, and a batch that has not a tile of `lanes` samples for every rank.
void expect_equal_data(Ranks* ranks, const Experiment& experiment, const std::string& digest, Index lanes);

/// Refuses (UserError, ranks) a layer that is not the same on all ranks; `epoch` counts from 1.
void expect_equal_layers(Backend& backend, Model& model, std::uint32_t epoch);

/// Says yes on all ranks as soon as `stop` does on one.
std::function<bool()> agreed_stop(Ranks* ranks, std::function<bool()> stop);

}  // namespace espalier
