// Joins the processes that a launcher started into the ranks of one training run.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "espalier/ranks.hpp"

namespace espalier {

/// What a user says of ranks.
struct RanksWanted {
    bool off = false;              // whoever started this process, it trains alone
    std::optional<int> count = {};  // any other number is refused
    double timeout_s = 600;        // for how long a rank may keep the others waiting
};

/// "auto", "off" or a number. Throws UserError (usage).
RanksWanted ranks_wanted(const std::string& text, double timeout_s);

/// The ranks that the environment speaks of; null where this process trains alone. `folders`: where modules lie.
/// Throws UserError: usage for another number than is wanted, device where the processes cannot be joined; never do
/// several go on alone.
std::unique_ptr<Ranks> open_ranks(const RanksWanted& wanted, const std::vector<std::filesystem::path>& folders);

/// The file of a module; empty if there is none of that name.
std::filesystem::path find_ranks_module(const std::string& name, const std::vector<std::filesystem::path>& folders);

}  // namespace espalier
