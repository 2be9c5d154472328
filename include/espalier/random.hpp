// Counter-based random numbers: draw n of stream (seed, purpose, layer, event) is a pure function, so there is
// no state to save and the host and every device produce the same integers.
// Source of the generator: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Philox4x32-10).
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "espalier/host_device.hpp"
#include "espalier/index.hpp"
#include "espalier/portable_math.hpp"

namespace espalier {

/// What a stream of draws is for. The numbers are part of the reproducibility promise: append, never renumber.
enum class Purpose : std::uint32_t {
    topology = 1,        // which cells hold an edge at birth
    initial_weight = 2,  // one draw per cell
    initial_bias = 3,
    shuffle = 4,  // order of the samples of an epoch
    grow = 5,     // which missing cells get an edge
    new_weight = 6,
    evolve = 7,  // does this layer evolve at this step?
    dropout = 8,
    synthetic = 9,  // the built-in data set
    sample = 10,    // Bernoulli units
    permutation_test = 11,
    bootstrap = 12,
    annealing = 13,    // chains of annealed importance sampling
    gibbs_start = 14,  // where Gibbs chains begin
    binary_data = 15,  // data drawn with their values as probabilities
    prune = 16,        // which edges a rule that draws prunes
    probe = 17,        // which samples growth takes gradients of
    candidates = 18,   // which cells growth looks at, where it does not look at all
    path_noise = 19,   // which of the cells that paths lead to get an edge
};

struct RandomBlock {
    std::uint32_t word[4];
};

/// Philox4x32-10: 128 random bits for a 128-bit counter under a 64-bit key.
ESPALIER_HOST_DEVICE constexpr RandomBlock philox4x32(RandomBlock counter, std::uint32_t key0, std::uint32_t key1) {
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * counter.word[0];
        const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * counter.word[2];
        counter = {{static_cast<std::uint32_t>(product1 >> 32) ^ counter.word[1] ^ key0,
                    static_cast<std::uint32_t>(product1),
                    static_cast<std::uint32_t>(product0 >> 32) ^ counter.word[3] ^ key1,
                    static_cast<std::uint32_t>(product0)}};
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return counter;
}

/// A stream of draws, told apart by what it is for. `event` counts epochs, steps or evolutions.
struct Stream {
    std::uint64_t seed = 0;
    Purpose purpose = Purpose::topology;
    std::uint32_t layer = 0;  // at most 2^24 - 1
    std::uint32_t event = 0;

