// Rank 0 reads what a run goes on from and tells the others, which need not see its folder.
#pragma once

#include <optional>

#include "espalier/ranks.hpp"
#include "host/training/resume.hpp"

namespace espalier {

inline bool is_rank_0(const Ranks* ranks) { return ranks == nullptr || ranks->place().rank == 0; }

/// Rank 0's interrupted run, history included, becomes everybody's. Does nothing for null, as below.
void share_interrupted_run(Ranks* ranks, std::optional<InterruptedRun>& run);
/// And its network.
void share_network(Ranks* ranks, Network& network);

}  // namespace espalier
