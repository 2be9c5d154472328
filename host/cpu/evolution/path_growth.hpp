// Growth by paths of length three: GrowByPaths of espalier/evolution_rules.hpp.
#pragma once

#include "espalier/common/evolution_steps.hpp"
#include "espalier/evolution_rules.hpp"
#include "host/cpu/evolution/scratch.hpp"

namespace espalier {

/// A cell's score in units of 2^-20; integers, so that their sums know no order.
inline constexpr std::uint64_t path_unit = std::uint64_t{1} << 20;

/// Writes the ranks of the new edges among `missing` cells, ascending. `stream` draws cells without a path, the noise of
/// sampling has a stream of its own.
template <class Key>
void draw_by_paths(const GrowByPaths& rule, const CsrView& edges, const Replacement<Key>& change, Cell missing,
                   const Stream& stream, int threads, CpuScratch& scratch, Key* ranks);

}  // namespace espalier
