// Inverted dropout: a value is kept with probability 1 - rate and then divided by it. The mask is a pure function of
// neuron and sample under its stream, so the backward pass finds it again and every backend draws the same one.
#pragma once

#include "espalier/host_device.hpp"
#include "espalier/index.hpp"
#include "espalier/random.hpp"

namespace espalier {

class DropoutMask {
public:
    /// rate lies in [0, 1); the stream's event is the step.
    ESPALIER_HOST_DEVICE DropoutMask(float rate, const Stream& stream)
        : stream_(stream),
          threshold_(static_cast<std::uint32_t>(static_cast<double>(rate) * 4294967296.0)),
          kept_(1.0F / (1.0F - rate)) {}

    /// The same mask for another event: a device reads the step from its own memory.
    [[nodiscard]] ESPALIER_HOST_DEVICE DropoutMask of_event(std::uint32_t event) const {
        DropoutMask result = *this;
        result.stream_.event = event;
        return result;
    }

    /// What the value of (neuron, sample) is multiplied by: draw neuron * 2^32 + sample decides.
    [[nodiscard]] ESPALIER_HOST_DEVICE float factor(Index neuron, Index sample) const {
        return factor_of(stream_.bits((std::uint64_t{neuron} << 32) + sample));
    }

    /// The factors of samples sample .. sample + 4, which share one random block; sample is a multiple of 4.
    ESPALIER_HOST_DEVICE void factors(Index neuron, Index sample, float (&result)[4]) const {
        const RandomBlock block = stream_.block(((std::uint64_t{neuron} << 32) + sample) >> 2);
        for (int i = 0; i < 4; ++i) result[i] = factor_of(block.word[i]);
    }

    // What draws many at a time needs to know: a unit is dropped if its draw lies below threshold(), else scaled.
    [[nodiscard]] const Stream& stream() const { return stream_; }
    [[nodiscard]] std::uint32_t threshold() const { return threshold_; }
    [[nodiscard]] float scale() const { return kept_; }

private:
    [[nodiscard]] ESPALIER_HOST_DEVICE float factor_of(std::uint32_t bits) const {
        return bits < threshold_ ? 0.0F : kept_;
    }

    Stream stream_;
    std::uint32_t threshold_;
    float kept_;
};

}  // namespace espalier
