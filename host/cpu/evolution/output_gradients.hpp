// Growth by gradient output by output, the CPU's way to the ranks of top_gradients_by_output() of
// espalier/common/top_gradients.hpp.
#pragma once

#include "espalier/backend.hpp"
#include "espalier/common/evolution_steps.hpp"
#include "host/cpu/evolution/scratch.hpp"
#include "host/cpu/evolution/top_gradients.hpp"

namespace espalier {

/// Writes the ranks of each output's best missing cells, change.num_grown in all; in memory of twice these.
/// Key: 32 bits where they hold every cell, else 64.
template <class Key>
void fast_gradients_by_output(const Evidence& evidence, const CsrView& edges, const Replacement<Key>& change,
                              const GradientSearch& search, const Stream& draws, CpuScratch& scratch, Key* ranks);

}  // namespace espalier
