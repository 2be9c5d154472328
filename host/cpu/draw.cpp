// Plain loops over the vocabulary's own functions, compiled once per instruction set: with fused multiply-adds in
// hardware and, where the compiler can, vectorised. `flatten` pulls those functions into each copy.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/draw.cpp"
#include "host/cpu/targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include <algorithm>

#include "host/cpu/draw.hpp"
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

template <class Key, class Law>
HWY_FLATTEN void draw_all(const Law& law, const Stream& given, Index num_inputs, const Key* cells, EdgeIndex begin,
                          EdgeIndex end, float* weights) {
    constexpr EdgeIndex batch = 256;
    std::uint32_t bits[batch];
    const Stream stream = given;
    for (EdgeIndex i = begin; i < end; i += std::min(batch, end - i)) {
        const EdgeIndex count = std::min(batch, end - i);
        for (EdgeIndex j = 0; j < count; ++j) bits[j] = stream.bits(cells[i + j]);
        for (EdgeIndex j = 0; j < count; ++j) weights[i + j] = law(bits[j], num_inputs);
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
