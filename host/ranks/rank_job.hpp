// How the processes of one job end: together, with one code, whatever happens to one of them.
#pragma once

#include <functional>

#include "espalier/ranks.hpp"

namespace espalier {

/// Runs `work`, whose result is an exit code, on this rank, and comes back when all ranks are done; rank 0's code is
/// everybody's. An error that escapes from `work` on any rank is said on stderr and ends all processes with its code.
int run_rank_job(Ranks& ranks, const std::function<int()>& work);

}  // namespace espalier
