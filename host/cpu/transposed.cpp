#include "host/cpu/transposed.hpp"

#include "host/cpu/batch_parts.hpp"
#include "host/cpu/dense.hpp"
#include "host/cpu/operations.hpp"

namespace espalier {
namespace {

void add_offsets(const float* offsets, Activations x, Index tile, Range rows) {
    for (Index r = rows.begin; r < rows.end; ++r) {
        float* row = x.row(tile, r);
        for (Index lane = 0; lane < worked_lanes(x.used(tile)); ++lane) row[lane] += offsets[r];
    }
}

void transposed_dense(const TeamMember& member, const DenseCpuLayer& layer, const float* offsets, ConstActivations y,
                      Activations x) {
    for_tile_rows(member, x.tiles(), x.rows, dense_block, [&](Index tile, Range columns) {
        for (Index block = columns.begin / dense_block; block < dense_blocks(columns.end); ++block) {
            const Range inputs = dense_block_rows(block, x.rows);
            dense_input_gradient(layer, y, x, tile, inputs);
            add_offsets(offsets, x, tile, inputs);
        }
    });
}

}  // namespace

Index transposed_tiles(const CpuLayer& layer, ConstActivations y) {
    return is_narrow(y) && dynamic_cast<const SparseCpuLayer*>(&layer) != nullptr ? 0 : y.tiles();
}

void transposed_part(const TeamMember& member, const CpuLayer& layer, const float* offsets, ConstActivations y,
                     Activations x) {
    if (const auto* dense = dynamic_cast<const DenseCpuLayer*>(&layer)) {
        return transposed_dense(member, *dense, offsets, y, x);
    }
    const auto& sparse = dynamic_cast<const SparseCpuLayer&>(layer);
    if (is_narrow(y)) {
        if (member.tiles.first > 0) return;  // the batch is one tile
        const Range columns = share_of_edges(member, sparse.column_start.data(), x.rows);
        return narrow_transposed(sparse, offsets, pack_lanes(y, member.scratch), x, columns);
    }
    const auto of_tile = [&](Index tile, Range columns) {
        transposed_rows(sparse, input_edges(sparse), offsets, y, x, tile, columns);
    };
    if (has_whole_tiles(member, x.tiles())) return for_tile_rows(member, x.tiles(), x.rows, 1, of_tile);
    const Range columns = share_of_edges(member, sparse.column_start.data(), x.rows);
    for_tiles_of_process(member, x.tiles(), [&](Index tile) { of_tile(tile, columns); });
}

}  // namespace espalier
