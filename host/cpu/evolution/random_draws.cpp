// Plain loops over the vocabulary's own functions, compiled once per instruction set: with fused multiply-adds in
// hardware and, where the compiler can, vectorised. `flatten` pulls those functions into each copy. Compilers do not
// vectorise Philox and the normal distribution well: those are written in vectors, operation by operation the same.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/evolution/random_draws.cpp"
#include "host/cpu/kernels/simd_targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include <algorithm>

#include "host/cpu/evolution/random_draws.hpp"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

template <class Key>
HWY_FLATTEN void permute_all(const Permutation& given, EdgeIndex begin, EdgeIndex end, Key* images) {
    const Permutation permutation = given;  // of our own: nothing written can change it
    if (permutation.rounds() != Permutation::large_rounds) {
        for (EdgeIndex i = begin; i < end; ++i) images[i] = static_cast<Key>(permutation(i));
        return;
    }
    for (EdgeIndex i = begin; i < end; ++i) {
        images[i] = static_cast<Key>(permutation.walk<Permutation::large_rounds>(i));
    }
    for (EdgeIndex i = begin; i < end; ++i) {
        if (images[i] >= permutation.size()) images[i] = static_cast<Key>(permutation(images[i]));
    }
}

/// Draws made at a time; a multiple of every vector's lanes.
constexpr EdgeIndex batch = 256;

namespace hn = hwy::HWY_NAMESPACE;
using WordTag = hn::CappedTag<std::uint32_t, 16>;
using FloatTag = hn::RebindToFloat<WordTag>;
using Words = hn::Vec<WordTag>;
using Floats = hn::Vec<FloatTag>;
constexpr EdgeIndex word_lanes = hn::MaxLanes(WordTag());

/// Whether MulAdd rounds once, as fmaf does.
constexpr bool fused = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_NEON;

/// The halves of factor * words.
struct Product {
    Words high, low;
};
HWY_INLINE Product product(std::uint32_t factor, Words words) {
    const WordTag d;
    const hn::RepartitionToWide<WordTag> wide;
    const Words f = hn::Set(d, factor);
    const auto even = hn::MulEven(words, f);
    const auto odd = hn::MulEven(hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(wide, words))), f);
    return {hn::OddEven(hn::BitCast(d, odd), hn::BitCast(d, hn::ShiftRight<32>(even))),
            hn::OddEven(hn::BitCast(d, hn::ShiftLeft<32>(odd)), hn::BitCast(d, even))};
}

/// bits[i] = stream.bits(n[i]) for numbers whose halves are low[i] and high[i].
HWY_INLINE Words stream_bits(const Stream& stream, Words low, Words high) {
    const WordTag d;
    Words a = hn::Or(hn::ShiftRight<2>(low), hn::ShiftLeft<30>(high));
    Words b = hn::ShiftRight<2>(high);
    Words c = hn::Set(d, stream.event);
    Words e = hn::Set(d, (static_cast<std::uint32_t>(stream.purpose) << 24) | stream.layer);
    auto key0 = static_cast<std::uint32_t>(stream.seed);
    auto key1 = static_cast<std::uint32_t>(stream.seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const Product first = product(0xD2511F53U, a);
        const Product second = product(0xCD9E8D57U, c);
        a = hn::Xor(hn::Xor(second.high, b), hn::Set(d, key0));
        b = second.low;
        c = hn::Xor(hn::Xor(first.high, e), hn::Set(d, key1));
        e = first.low;
        key0 += 0x9E3779B9U;
        key1 += 0xBB67AE85U;
    }
    const auto odd = hn::TestBit(low, hn::Set(d, 1U));
    const auto upper = hn::TestBit(low, hn::Set(d, 2U));
    return hn::IfThenElse(odd, hn::IfThenElse(upper, e, b), hn::IfThenElse(upper, c, a));
}

