// Stochastic binary units: probability sigmoid(field), state a draw that is a pure function of (seed, draw number,
// step, neuron, sample), so every backend draws the same one for the same probability.
#pragma once

#include <cstdint>

#include "espalier/activation.hpp"
#include "espalier/host_device.hpp"
#include "espalier/index.hpp"
#include "espalier/random.hpp"

namespace espalier {

/// Which draw of a step this is, and what its values are.
struct UnitDraw {
    std::uint64_t seed = 0;
    std::uint32_t number = 0;    // from 0 within a step; below 2^24
    bool probabilities = false;  // values are probabilities, not fields
    float scale = 1;             // factor on the means
};

class BernoulliUnits {
public:
    ESPALIER_HOST_DEVICE BernoulliUnits(const UnitDraw& draw, std::uint32_t step)
        : stream_{draw.seed, Purpose::sample, draw.number, step} {}

    /// 0 or 1: the state of (neuron, sample), by draw neuron * 2^32 + sample.
    [[nodiscard]] ESPALIER_HOST_DEVICE float state(float probability, Index neuron, Index sample) const {
        return of_bits(probability, stream_.bits((std::uint64_t{neuron} << 32) + sample));
    }

    /// The block of draws that samples sample .. sample + 4 share, one word each; sample is a multiple of 4.
    [[nodiscard]] ESPALIER_HOST_DEVICE RandomBlock block(Index neuron, Index sample) const {
        return stream_.block(((std::uint64_t{neuron} << 32) + sample) >> 2);
    }

    /// For who draws many at a time.
    [[nodiscard]] const Stream& stream() const { return stream_; }

    /// 24 bits against the probability, both exact in a float: 1 is always on, 0 never.
    [[nodiscard]] ESPALIER_HOST_DEVICE static float of_bits(float probability, std::uint32_t bits) {
        return static_cast<float>(static_cast<std::int32_t>(bits >> 8)) < probability * 16777216.0F ? 1.0F : 0.0F;
    }

private:
    Stream stream_;
};

}  // namespace espalier
