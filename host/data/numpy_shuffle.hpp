// The shuffle of NumPy's legacy generator (numpy.random.seed, numpy.random.shuffle), for samples that published programs
// chose by it: Mersenne twister MT19937, and Fisher and Yates from the end with draws below a power of two that are
// repeated until they fit. The legacy generator is frozen (NEP 19), so this order will not change.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace espalier {

class NumpyShuffle {
public:
    explicit NumpyShuffle(std::uint32_t seed) : words_(seed) {}
    /// The numbers 0 .. count - 1 as numpy.random.shuffle leaves them; count is at most 2^32 - 1.
    std::vector<std::uint32_t> order(std::uint32_t count);

private:
    std::mt19937 words_;
};

}  // namespace espalier
