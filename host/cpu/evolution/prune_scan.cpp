// A prune rule's cut, applied to vectors of keys. The ends of arrays that no vector fills go one by one.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/evolution/prune_scan.cpp"
#include "host/cpu/kernels/simd_targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include <bit>
#include <cstring>

#include "host/cpu/evolution/prune_scan.hpp"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using KeyTag = hn::CappedTag<std::uint32_t, select_padding>;
using Keys = hn::Vec<KeyTag>;
using KeyMask = hn::Mask<KeyTag>;
constexpr EdgeIndex key_lanes = hn::MaxLanes(KeyTag());

/// For every mask of eight lanes those that it keeps, in order, and the others behind.
struct KeptLanes {
    std::uint8_t of_mask[256][8];
};
constexpr KeptLanes kept_lanes() {
    KeptLanes result{};
    for (unsigned mask = 0; mask < 256; ++mask) {
        int at = 0;
        for (const unsigned kept : {1U, 0U}) {
            for (std::uint8_t lane = 0; lane < 8; ++lane) {
                if ((mask >> lane & 1U) == kept) result.of_mask[mask][at++] = lane;
            }
        }
    }
    return result;
}
constexpr KeptLanes lanes_of_eight = kept_lanes();

/// Stores the lanes of `mask` side by side, and whatever else behind; returns how many. Of Highway's own (1.0.3) GCC makes
/// a copy of a kilobyte, its table, at every call with AVX2.
HWY_INLINE EdgeIndex store_kept(Keys keys, KeyMask mask, std::uint32_t* to) {
    const KeyTag d;
    if constexpr (HWY_TARGET == HWY_AVX2) {
        std::uint8_t bytes[8] = {};
        hn::StoreMaskBits(d, mask, bytes);
        const hn::Rebind<std::uint8_t, KeyTag> small;
        const auto order = hn::IndicesFromVec(d, hn::PromoteTo(d, hn::LoadU(small, lanes_of_eight.of_mask[bytes[0]])));
        hn::StoreU(hn::TableLookupLanes(keys, order), d, to);
        return static_cast<EdgeIndex>(std::popcount(bytes[0]));
    }
    return static_cast<EdgeIndex>(hn::CompressStore(keys, mask, d, to));
}

HWY_INLINE Keys load_keys(const float* weights, std::uint32_t mask) {
    const hn::RebindToFloat<KeyTag> floats;
    const KeyTag d;
    return hn::And(hn::BitCast(d, hn::LoadU(floats, weights)), hn::Set(d, mask));
}

std::uint32_t key_of(float weight, std::uint32_t mask) {
    PruneOrder order;
    order.mask = mask;
    return order(weight);
}

/// low <= key <= high, as one comparison.
HWY_INLINE KeyMask between(Keys keys, std::uint32_t low, std::uint32_t high) {
    const KeyTag d;
    return hn::Not(hn::Lt(hn::Set(d, high - low), hn::Sub(keys, hn::Set(d, low))));
}

EdgeIndex CountKeysBetween(const float* weights, EdgeIndex count, std::uint32_t mask, std::uint32_t low,
                           std::uint32_t high) {
    EdgeIndex found = 0;
    EdgeIndex i = 0;
    for (; count - i >= key_lanes; i += key_lanes) {
        found += static_cast<EdgeIndex>(hn::CountTrue(KeyTag(), between(load_keys(weights + i, mask), low, high)));
    }
    for (; i < count; ++i) found += key_of(weights[i], mask) - low <= high - low ? 1 : 0;
    return found;
}

EdgeIndex KeysBetween(const float* weights, EdgeIndex count, std::uint32_t mask, std::uint32_t low, std::uint32_t high,
                      std::uint32_t* keys) {
    EdgeIndex found = 0;
    EdgeIndex i = 0;
    for (; count - i >= key_lanes; i += key_lanes) {
        const Keys some = load_keys(weights + i, mask);
        found += store_kept(some, between(some, low, high), keys + found);
    }
    for (; i < count; ++i) {
        const std::uint32_t key = key_of(weights[i], mask);
        keys[found] = key;
        found += key - low <= high - low ? 1 : 0;
    }
    return found;
}

