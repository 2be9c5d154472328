// The missing cells of largest gradients, as espalier/common/top_gradients.hpp says, without a matrix and at the speed of
// a dense product: blocks of gradients never leave the registers but for those that reach the best so far.
#pragma once

#include <cstdint>

#include "espalier/backend.hpp"
#include "espalier/common/evolution_steps.hpp"
#include "host/cpu/evolution/scratch.hpp"

namespace espalier {

/// How to look for them; nothing of the result depends on it.
struct GradientSearch {
    int threads = 1;
    bool skip_blocks = true;      // that Cauchy and Schwarz show to hold nothing
    std::size_t spare_cells = 0;  // beyond those wanted that are held before the worst are dropped; 0: as many again
};

/// Writes the ranks of the at most change.num_grown missing cells of largest gradients that are neither 0 nor NaN,
/// ascending; returns how many.
template <class Key>
EdgeIndex fast_top_gradients(const Evidence& evidence, const CsrView& edges, const Replacement<Key>& change,
                             const GradientSearch& search, CpuScratch& scratch, Key* ranks);

/// Writes the ranks of the new edges among `missing` cells, ascending: as draw_by_gradient.
template <class Key>
void fast_draw_by_gradient(const GrowGradient& rule, const Evidence& evidence, const CsrView& edges,
                           const Replacement<Key>& change, Cell missing, const Stream& stream, int threads,
                           CpuScratch& scratch, Key* ranks);

}  // namespace espalier
