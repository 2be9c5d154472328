// What the ranks of the CPU backend tell each other: sums of gradients, scores, tiles. Bytes travel by Ranks; sums are
// made here, in one order, whatever library carries them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "espalier/backend.hpp"
#include "espalier/ranks.hpp"
#include "host/cpu/memory.hpp"
#include "host/cpu/tile_share.hpp"

namespace espalier {

class Exchange {
public:
    /// Floats behind those given to begin() that it may overwrite.
    static constexpr std::size_t slack(int ranks) { return static_cast<std::size_t>(ranks) * 16; }

    /// `ranks` may be null: alone.
    explicit Exchange(Ranks* ranks) : ranks_(ranks) {}

    [[nodiscard]] bool alone() const { return ranks_ == nullptr; }
    /// The processes that share this one's CPUs.
    [[nodiscard]] int sharing() const { return alone() ? 1 : ranks_->place().sharing; }
    [[nodiscard]] int ranks() const { return alone() ? 1 : ranks_->place().size; }
    [[nodiscard]] TileShare tiles() const;

    /// `own`, a rank's sum over its tiles of a batch of `tiles`, becomes the sum over all ranks' by halves: from
    /// begin() on, when nobody may touch it, until finish(). One at a time. Alone nothing happens.
    void begin(float* own, std::size_t floats, Index tiles);
    /// Lets what was begun get on, without waiting.
    void advance();
    void finish();
    /// Every rank's scores of its groups of lanes, so that all have all.
    void share_scores(std::vector<Metrics>& groups);
    /// Every rank's tiles of `values`, likewise.
    void share_tiles(Activations values);
    /// A number of each rank; none alone.
    [[nodiscard]] std::vector<std::uint64_t> gather(std::uint64_t own);

private:
    /// How far a sum has come: all have sent all to all; a piece to each; the summed pieces back.
    enum class Stage { none, gathering, scattering, returning };
    /// What follows when the stage's transfer is done.
    void next();

    Ranks* ranks_;
    Stage stage_ = Stage::none;
    Ranks::Ticket ticket_ = 0;
    float* own_ = nullptr;
    std::size_t floats_ = 0;  // of each rank's array in received_
    Index there_ = 0;         // ranks that have tiles
    AlignedVector<float> received_;
};

}  // namespace espalier
