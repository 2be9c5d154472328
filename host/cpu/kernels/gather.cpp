// Gather: samples [count][features] of bytes or floats become a tile [features][64] of normalised floats, transposed in
// blocks of 16 features. Bytes are transposed as bytes, 16 samples per 128-bit block of a vector, and widened last.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/kernels/gather.cpp"
#include "host/cpu/kernels/simd_targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include "host/cpu/operations.hpp"
#include "host/cpu/kernels/simd-inl.hpp"
#include "hwy/cache_control.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

constexpr Index block_features = 16;
/// How far ahead a sample's bytes are prefetched: shuffled samples come from afar.
constexpr Index prefetch_bytes = 256;

using ByteTag = hn::CappedTag<std::uint8_t, 64>;
using Bytes = hn::Vec<ByteTag>;
/// Samples whose bytes one vector holds, in blocks of 16.
constexpr Index vector_samples = hn::MaxLanes(ByteTag());

/// The first samples of a tile, `lanes` of them (a multiple of 16), by the address of their first feature.
template <class T>
struct TileSamples {
    const T* sample[tile_lanes];
    Index lanes;
};

/// Transposes 16 x 16 elements in each 128-bit block: row i of the result holds element i of all rows.
HWY_INLINE void transpose(Bytes (&rows)[16]) {
    const ByteTag d;
    Bytes shuffled[16];
#pragma GCC unroll 4
    for (int stage = 0; stage < 4; ++stage) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) {
            shuffled[2 * i] = hn::InterleaveLower(d, rows[i], rows[i + 8]);
            shuffled[2 * i + 1] = hn::InterleaveUpper(d, rows[i], rows[i + 8]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) rows[i] = shuffled[i];
    }
}

/// The 16 bytes from feature `first` on of `sample[0]`, `sample[16]` and so on, one in each 128-bit block.
template <class Tag>
HWY_INLINE hn::Vec<Tag> load_blocks(Tag tag, const std::uint8_t* const* sample, Index first) {
    if constexpr (hn::MaxLanes(Tag()) == 16) {
        return hn::LoadU(tag, sample[0] + first);
    } else {
        const hn::Half<Tag> half;
        const auto low = load_blocks(half, sample, first);
        return hn::Combine(tag, load_blocks(half, sample + hn::MaxLanes(half), first), low);
    }
}

/// As floats, normalised.
HWY_INLINE Vector normalised(Vector values, float factor, float offset) {
    const LaneTag d;
    return hn::MulAdd(values, hn::Set(d, factor), hn::Set(d, offset));
}
HWY_INLINE Vector widened(const std::uint8_t* values) {
    const hn::Rebind<std::uint8_t, LaneTag> bytes;
    const hn::Rebind<std::int32_t, LaneTag> words;
    return hn::ConvertTo(LaneTag(), hn::PromoteTo(words, hn::Load(bytes, values)));
}

/// Factor and offset of sixteen features from `first` on.
struct Normalisation {
    float factor[block_features];
    float offset[block_features];

