// Included by each kernel file once per instruction set (Google Highway's foreach_target), hence no include guard.
// A tile of 64 lanes is walked in passes of at most four vectors: 64 lanes with AVX-512, 32 with AVX2, 16 with SSE and
// NEON, so that the accumulators stay in registers everywhere. Of a partial tile only worked_lanes() are touched.
#include <algorithm>
#include <array>
#include <cstring>

#include "espalier/activation.hpp"
#include "espalier/index.hpp"
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "host/system/processors.hpp"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr Index tile_lanes = 64;
using LaneTag = hn::CappedTag<float, 16>;
using FourTag = hn::FixedTag<float, 4>;
using Vector = hn::Vec<LaneTag>;
constexpr Index vector_lanes = hn::MaxLanes(LaneTag());
constexpr Index pass_lanes = 4 * vector_lanes;

/// Whether the rows of a tile that edges meet in no order are better fetched ahead: those of a wide layer, for which the
/// second-level cache has no room beside all else that a pass reads. (Within it fetching ahead only costs.)
HWY_INLINE bool fetches_ahead(std::size_t rows) {
    constexpr std::size_t least = std::size_t{1} << 18;  // small caches of that level have a quick one behind them
    return rows * tile_lanes * sizeof(float) > std::max(caches().second / 2, least);
}

/// Fetches what a pass of V vectors will read of the row that the edge some places behind `edge` meets; `last`: the
/// last edge there is.
template <int V>
HWY_INLINE void fetch_ahead(const float* rows, const Index* row_of, EdgeIndex edge, EdgeIndex last) {
    constexpr EdgeIndex distance = 24;
    const float* row = rows + std::size_t{row_of[edge + distance < last ? edge + distance : last]} * tile_lanes;
#pragma GCC unroll 4
    for (Index lane = 0; lane < V * vector_lanes; lane += 16) hwy::Prefetch(row + lane);
}

/// Vectors of the pass that begins at `lane` of a tile of which `worked` lanes are worked on.
HWY_INLINE int pass_vectors(Index worked, Index lane) {
    const Index left = (worked - lane) / vector_lanes;
    return left < 4 ? static_cast<int>(left) : 4;
}

/// Calls function.template operator()<V>() with V = vectors, 1 to 4.
template <class Function>
HWY_INLINE void with_vectors(int vectors, const Function& function) {
    switch (vectors) {
        case 1:
            return function.template operator()<1>();
        case 2:
            return function.template operator()<2>();
        case 3:
            return function.template operator()<3>();
        default:
            return function.template operator()<4>();
    }
}

/// V vectors times `scale`, but for lanes whose bit of `dropped` is set: times 0, so that what is not finite shows.
template <int V>
HWY_INLINE void drop(std::uint64_t dropped, float scale, float* values) {
    const LaneTag d;
    const hn::RebindToUnsigned<LaneTag> words;
    alignas(64) static constexpr std::uint32_t lane_bits[16] = {1U << 0,  1U << 1,  1U << 2,  1U << 3,
                                                                1U << 4,  1U << 5,  1U << 6,  1U << 7,
                                                                1U << 8,  1U << 9,  1U << 10, 1U << 11,
                                                                1U << 12, 1U << 13, 1U << 14, 1U << 15};
    const auto bit = hn::Load(words, lane_bits);
#pragma GCC unroll 4
    for (Index v = 0; v < V; ++v) {
        const auto bits = hn::Set(words, static_cast<std::uint32_t>(dropped >> (v * vector_lanes)));
        const auto factor = hn::IfThenZeroElse(hn::RebindMask(d, hn::TestBit(bits, bit)), hn::Set(d, scale));
        float* at = values + v * vector_lanes;
        hn::Store(hn::Mul(hn::Load(d, at), factor), d, at);
    }
}

/// Keeps what was loaded in a register: the compiler would rather load it again for its second use, and loads are what
/// these kernels wait for.
template <class V>
HWY_INLINE void keep_in_register(V& v) {
    if constexpr (HWY_ARCH_X86) {
        asm("" : "+v"(v.raw));
    } else if constexpr (HWY_ARCH_ARM_A64) {
        asm("" : "+w"(v.raw));
    }
}

/// The pairwise sums (a0 + a2, b0 + b2, a1 + a3, b1 + b3) of each 128-bit block, then the same with two such vectors:
/// the four vectors' sums by block, (a, b, c, d).
HWY_INLINE Vector block_sums(Vector a, Vector b, Vector c, Vector d) {
    const LaneTag tag;
    const hn::Repartition<double, LaneTag> pairs;
    const Vector ab = hn::Add(hn::InterleaveLower(tag, a, b), hn::InterleaveUpper(tag, a, b));
    const Vector cd = hn::Add(hn::InterleaveLower(tag, c, d), hn::InterleaveUpper(tag, c, d));
    const auto ab_pairs = hn::BitCast(pairs, ab);
    const auto cd_pairs = hn::BitCast(pairs, cd);
    return hn::Add(hn::BitCast(tag, hn::InterleaveLower(pairs, ab_pairs, cd_pairs)),
                   hn::BitCast(tag, hn::InterleaveUpper(pairs, ab_pairs, cd_pairs)));
}

/// The sum of a vector's 128-bit blocks.
template <class Tag>
HWY_INLINE hn::Vec<FourTag> fold_blocks(Tag /*tag*/, hn::Vec<Tag> v) {
    if constexpr (hn::MaxLanes(Tag()) == 4) {
        return v;
    } else {
        const hn::Half<Tag> half;
        return fold_blocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
    }
}

/// The sums of the lanes of four vectors.
HWY_INLINE hn::Vec<FourTag> sum_lanes(Vector a, Vector b, Vector c, Vector d) {
    return fold_blocks(LaneTag(), block_sums(a, b, c, d));
}

/// The sum of `count` floats, a multiple of vector_lanes.
HWY_INLINE float sum_floats(const float* values, Index count) {
    const LaneTag d;
    Vector sum = hn::Load(d, values);
    for (Index i = vector_lanes; i < count; i += vector_lanes) sum = hn::Add(sum, hn::Load(d, values + i));
    return hn::GetLane(hn::SumOfLanes(d, sum));
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