    /// The 128-bit block `n`.
    [[nodiscard]] ESPALIER_HOST_DEVICE constexpr RandomBlock block(std::uint64_t n) const {
        return philox4x32({{static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(n >> 32), event,
                            (static_cast<std::uint32_t>(purpose) << 24) | layer}},
                          static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
    }
    /// 32 random bits, draw `n`.
    [[nodiscard]] ESPALIER_HOST_DEVICE constexpr std::uint32_t bits(std::uint64_t n) const {
        // chosen without an index, which would keep compilers from drawing several at a time
        const RandomBlock drawn = block(n >> 2);
        const std::uint32_t even = (n & 2) != 0 ? drawn.word[2] : drawn.word[0];
        const std::uint32_t odd = (n & 2) != 0 ? drawn.word[3] : drawn.word[1];
        return (n & 1) != 0 ? odd : even;
    }
};

/// A 32-bit draw mapped to [0, bound) by multiply-high (bias below bound / 2^32).
ESPALIER_HOST_DEVICE constexpr std::uint32_t bounded(std::uint32_t bits, std::uint32_t bound) {
    return static_cast<std::uint32_t>((std::uint64_t{bits} * bound) >> 32);
}

/// A 64-bit draw mapped to [0, bound) by multiply-high (bias below bound / 2^64).
ESPALIER_HOST_DEVICE constexpr std::uint64_t bounded64(std::uint64_t bits, std::uint64_t bound) {
    const std::uint64_t high = bits >> 32;
    const std::uint64_t low = bits & 0xffffffffU;
    const std::uint64_t bound_high = bound >> 32;
    const std::uint64_t bound_low = bound & 0xffffffffU;
    const std::uint64_t middle = high * bound_low + ((low * bound_low) >> 32);
    const std::uint64_t carried = low * bound_high + (middle & 0xffffffffU);
    return high * bound_high + (middle >> 32) + (carried >> 32);
}

/// True with the given probability; 1 is always, 0 never.
constexpr bool bernoulli(std::uint32_t bits, double probability) {
    return static_cast<double>(bits) < probability * 4294967296.0;
}

/// Uniform in (-1, 1), a multiple of 2^-23 off centre: exact in every rounding, never 0, never an end.
ESPALIER_HOST_DEVICE inline float symmetric_uniform(std::uint32_t bits) {
    const int top = static_cast<int>(bits >> 8);  // 24 bits
    return (static_cast<float>(top - 8388608) + 0.5F) * (1.0F / 8388608.0F);
}

/// A key whose order is that of log(weight) plus Gumbel noise by `bits`: the highest keys of several are a sample without
/// replacement in proportion to the weights. Above 0 for every number. The noise is that of a uniform number in (0, 1),
/// an odd multiple of 2^-24. Sources: Efraimidis & Spirakis, "Weighted random sampling with a reservoir", 2006; Kool et
/// al., "Stochastic beams and where to find them", ICML 2019.
ESPALIER_HOST_DEVICE inline std::uint32_t gumbel_key(float log_weight, std::uint32_t bits) {
    const float uniform = (static_cast<float>(bits >> 9) + 0.5F) * (1.0F / 8388608.0F);
    const float noisy = log_weight - portable_log(-portable_log(uniform));
    std::uint32_t word = 0;
    std::memcpy(&word, &noisy, sizeof word);
    return (word & 0x80000000U) != 0 ? ~word : word | 0x80000000U;  // integers in the order of floats
}

/// Standard normal from 32 bits by the inverse distribution function.
/// Source: M. Giles, "Approximating the erfinv function", GPU Computing Gems, 2010 (single precision).
ESPALIER_HOST_DEVICE inline float normal(std::uint32_t bits) {
    const float x = symmetric_uniform(bits);
    const float w = -portable_log(fmaf(-x, x, 1.0F));
    // both branches, then a choice: vectors have no branches, and the tail's has 1 draw in 150
    const float c = w - 2.5F;
    float centre = 2.81022636e-08F;
    centre = fmaf(centre, c, 3.43273939e-07F);
    centre = fmaf(centre, c, -3.5233877e-06F);
    centre = fmaf(centre, c, -4.39150654e-06F);
    centre = fmaf(centre, c, 0.00021858087F);
    centre = fmaf(centre, c, -0.00125372503F);
    centre = fmaf(centre, c, -0.00417768164F);
    centre = fmaf(centre, c, 0.246640727F);
    centre = fmaf(centre, c, 1.50140941F);
    const float t = sqrtf(w < 5.0F ? 5.0F : w) - 3.0F;
    float tail = -0.000200214257F;
    tail = fmaf(tail, t, 0.000100950558F);
    tail = fmaf(tail, t, 0.00134934322F);
    tail = fmaf(tail, t, -0.00367342844F);
    tail = fmaf(tail, t, 0.00573950773F);
    tail = fmaf(tail, t, -0.0076224613F);
    tail = fmaf(tail, t, 0.00943887047F);
    tail = fmaf(tail, t, 1.00167406F);
    tail = fmaf(tail, t, 2.83297682F);
    const float p = w < 5.0F ? centre : tail;
    return 1.41421356F * p * x;
}

/// A keyed pseudo-random permutation of [0, size), evaluated point by point: a Feistel network on pairs (left, right)
/// with right below a power of two and left below whatever makes the pairs just cover the range, walked in the rare
/// case that it lands outside. Stateless, so a shuffle needs no index array and a draw of k distinct numbers no
/// rejection table. Size at least 1, at most 2^64 - 2^32.
/// Source: Mitchell et al., "Bandwidth-optimal random shuffling for GPUs", 2021 (arXiv 2106.06161), there with powers
/// of two for both halves, which costs up to three walks of four.
class Permutation {
public:
    // Six rounds mix well unless the halves have only a few bits; there, chi-square tests see the difference.
    static constexpr std::uint64_t small_size = 4096;
    static constexpr std::uint32_t small_rounds = 32;
    static constexpr std::uint32_t large_rounds = 6;

