#include "host/cpu/exchange.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "espalier/common/sum_exchange.hpp"
#include "host/cpu/operations.hpp"

namespace espalier {
namespace {

// Of each rank so many floats at a time: they stay in the first-level cache.
constexpr std::size_t summed_floats = 2048;

/// `mine`, this rank's array, becomes the sum by halves of the first `there` ranks'; the others' lie `stride` floats apart
/// in `arrays`, where the place of its own is not used.
void add_ranks(float* mine, Index rank, float* arrays, std::size_t stride, Index there, std::size_t floats) {
    for (std::size_t at = 0; at < floats; at += summed_floats) {
        const std::size_t count = std::min(summed_floats, floats - at);
        const auto part = [&](Index r) { return (r == rank ? mine : arrays + r * stride) + at; };
        for (Index half = std::bit_ceil(there) / 2; half > 1; half /= 2) {
            for (Index r = 0; r < half && r + half < there; ++r) add_floats(part(r), part(r + half), count);
        }
        if (rank == 1 && there > 1) {
            add_floats(part(1), part(0), count);  // the same bits as the other way round
            continue;
        }
        if (there > 1) add_floats(part(0), part(1), count);
        if (rank > 1 || rank >= there) std::memcpy(mine + at, part(0), count * sizeof(float));
    }
}

}  // namespace

TileShare Exchange::tiles() const {
    if (alone()) return {};
    return {static_cast<Index>(ranks_->place().rank), static_cast<Index>(ranks_->place().size)};
}

void Exchange::begin(float* own, std::size_t floats, Index tiles) {
    if (alone() || floats == 0) return;
    const auto count = static_cast<std::size_t>(ranks());
    own_ = own;
    there_ = std::min(static_cast<Index>(count), tiles);  // the others' arrays hold nothing
    const bool gathers = go_whole(floats, ranks());
    floats_ = gathers ? floats : piece_floats(floats, ranks());
    if (received_.size() < floats_ * count) received_.resize(floats_ * count);
    const std::size_t bytes = floats_ * sizeof(float);
    ticket_ = gathers ? ranks_->begin_all_gather(own, received_.data(), bytes)
                      : ranks_->begin_all_to_all(own, received_.data(), bytes);
    stage_ = gathers ? Stage::gathering : Stage::scattering;
}

void Exchange::advance() {
    if (stage_ != Stage::none && ranks_->is_done(ticket_)) next();
}

void Exchange::finish() {
    while (stage_ != Stage::none) next();
}

void Exchange::next() {
    ranks_->wait(ticket_);
    const auto rank = static_cast<Index>(ranks_->place().rank);
    float* const mine = stage_ == Stage::gathering ? own_ : own_ + std::size_t{rank} * floats_;
    if (stage_ != Stage::returning) add_ranks(mine, rank, received_.data(), floats_, there_, floats_);
    if (stage_ == Stage::scattering) {
        ticket_ = ranks_->begin_all_gather(mine, own_, floats_ * sizeof(float));
        stage_ = Stage::returning;
        return;
    }
    stage_ = Stage::none;
}

void Exchange::share_scores(std::vector<Metrics>& groups) {
    if (alone() || groups.empty()) return;
    const auto count = static_cast<std::size_t>(ranks());
    std::vector<Metrics> all(groups.size() * count);
    ranks_->all_gather(groups.data(), all.data(), groups.size() * sizeof(Metrics));
    constexpr std::size_t groups_of_tile = cpu_lanes / 16;
    for (std::size_t g = 0; g < groups.size(); ++g) {
        groups[g] = all[g / groups_of_tile % count * groups.size() + g];
    }
}

void Exchange::share_tiles(Activations values) {
    if (alone()) return;
    const TileShare mine = tiles();
    const std::size_t tile_floats = std::size_t{values.rows} * values.lanes;
    const std::size_t of_rank = tile_floats * mine.most(values.tiles());
    std::vector<float> own(of_rank);
    for (Index i = 0; i < mine.count(values.tiles()); ++i) {
        std::memcpy(own.data() + i * tile_floats, values.row(mine.tile(i), 0), tile_floats * sizeof(float));
    }
    std::vector<float> all(of_rank * mine.stride);
    ranks_->all_gather(own.data(), all.data(), of_rank * sizeof(float));
    for (Index tile = 0; tile < values.tiles(); ++tile) {
        const float* from = all.data() + tile % mine.stride * of_rank + tile / mine.stride * tile_floats;
        std::memcpy(values.row(tile, 0), from, tile_floats * sizeof(float));
    }
}

std::vector<std::uint64_t> Exchange::gather(std::uint64_t own) {
    return alone() ? std::vector<std::uint64_t>{} : ranks_->gather(own);
}

}  // namespace espalier
