// What doctor says of ranks: who started this process, which modules can join it to others, and who the others are.
#pragma once

#include <nlohmann/json.hpp>

namespace espalier {

class Ranks;

/// "launcher", "processes", "modules" and, where the processes were joined, "library" and "ranks".
nlohmann::ordered_json examine_ranks(Ranks* ranks);
void print_ranks(const nlohmann::ordered_json& report, std::ostream& out);

}  // namespace espalier