/// IsCut::least for a vector of keys.
HWY_INLINE KeyMask are_least(const detail::IsCut& cut, Keys keys) {
    const KeyTag d;
    const auto of_group = [&](int group) HWY_ATTR {
        return hn::Lt(hn::Sub(keys, hn::Set(d, cut.first[group])), hn::Set(d, cut.below[group]));
    };
    return hn::Or(of_group(0), of_group(1));
}

/// IsCut for a vector of keys and their slots.
HWY_INLINE KeyMask are_cut(const detail::IsCut& cut, Keys keys, Keys slots) {
    const KeyTag d;
    const auto is_tie = [&](int group) HWY_ATTR {
        return hn::And(hn::Eq(keys, hn::Set(d, cut.threshold[group])), hn::Lt(slots, hn::Set(d, cut.slots[group])));
    };
    return hn::Or(are_least(cut, keys), hn::Or(is_tie(0), is_tie(1)));
}

EdgeIndex SlotsCut(const detail::IsCut& given, EdgeIndex begin, EdgeIndex end, EdgeIndex* slots) {
    const detail::IsCut cut = given;  // of our own: nothing written can change it
    const KeyTag d;
    EdgeIndex found = 0;
    EdgeIndex slot = begin;
    for (; end - slot >= key_lanes; slot += key_lanes) {
        const Keys some = hn::Iota(d, slot);
        const KeyMask go = are_cut(cut, load_keys(cut.weights + slot, cut.order.mask), some);
        found += store_kept(some, go, slots + found);
    }
    for (; slot < end; ++slot) {
        slots[found] = slot;
        found += cut(slot) ? 1 : 0;
    }
    return found;
}

/// Which of a vector of weights go by their keys; these become 0.
HWY_INLINE std::uint64_t clear_least(const detail::IsCut& cut, float* weights) {
    const KeyTag d;
    const hn::RebindToFloat<KeyTag> floats;
    const Keys held = hn::BitCast(d, hn::LoadU(floats, weights));
    const KeyMask go = are_least(cut, hn::And(held, hn::Set(d, cut.order.mask)));
    hn::StoreU(hn::BitCast(floats, hn::IfThenZeroElse(go, held)), floats, weights);
    std::uint8_t bytes[8] = {};
    hn::StoreMaskBits(d, go, bytes);
    std::uint64_t bits = 0;
    std::memcpy(&bits, bytes, sizeof bits);
    if constexpr (key_lanes < 8) bits &= (1U << key_lanes) - 1;
    return bits;
}

void ClearCut(const detail::IsCut& given, float* weights, EdgeIndex count, std::uint64_t* bits) {
    const detail::IsCut cut = given;
    EdgeIndex i = 0;
    for (; count - i >= 64; i += 64) {
        std::uint64_t word = 0;
        for (EdgeIndex lane = 0; lane < 64; lane += key_lanes) word |= clear_least(cut, weights + i + lane) << lane;
        bits[i / 64] = word;
    }
    if (i < count) bits[i / 64] = 0;
    for (EdgeIndex lane = 0; i + lane < count; ++lane) {
        float& weight = weights[i + lane];
        if (!cut.least(cut.order(weight))) continue;
        weight = 0;
        bits[i / 64] |= std::uint64_t{1} << lane;
    }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {

HWY_EXPORT(CountKeysBetween);
HWY_EXPORT(KeysBetween);
HWY_EXPORT(SlotsCut);
HWY_EXPORT(ClearCut);

EdgeIndex count_keys_between(const float* weights, EdgeIndex count, std::uint32_t mask, std::uint32_t low,
                             std::uint32_t high) {
    return HWY_DYNAMIC_DISPATCH(CountKeysBetween)(weights, count, mask, low, high);
}
EdgeIndex keys_between(const float* weights, EdgeIndex count, std::uint32_t mask, std::uint32_t low, std::uint32_t high,
                       std::uint32_t* keys) {
    return HWY_DYNAMIC_DISPATCH(KeysBetween)(weights, count, mask, low, high, keys);
}
EdgeIndex slots_cut(const detail::IsCut& cut, EdgeIndex begin, EdgeIndex end, EdgeIndex* slots) {
    return HWY_DYNAMIC_DISPATCH(SlotsCut)(cut, begin, end, slots);
}
void clear_cut(const detail::IsCut& cut, float* weights, EdgeIndex count, std::uint64_t* bits) {
    HWY_DYNAMIC_DISPATCH(ClearCut)(cut, weights, count, bits);
}

}  // namespace espalier
#endif
