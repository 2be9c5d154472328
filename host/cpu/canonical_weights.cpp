#include "host/cpu/canonical_weights.hpp"

#include <algorithm>

#include "host/system/processors.hpp"
#include "hwy/base.h"
#include "hwy/cache_control.h"

namespace espalier {
namespace {

Range rows_of_part(const SparseCpuLayer& layer, Index part, Index parts) {
    const TeamMember as_member{static_cast<int>(part), static_cast<int>(parts)};
    return share_of_edges(as_member, layer.row_start.data(), layer.num_outputs);
}

/// canonical[e] of the edges begin .. end; next[input]: where its first of these lies by input.
void take(const float* HWY_RESTRICT by_input, const Index* HWY_RESTRICT input, EdgeIndex begin, EdgeIndex end,
          EdgeIndex* HWY_RESTRICT next, float* HWY_RESTRICT canonical, bool fetch_ahead) {
    constexpr EdgeIndex ahead = 48;
    EdgeIndex e = begin;
    if (fetch_ahead) {
        for (; end - e > ahead; ++e) {
            hwy::Prefetch(by_input + next[input[e + ahead]]);
            canonical[e] = by_input[next[input[e]]++];
        }
    }
    for (; e < end; ++e) canonical[e] = by_input[next[input[e]]++];
}

}  // namespace

Index row_parts(Index num_inputs, std::uint64_t num_edges, int threads) {
    if (num_inputs == 0) return 1;
    const std::uint64_t most = 1 + num_edges / (std::uint64_t{sizeof(EdgeIndex)} * num_inputs);
    return static_cast<Index>(std::min(static_cast<std::uint64_t>(std::max(threads, 1)), most));
}

void cut_rows(SparseCpuLayer& layer, int threads) {
    layer.part_starts.clear();
    if (!layer.by_input()) return;
    const Index parts = row_parts(layer.num_inputs, layer.num_edges(), threads);
    layer.part_starts.reserve(std::size_t{parts - 1} * layer.num_inputs);
    const Index* const rows = layer.row.data();
    for (Index part = 1; part < parts; ++part) {
        const Index first_row = rows_of_part(layer, part, parts).begin;
        for (Index input = 0; input < layer.num_inputs; ++input) {
            const Index* const begin = rows + layer.column_start[input];
            const Index* const end = rows + layer.column_start[input + 1];
            layer.part_starts.push_back(static_cast<EdgeIndex>(std::lower_bound(begin, end, first_row) - rows));
        }
    }
}

Index num_row_parts(const SparseCpuLayer& layer) {
    return layer.num_inputs == 0 ? 1 : 1 + static_cast<Index>(layer.part_starts.size() / layer.num_inputs);
}

RowPart row_part(const SparseCpuLayer& layer, Index part) {
    const Index parts = num_row_parts(layer);
    const auto start_of = [&](Index number) { return layer.part_starts.data() + std::size_t{number - 1} * layer.num_inputs; };
    return {rows_of_part(layer, part, parts), part == 0 ? layer.column_start.data() : start_of(part),
            part + 1 == parts ? layer.column_start.data() + 1 : start_of(part + 1)};
}

void take_weights(SparseCpuLayer& layer, const float* by_input, const TeamMember& member, EdgeIndex* next) {
    const Index parts = num_row_parts(layer);
    const bool fetch_ahead = layer.num_edges() * sizeof(float) > caches().second;
    for (auto part = static_cast<Index>(member.index); part < parts; part += static_cast<Index>(member.count)) {
        const RowPart own = row_part(layer, part);
        std::copy_n(own.begin, layer.num_inputs, next);
        take(by_input, layer.column.data(), layer.row_start[own.rows.begin], layer.row_start[own.rows.end], next,
             layer.weights.data(), fetch_ahead);
    }
}

}  // namespace espalier