/// `bits` is `batch` long.
template <class Key>
void draw_bits(const Stream& given, const Key* cells, EdgeIndex count, std::uint32_t* bits) {
    const Stream stream = given;  // of our own: nothing written can change it
    const WordTag d;
    HWY_ALIGN std::uint32_t low[word_lanes];
    HWY_ALIGN std::uint32_t high[word_lanes] = {};
    for (EdgeIndex i = 0; i < count; i += word_lanes) {
        for (EdgeIndex j = 0; j < word_lanes; ++j) {
            const std::uint64_t cell = i + j < count ? cells[i + j] : 0;
            low[j] = static_cast<std::uint32_t>(cell);
            if constexpr (sizeof(Key) > 4) high[j] = static_cast<std::uint32_t>(cell >> 32);
        }
        hn::Store(stream_bits(stream, hn::Load(d, low), hn::Load(d, high)), d, bits + i);
    }
}

/// sum = sum * by + term, one coefficient after another.
template <std::size_t count>
HWY_INLINE Floats polynomial(Floats sum, Floats by, const float (&terms)[count]) {
    const FloatTag d;
#pragma GCC unroll 10
    for (const float term : terms) sum = hn::MulAdd(sum, by, hn::Set(d, term));
    return sum;
}

/// portable_log
HWY_INLINE Floats log_of(Floats x) {
    const FloatTag d;
    const WordTag words;
    const hn::RebindToSigned<WordTag> integers;
    const Words shifted = hn::Sub(hn::BitCast(words, x), hn::Set(words, 0x3f2aaaabU));
    const Floats exponent = hn::ConvertTo(d, hn::ShiftRight<23>(hn::BitCast(integers, shifted)));
    const Words mantissa = hn::Add(hn::And(shifted, hn::Set(words, 0x007fffffU)), hn::Set(words, 0x3f2aaaabU));
    const Floats f = hn::Sub(hn::BitCast(d, mantissa), hn::Set(d, 1.0F));
    Floats r = polynomial(
        hn::Set(d, -0.130310059F), f,
        {0.140869141F, -0.121483512F, 0.139814854F, -0.166846126F, 0.200120345F, -0.249996200F, 0.333331972F, -0.5F});
    r = hn::MulAdd(hn::Mul(r, f), f, f);
    return hn::Add(hn::MulAdd(exponent, hn::Set(d, 0.693147182F), r), hn::Sub(x, x));
}

/// normal
HWY_INLINE Floats normal_of(Words bits) {
    const FloatTag d;
    const hn::RebindToSigned<WordTag> integers;
    const auto top = hn::BitCast(integers, hn::ShiftRight<8>(bits));
    const Floats x = hn::Mul(hn::Add(hn::ConvertTo(d, hn::Sub(top, hn::Set(integers, 8388608))), hn::Set(d, 0.5F)),
                             hn::Set(d, 1.0F / 8388608.0F));
    const Floats w = hn::Neg(log_of(hn::MulAdd(hn::Neg(x), x, hn::Set(d, 1.0F))));
    const Floats five = hn::Set(d, 5.0F);
    const Floats centre = polynomial(hn::Set(d, 2.81022636e-08F), hn::Sub(w, hn::Set(d, 2.5F)),
                                     {3.43273939e-07F, -3.5233877e-06F, -4.39150654e-06F, 0.00021858087F,
                                      -0.00125372503F, -0.00417768164F, 0.246640727F, 1.50140941F});
    const auto is_centre = hn::Lt(w, five);
    const Floats t = hn::Sub(hn::Sqrt(hn::IfThenElse(is_centre, five, w)), hn::Set(d, 3.0F));
    const Floats tail = polynomial(hn::Set(d, -0.000200214257F), t,
                                   {0.000100950558F, 0.00134934322F, -0.00367342844F, 0.00573950773F, -0.0076224613F,
                                    0.00943887047F, 1.00167406F, 2.83297682F});
    return hn::Mul(hn::Mul(hn::Set(d, 1.41421356F), hn::IfThenElse(is_centre, centre, tail)), x);
}

