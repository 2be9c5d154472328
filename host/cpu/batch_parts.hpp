// Which part of a batch a member of the team works on.
#pragma once

#include <algorithm>

#include "host/cpu/operations.hpp"
#include "host/cpu/team.hpp"

namespace espalier {

/// Calls work(tile, range of rows) for the member's part of a batch: whole tiles where they can be dealt out evenly,
/// else a piece of the rows of every tile. Row ranges begin at multiples of `granule`.
template <class Work>
void for_tile_rows(const TeamMember& member, Index tiles, Index rows, Index granule, const Work& work) {
    if (whole_tiles(tiles, member.count)) {
        const Range own = share(member, tiles);
        for (Index tile = own.begin; tile < own.end; ++tile) work(tile, Range{0, rows});
        return;
    }
    const Range own = share(member, (rows + granule - 1) / granule);
    const Range piece{std::min(own.begin * granule, rows), std::min(own.end * granule, rows)};
    for (Index tile = 0; tile < tiles && piece.begin < piece.end; ++tile) work(tile, piece);
}

/// Calls work(tile, first lane) for the member's groups of 16 lanes of a batch.
template <class Work>
void for_lane_groups(const TeamMember& member, Index tiles, const Work& work) {
    constexpr Index groups = cpu_lanes / 16;
    Range own = share(member, tiles * groups);
    if (whole_tiles(tiles, member.count)) {
        const Range whole = share(member, tiles);
        own = {whole.begin * groups, whole.end * groups};
    }
    for (Index i = own.begin; i < own.end; ++i) work(i / groups, i % groups * 16);
}

}  // namespace espalier
