// Arguments of verbs as words: equal words if and only if a kernel would do the same. Structs are taken apart by
// structured bindings, which name every member or do not compile, so that none can be forgotten.
#pragma once

#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <variant>
#include <vector>

#include "cuda/operations.hpp"
#include "espalier/backend.hpp"

namespace espalier::cuda {

using ArgumentWords = std::vector<std::uint64_t>;

template <class Scalar>
void add_words(ArgumentWords& words, const Scalar& value)
    requires(std::is_scalar_v<Scalar>)
{
    std::uint64_t word = 0;
    std::memcpy(&word, &value, sizeof value);
    words.push_back(word);
}

template <class Item, std::size_t count>
void add_words(ArgumentWords& words, const Item (&values)[count]) {
    for (const Item& value : values) add_words(words, value);
}

template <class... Members>
void add_members(ArgumentWords& words, const Members&... members) {
    (add_words(words, members), ...);
}

/// A layer's addresses stay; `versions` tells when something else changed that no recorded program outlives.
inline void add_words(ArgumentWords& words, const CudaLayer& layer) { add_members(words, layer.id, layer.versions); }

template <class T>
void add_words(ArgumentWords& words, const TiledView<T>& view) {
    const auto& [data, rows, batch, lanes] = view;
    static_cast<void>(lanes);  // the backend's: the seam has seen to it
    add_members(words, data, std::uint64_t{rows} << 32 | batch);
}

inline void add_words(ArgumentWords& words, const Samples& samples) {
    const auto& [bytes, floats, labels, targets, count, features, channels, factor, offset] = samples;
    add_members(words, bytes, floats, labels, targets, count, features, channels, factor, offset);
}

inline void add_words(ArgumentWords& words, const RankShare& share) {
    const auto& [first, stride, batch] = share;
    add_members(words, first, stride, batch);
}

inline void add_words(ArgumentWords& words, const Stream& stream) {
    const auto& [seed, purpose, layer, event] = stream;
    add_members(words, seed, purpose, layer, event);
}

inline void add_words(ArgumentWords& words, const Dropped& dropped) {
    const auto& [mask, step, share] = dropped;
    add_words(words, mask.stream());
    add_members(words, mask.threshold(), mask.scale(), step);
    add_words(words, share);
}

inline void add_words(ArgumentWords& words, const LayerBelow& below) {
    const auto& [layer, saved, dropped] = below;
    add_words(words, layer != nullptr);
    if (layer == nullptr) return;
    add_words(words, *layer);
    add_words(words, saved);
    add_words(words, dropped);
}

inline void add_words(ArgumentWords& words, const LayerUpdates& updates) {
    add_words(words, updates.size());
    for (const auto& [layer, x, dy, step, share] : updates) {
        add_words(words, *layer);
        add_words(words, x);
        add_words(words, dy);
        add_words(words, step);
        add_words(words, share);
    }
}

inline void add_words(ArgumentWords& words, const BatchChoice& choice) {
    const auto& [first, size, shuffled, seed, purpose] = choice;
    add_members(words, first, size, shuffled, seed, purpose);
}

inline void add_words(ArgumentWords& words, const UnitDraw& draw) {
    const auto& [seed, number, probabilities, scale] = draw;
    add_members(words, seed, number, probabilities, scale);
}

/// A rule: which one, and its fields.
template <class... Rules>
void add_words(ArgumentWords& words, const std::variant<Rules...>& rule) {
    add_words(words, rule.index());
    std::visit(
        [&](const auto& each) {
            std::apply([&](const auto&... field) { add_members(words, each.*field.member...); }, each.fields());
        },
        rule);
}

inline void add_words(ArgumentWords& words, const HeadCall& call) {
    const auto& [x, z, loss, labels, dz, class_weights, sums, dx, share] = call;
    add_words(words, x);
    add_words(words, z);
    add_words(words, loss);
    add_members(words, labels, class_weights, sums);
    add_words(words, dz);
    add_words(words, dx);
    add_words(words, share);
}

}  // namespace espalier::cuda
