// Gather: samples [count][features] of bytes or floats become a tile [features][64] of normalised floats. Sixteen
// samples at a time; blocks of 16 features are transposed in registers, as bytes where the samples are bytes.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/gather.cpp"
#include "host/cpu/targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include "host/cpu/kernels.hpp"
#include "host/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

/// Samples that are gathered together.
constexpr Index group = 16;

/// Transposes the N x N elements of N 128-bit vectors: log2(N) perfect shuffles.
template <class T, int N>
HWY_INLINE void transpose(hn::Vec<hn::FixedTag<T, N>> (&rows)[N]) {
    const hn::FixedTag<T, N> d;
    hn::Vec<hn::FixedTag<T, N>> shuffled[N];
    for (int stage = 1; stage < N; stage *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < N / 2; ++i) {
            shuffled[2 * i] = hn::InterleaveLower(d, rows[i], rows[i + N / 2]);
            shuffled[2 * i + 1] = hn::InterleaveUpper(d, rows[i], rows[i + N / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < N; ++i) rows[i] = shuffled[i];
    }
}

/// Features `first` .. `first + 16` of 16 samples, [feature][sample].
HWY_INLINE void transpose_block(const std::uint8_t* const (&sample)[group], Index first, std::uint8_t* block) {
    const hn::FixedTag<std::uint8_t, group> d;
    hn::Vec<hn::FixedTag<std::uint8_t, group>> rows[group];
    for (Index s = 0; s < group; ++s) rows[s] = hn::LoadU(d, sample[s] + first);
    transpose<std::uint8_t, group>(rows);
    for (Index f = 0; f < group; ++f) hn::Store(rows[f], d, block + f * group);
}

HWY_INLINE void transpose_block(const float* const (&sample)[group], Index first, float* block) {
    const FourTag d;
    for (Index corner = 0; corner < group * group / 16; ++corner) {
        const Index f = corner / 4 * 4;
        const Index s = corner % 4 * 4;
        hn::Vec<FourTag> rows[4];
        for (Index i = 0; i < 4; ++i) rows[i] = hn::LoadU(d, sample[s + i] + first + f);
        transpose<float, 4>(rows);
        for (Index i = 0; i < 4; ++i) hn::Store(rows[i], d, block + (f + i) * group + s);
    }
}

/// vector_lanes values as floats.
HWY_INLINE Vector load_values(const std::uint8_t* values) {
    const hn::Rebind<std::uint8_t, LaneTag> bytes;
    const hn::Rebind<std::int32_t, LaneTag> words;
    return hn::ConvertTo(LaneTag(), hn::PromoteTo(words, hn::Load(bytes, values)));
}
HWY_INLINE Vector load_values(const float* values) { return hn::Load(LaneTag(), values); }

/// The features [feature][sample] of a block, normalised, into the tile's rows from `row` on.
template <class T>
HWY_INLINE void normalise_block(const T* block, Index count, const float* factor, const float* offset, float* row) {
    const LaneTag d;
    for (Index f = 0; f < count; ++f) {
        const Vector scale = hn::Set(d, factor[f]);
        const Vector shift = hn::Set(d, offset[f]);
        for (Index s = 0; s < group; s += vector_lanes) {
            hn::Store(hn::MulAdd(load_values(block + f * group + s), scale, shift), d, row + f * tile_lanes + s);
        }
    }
}

/// Factor and offset of sixteen features from `first` on.
struct Normalisation {
    float factor[group];
    float offset[group];

    Normalisation(const Samples& samples, Index first) {
        const Index per_channel = samples.features / samples.channels;
        Index channel = first / per_channel;
        Index left = (channel + 1) * per_channel - first;
        for (Index f = 0; f < group; ++f, --left) {
            if (left == 0) {
                ++channel;
                left = per_channel;
            }
            const Index known = std::min(channel, samples.channels - 1);
            factor[f] = samples.factor[known];
            offset[f] = samples.offset[known];
        }
    }
};

/// Sixteen samples into lanes of a tile; x: the first of them in feature 0.
template <class T>
HWY_NOINLINE void gather_group(const Samples& samples, const T* const (&sample)[group], float* x) {
    alignas(64) T block[group * group];
    Normalisation normalisation(samples, 0);
    Index first = 0;
    for (; first + group <= samples.features; first += group) {
        if (samples.channels > 1) normalisation = Normalisation(samples, first);
        transpose_block(sample, first, block);
        normalise_block(block, group, normalisation.factor, normalisation.offset, x + std::size_t{first} * tile_lanes);
    }
    const Index left = samples.features - first;
    if (left == 0) return;
    for (Index f = 0; f < left; ++f) {
        for (Index s = 0; s < group; ++s) block[f * group + s] = sample[s][first + f];
    }
    if (samples.channels > 1) normalisation = Normalisation(samples, first);
    normalise_block(block, left, normalisation.factor, normalisation.offset, x + std::size_t{first} * tile_lanes);
}

/// Clears lanes `from` .. 16 of a group.
void clear_lanes(float* x, Index features, Index from) {
    for (Index f = 0; f < features; ++f) std::memset(x + std::size_t{f} * tile_lanes + from, 0, (group - from) * 4);
}

void GatherLanes(const Samples& samples, const BatchChoice& choice, Activations x, std::int32_t* labels,
                 std::uint32_t epoch, Index tile, Index first_lane) {
    const Index used = x.used(tile) > first_lane ? std::min(group, x.used(tile) - first_lane) : 0;
    float* to = x.row(tile, 0) + first_lane;
    std::int32_t* label = labels + std::size_t{tile} * tile_lanes + first_lane;
    for (Index s = used; s < group; ++s) label[s] = -1;
    if (used == 0) return clear_lanes(to, x.rows, 0);

    const Permutation order(samples.count, Stream{choice.seed, Purpose::shuffle, 0, epoch});
    std::uint64_t place[group];
    for (Index s = 0; s < group; ++s) {
        // the lanes past the batch repeat its last sample, then are cleared
        const std::uint32_t number = choice.first + tile * tile_lanes + first_lane + std::min(s, used - 1);
        place[s] = choice.shuffled ? order(number) : number;
        if (s < used) label[s] = samples.labels[place[s]];
    }
    if (samples.bytes != nullptr) {
        const std::uint8_t* sample[group];
        for (Index s = 0; s < group; ++s) sample[s] = samples.bytes + place[s] * samples.features;
        gather_group(samples, sample, to);
    } else {
        const float* sample[group];
        for (Index s = 0; s < group; ++s) sample[s] = samples.floats + place[s] * samples.features;
        gather_group(samples, sample, to);
    }
    if (used < group) clear_lanes(to, x.rows, used);
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {

HWY_EXPORT(GatherLanes);

void gather_lanes(const Samples& samples, const BatchChoice& choice, Activations x, std::int32_t* labels,
                  std::uint32_t epoch, Index tile, Index first_lane) {
    HWY_DYNAMIC_DISPATCH(GatherLanes)(samples, choice, x, labels, epoch, tile, first_lane);
}

}  // namespace espalier
#endif
