// A layer with both views has its weights twice: by input, as the optimizer changes them, and in canonical order, as the
// forward pass reads them. The second copy follows the first by one walk in canonical order: outputs ascend in both, so
// that an input's next edge there has its next weight here, and no index of every edge's other place is needed. (Reading
// here and there also costs less than writing here and there.)
#pragma once

#include <cstdint>

#include "host/cpu/layer.hpp"
#include "host/cpu/team.hpp"

namespace espalier {

/// Into how many parts the rows are cut: so many that where they begin takes a byte an edge at most.
Index row_parts(Index num_inputs, std::uint64_t num_edges, int threads);

/// Cuts the rows of a layer with both views into parts for so many threads; again after every change of its topology.
void cut_rows(SparseCpuLayer& layer, int threads);

/// How many parts there are now.
Index num_row_parts(const SparseCpuLayer& layer);

/// A part of the rows, and its edges by input: those of input i are begin[i] .. end[i].
struct RowPart {
    Range rows;
    const EdgeIndex* begin;
    const EdgeIndex* end;
};
RowPart row_part(const SparseCpuLayer& layer, Index part);

/// The member's share of layer.weights from those `by_input`. `next`: room for num_inputs.
void take_weights(SparseCpuLayer& layer, const float* by_input, const TeamMember& member, EdgeIndex* next);

}  // namespace espalier