/// weights[i] = scale * normal(bits[i]); `bits` is `batch` long.
void scaled_normals(float scale, const std::uint32_t* bits, EdgeIndex count, float* weights) {
    const FloatTag d;
    HWY_ALIGN float last[word_lanes];
    for (EdgeIndex i = 0; i < count; i += word_lanes) {
        const Floats drawn = hn::Mul(hn::Set(d, scale), normal_of(hn::Load(WordTag(), bits + i)));
        if (count - i >= word_lanes) {
            hn::StoreU(drawn, d, weights + i);
        } else {
            hn::Store(drawn, d, last);
            std::copy_n(last, count - i, weights + i);
        }
    }
}

/// weights[i] = law(bits[i]) where bits are `batch` long and whatever lies behind `count` does not matter.
template <class Law>
HWY_FLATTEN void apply(const Law& law, Index num_inputs, const std::uint32_t* bits, EdgeIndex count, float* weights) {
    for (EdgeIndex j = 0; j < count; ++j) weights[j] = law(bits[j], num_inputs);
}
void apply(const HeNormal& law, Index num_inputs, const std::uint32_t* bits, EdgeIndex count, float* weights) {
    if constexpr (!fused) return apply<HeNormal>(law, num_inputs, bits, count, weights);
    scaled_normals(sqrtf(2.0F / static_cast<float>(num_inputs)), bits, count, weights);
}
void apply(const NormalWeights& law, Index num_inputs, const std::uint32_t* bits, EdgeIndex count, float* weights) {
    if constexpr (!fused) return apply<NormalWeights>(law, num_inputs, bits, count, weights);
    scaled_normals(law.std, bits, count, weights);
}

template <class Key, class Law>
void draw_all(const Law& law, const Stream& stream, Index num_inputs, const Key* cells, EdgeIndex begin, EdgeIndex end,
              float* weights) {
    HWY_ALIGN std::uint32_t bits[batch] = {};
    for (EdgeIndex i = begin; i < end; i += std::min(batch, end - i)) {
        const EdgeIndex count = std::min(batch, end - i);
        draw_bits(stream, cells + i, count, bits);
        apply(law, num_inputs, bits, count, weights + i);
    }
}

void permute32(const Permutation& permutation, EdgeIndex begin, EdgeIndex end, std::uint32_t* images) {
    permute_all(permutation, begin, end, images);
}
void permute64(const Permutation& permutation, EdgeIndex begin, EdgeIndex end, std::uint64_t* images) {
    permute_all(permutation, begin, end, images);
}
void draw_weights32(const WeightLaw& law, const Stream& stream, Index num_inputs, const std::uint32_t* cells,
                    EdgeIndex begin, EdgeIndex end, float* weights) {
    std::visit([&](const auto& rule) { draw_all(rule, stream, num_inputs, cells, begin, end, weights); }, law);
}
void draw_weights64(const WeightLaw& law, const Stream& stream, Index num_inputs, const std::uint64_t* cells,
                    EdgeIndex begin, EdgeIndex end, float* weights) {
    std::visit([&](const auto& rule) { draw_all(rule, stream, num_inputs, cells, begin, end, weights); }, law);
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {

HWY_EXPORT(permute32);
HWY_EXPORT(permute64);
HWY_EXPORT(draw_weights32);
HWY_EXPORT(draw_weights64);

void permute(const Permutation& permutation, EdgeIndex begin, EdgeIndex end, std::uint32_t* images) {
    HWY_DYNAMIC_DISPATCH(permute32)(permutation, begin, end, images);
}
void permute(const Permutation& permutation, EdgeIndex begin, EdgeIndex end, std::uint64_t* images) {
    HWY_DYNAMIC_DISPATCH(permute64)(permutation, begin, end, images);
}
void draw_weights(const WeightLaw& law, const Stream& stream, Index num_inputs, const std::uint32_t* cells,
                  EdgeIndex begin, EdgeIndex end, float* weights) {
    HWY_DYNAMIC_DISPATCH(draw_weights32)(law, stream, num_inputs, cells, begin, end, weights);
}
void draw_weights(const WeightLaw& law, const Stream& stream, Index num_inputs, const std::uint64_t* cells,
                  EdgeIndex begin, EdgeIndex end, float* weights) {
    HWY_DYNAMIC_DISPATCH(draw_weights64)(law, stream, num_inputs, cells, begin, end, weights);
}

}  // namespace espalier
#endif
