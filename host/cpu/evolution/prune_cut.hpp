// Where a prune rule cuts, found by counting the keys by their leading bits and sorting out one bin. The same cut as
// by sorting them all.
#pragma once

#include "espalier/common/evolution_steps.hpp"
#include "espalier/index.hpp"

namespace espalier {

PruneCut cut_by_counting(const float* weights, EdgeIndex count, const PruneOrder& order, double zeta, int threads);

/// Writes the slots that go into `pruned` (room for `count`), ascending, and returns how many; as pruned_slots, whose
/// cut with its ties resolved it takes.
EdgeIndex cut_slots(const float* weights, EdgeIndex count, const PruneOrder& order, const PruneCut& cut,
                    EdgeIndex* pruned, int threads);

}  // namespace espalier
