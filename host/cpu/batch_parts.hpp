// Which part of a batch a member of the team works on: of the tiles that its process has.
#pragma once

#include <algorithm>

#include "host/cpu/operations.hpp"
#include "host/cpu/team.hpp"

namespace espalier {

/// Whether the process's tiles of a batch of `tiles` are dealt out whole to its threads.
inline bool has_whole_tiles(const TeamMember& member, Index tiles) {
    return whole_tiles(member.tiles.count(tiles), member.count);
}

/// Calls work(tile) for every tile of the process.
template <class Work>
void for_tiles_of_process(const TeamMember& member, Index tiles, const Work& work) {
    for (Index i = 0; i < member.tiles.count(tiles); ++i) work(member.tiles.tile(i));
}

/// Calls work(tile, its number among the process's) for the member's share of them.
template <class Work>
void for_own_tiles(const TeamMember& member, Index tiles, const Work& work) {
    const Range own = share(member, member.tiles.count(tiles));
    for (Index i = own.begin; i < own.end; ++i) work(member.tiles.tile(i), i);
}

/// Calls work(tile, range of rows) for the member's part of a batch: whole tiles where they can be dealt out evenly,
/// else a piece of the rows of every tile. Row ranges begin at multiples of `granule`.
template <class Work>
void for_tile_rows(const TeamMember& member, Index tiles, Index rows, Index granule, const Work& work) {
    if (has_whole_tiles(member, tiles)) {
        return for_own_tiles(member, tiles, [&](Index tile, Index /*number*/) { work(tile, Range{0, rows}); });
    }
    const Range own = share(member, (rows + granule - 1) / granule);
    const Range piece{std::min(own.begin * granule, rows), std::min(own.end * granule, rows)};
    if (piece.begin == piece.end) return;
    for_tiles_of_process(member, tiles, [&](Index tile) { work(tile, piece); });
}

/// Calls work(tile, first lane) for the member's groups of 16 lanes of a batch.
template <class Work>
void for_lane_groups(const TeamMember& member, Index tiles, const Work& work) {
    constexpr Index groups = cpu_lanes / 16;
    const Index held = member.tiles.count(tiles);
    Range own = share(member, held * groups);
    if (has_whole_tiles(member, tiles)) {
        const Range whole = share(member, held);
        own = {whole.begin * groups, whole.end * groups};
    }
    for (Index i = own.begin; i < own.end; ++i) work(member.tiles.tile(i / groups), i % groups * 16);
}

}  // namespace espalier