    Normalisation(const Samples& samples, Index first) {
        const Index per_channel = samples.features / samples.channels;
        Index channel = first / per_channel;
        Index left = (channel + 1) * per_channel - first;
        for (Index f = 0; f < block_features; ++f, --left) {
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

/// What is read and written: features `features` of a tile; x: its first lane in feature 0.
template <class T>
struct GatherWork {
    const Samples& samples;
    TileSamples<T> from;
    float* x;

    [[nodiscard]] float* row(Index feature) const { return x + std::size_t{feature} * tile_lanes; }
};

/// The first `lanes` bytes of a feature into its row.
HWY_INLINE void put_row(const std::uint8_t* bytes, Index lanes, float factor, float offset, float* row) {
    if (lanes == tile_lanes) {
#pragma GCC unroll 16
        for (Index s = 0; s < tile_lanes; s += vector_lanes) {
            hn::Store(normalised(widened(bytes + s), factor, offset), LaneTag(), row + s);
        }
        return;
    }
    for (Index s = 0; s < lanes; s += vector_lanes) {
        hn::Store(normalised(widened(bytes + s), factor, offset), LaneTag(), row + s);
    }
}

/// 16 features from `first` on.
HWY_INLINE void gather_block(const GatherWork<std::uint8_t>& work, Index first) {
    const Normalisation normalisation(work.samples, first);
    alignas(64) std::uint8_t transposed[block_features][tile_lanes];
    for (Index s = 0; s < work.from.lanes; s += vector_samples) {
        Bytes rows[16];
#pragma GCC unroll 16
        for (Index r = 0; r < 16; ++r) rows[r] = load_blocks(ByteTag(), work.from.sample + s + r, first);
        transpose(rows);
#pragma GCC unroll 16
        for (Index r = 0; r < 16; ++r) hn::Store(rows[r], ByteTag(), transposed[r] + s);
    }
    for (Index f = 0; f < block_features; ++f) {
        put_row(transposed[f], work.from.lanes, normalisation.factor[f], normalisation.offset[f], work.row(first + f));
    }
}

/// Whole blocks of features.
HWY_NOINLINE void gather_blocks(const GatherWork<std::uint8_t>& work, Range features) {
    for (Index ahead = 64; ahead < prefetch_bytes && features.begin + ahead < features.end; ahead += 64) {
        for (Index s = 0; s < work.from.lanes; ++s) hwy::Prefetch(work.from.sample[s] + features.begin + ahead);
    }
    for (Index first = features.begin; first < features.end; first += block_features) {
        // a cache line's bytes last for four blocks: each asks for a quarter of the samples, lest requests queue up
        const Index line = first - first % 64;
        const Index quarter = work.from.lanes / 4;
        for (Index s = first % 64 / block_features * quarter, last = s + quarter; s < last; ++s) {
            hwy::Prefetch(work.from.sample[s] + line + prefetch_bytes);
        }
        gather_block(work, first);
    }
}

HWY_NOINLINE void gather_blocks(const GatherWork<float>& work, Range features) {
    const FourTag four;
    for (Index first = features.begin; first < features.end; first += block_features) {
        const Normalisation normalisation(work.samples, first);
        for (Index corner = 0; corner < work.from.lanes; ++corner) {
            const Index s = corner / 4 * 4;
            const Index f = corner % 4 * 4;
            const float* const* sample = work.from.sample + s;
            const auto a = hn::LoadU(four, sample[0] + first + f);
            const auto b = hn::LoadU(four, sample[1] + first + f);
            const auto c = hn::LoadU(four, sample[2] + first + f);
            const auto d = hn::LoadU(four, sample[3] + first + f);
            const auto ac_low = hn::InterleaveLower(four, a, c);
            const auto ac_high = hn::InterleaveUpper(four, a, c);
            const auto bd_low = hn::InterleaveLower(four, b, d);
            const auto bd_high = hn::InterleaveUpper(four, b, d);
            const hn::Vec<FourTag> rows[4] = {
                hn::InterleaveLower(four, ac_low, bd_low), hn::InterleaveUpper(four, ac_low, bd_low),
                hn::InterleaveLower(four, ac_high, bd_high), hn::InterleaveUpper(four, ac_high, bd_high)};
            for (Index i = 0; i < 4; ++i) {
                const auto factor = hn::Set(four, normalisation.factor[f + i]);
                const auto offset = hn::Set(four, normalisation.offset[f + i]);
                hn::Store(hn::MulAdd(rows[i], factor, offset), four, work.row(first + f + i) + s);
            }
        }
    }
}

/// The features after the last whole block.
template <class T>
HWY_NOINLINE void gather_rest(const GatherWork<T>& work, Range features) {
    if (features.begin >= features.end) return;
    const Normalisation normalisation(work.samples, features.begin);
    for (Index f = features.begin; f < features.end; ++f) {
        alignas(64) float values[tile_lanes];
        for (Index s = 0; s < work.from.lanes; ++s) values[s] = static_cast<float>(work.from.sample[s][f]);
        for (Index s = 0; s < work.from.lanes; s += vector_lanes) {
            hn::Store(normalised(hn::Load(LaneTag(), values + s), normalisation.factor[f - features.begin],
                                 normalisation.offset[f - features.begin]),
                      LaneTag(), work.row(f) + s);
        }
    }
}

template <class T>
void gather_tile(const Samples& samples, const T* data, const std::uint64_t (&place)[tile_lanes], Index used, float* x,
                 Range features) {
    GatherWork<T> work{samples, {}, x};
    work.from.lanes = worked_lanes(used);
    for (Index s = 0; s < tile_lanes; ++s) work.from.sample[s] = data + place[s] * samples.features;
    const Index whole = features.begin + (features.end - features.begin) / block_features * block_features;
    gather_blocks(work, {features.begin, whole});
    gather_rest(work, {whole, features.end});
    if (used == tile_lanes) return;
    for (Index f = features.begin; f < features.end; ++f) {
        std::memset(work.row(f) + used, 0, (tile_lanes - used) * sizeof(float));
    }
}

/// The images of a tile's numbers: all at once, for they hardly ever need a second step.
HWY_NOINLINE void permute(const Permutation& order, std::uint64_t (&numbers)[tile_lanes]) {
    if (order.rounds() != Permutation::large_rounds) {
        for (std::uint64_t& number : numbers) number = order(number);
        return;
    }
    for (std::uint64_t& number : numbers) number = order.walk<Permutation::large_rounds>(number);
    for (std::uint64_t& number : numbers) {
        if (number >= order.size()) number = order(number);
    }
}

void GatherRows(const Samples& samples, const BatchChoice& choice, Activations x, std::int32_t* labels,
                std::uint32_t epoch, Index tile, Range features) {
    const Index used = x.used(tile);
    std::uint64_t place[tile_lanes];
    for (Index s = 0; s < tile_lanes; ++s) {
        // the lanes past the batch repeat its last sample, then are cleared
        place[s] = choice.first + tile * tile_lanes + std::min(s, used - 1);
    }
    if (choice.shuffled) permute(Permutation(samples.count, {choice.seed, choice.purpose, 0, epoch}), place);
    if (features.begin == 0 && labels != nullptr) {
        for (Index s = 0; s < tile_lanes; ++s) {
            labels[std::size_t{tile} * tile_lanes + s] = s < used ? samples.labels[place[s]] : -1;
        }
    }
    if (samples.bytes != nullptr) {
        gather_tile(samples, samples.bytes, place, used, x.row(tile, 0), features);
    } else {
        gather_tile(samples, samples.floats, place, used, x.row(tile, 0), features);
    }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {

HWY_EXPORT(GatherRows);

void gather_rows(const Samples& samples, const BatchChoice& choice, Activations x, std::int32_t* labels,
                 std::uint32_t epoch, Index tile, Range features) {
    HWY_DYNAMIC_DISPATCH(GatherRows)(samples, choice, x, labels, epoch, tile, features);
}

}  // namespace espalier
#endif