    ESPALIER_HOST_DEVICE Permutation(std::uint64_t size, const Stream& stream)
        : size_(size), rounds_(size < small_size ? small_rounds : large_rounds) {
        while (right_bits_ < 32 && (std::uint64_t{1} << (2 * right_bits_ + 1)) < size) {
            ++right_bits_;
        }
        right_mask_ = static_cast<std::uint32_t>((std::uint64_t{1} << right_bits_) - 1);
        left_size_ = static_cast<std::uint32_t>((size + right_mask_) >> right_bits_);
        for (std::uint32_t i = 0; i < num_keys / 4; ++i) {
            const RandomBlock keys = stream.block(~std::uint64_t{0} - i);
            for (std::uint32_t j = 0; j < 4; ++j) {
                keys_[4 * i + j] = keys.word[j];
            }
        }
    }

    [[nodiscard]] ESPALIER_HOST_DEVICE std::uint64_t size() const { return size_; }

    /// The image of `i` (must be below size).
    [[nodiscard]] ESPALIER_HOST_DEVICE std::uint64_t operator()(std::uint64_t i) const {
        do {
            i = rounds_ == large_rounds ? walk<large_rounds>(i) : walk<small_rounds>(i);
        } while (i >= size_);
        return i;
    }

    /// Rounds of mixing: large_rounds from small_size numbers on.
    [[nodiscard]] ESPALIER_HOST_DEVICE std::uint32_t rounds() const { return rounds_; }

    /// One step of the walk to the image of `i`: the image itself unless it is `size` or above, hardly ever.
    /// `Rounds` must be rounds(); as a constant it lets compilers take several steps at a time.
    template <std::uint32_t Rounds>
    [[nodiscard]] ESPALIER_HOST_DEVICE std::uint64_t walk(std::uint64_t i) const {
        auto left = static_cast<std::uint32_t>(i >> right_bits_);
        auto right = static_cast<std::uint32_t>(i) & right_mask_;
        for (std::uint32_t round = 0; round < Rounds; round += 2) {
            // left + random modulo left_size_, without leaving 32 bits
            const std::uint32_t room = left_size_ - bounded(mixed(right ^ key(round)), left_size_);
            left = left - room + (left >= room ? 0U : left_size_);
            right ^= mixed(left ^ key(round + 1)) & right_mask_;
        }
        return (std::uint64_t{left} << right_bits_) | right;
    }

private:
    static constexpr std::uint32_t num_keys = 8;

    /// The finalizer of MurmurHash3.
    [[nodiscard]] ESPALIER_HOST_DEVICE static std::uint32_t mixed(std::uint32_t word) {
        word = (word ^ (word >> 16)) * 0x85ebca6bU;
        word = (word ^ (word >> 13)) * 0xc2b2ae35U;
        return word ^ (word >> 16);
    }
    [[nodiscard]] ESPALIER_HOST_DEVICE std::uint32_t key(std::uint32_t round) const {
        return keys_[round % num_keys] + round * 0x9E3779B9U;
    }

    std::uint64_t size_;
    std::uint32_t rounds_;
    std::uint32_t right_bits_ = 1;
    std::uint32_t right_mask_ = 1;
    std::uint32_t left_size_ = 1;
    std::uint32_t keys_[num_keys] = {};
};

}  // namespace espalier
