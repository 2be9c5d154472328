// Included by each kernel file that draws, once per instruction set: Philox4x32-10 for sixteen blocks at a time, the
// same words as Stream::block.
#include "espalier/random.hpp"
#include "host/cpu/kernels/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

using WordTag = hn::CappedTag<std::uint32_t, 16>;
using Words = hn::Vec<WordTag>;

/// The draws of (neuron, sample), number neuron * 2^32 + sample of a stream, for the lanes of a tile, 64 at a time: of
/// one neuron, or of several where few lanes are worked on. A counter lies in the low halves of four 64-bit lanes,
/// whose upper halves may hold anything: multiplications do not see them.
class RowDraws {
public:
    static constexpr Index words = 64;

    /// `lanes`: those worked on, a multiple of 16 up to 64; `first_sample`: of the tile.
    RowDraws(const Stream& stream, Index first_sample, Index lanes) : rows_at_once_(words / lanes) {
        const auto low = static_cast<std::uint32_t>(stream.seed);
        const auto high = static_cast<std::uint32_t>(stream.seed >> 32);
        for (std::uint32_t round = 0; round < rounds; ++round) {
            std::fill_n(keys_[round][0], wide_lanes, low + round * 0x9E3779B9U);
            std::fill_n(keys_[round][1], wide_lanes, high + round * 0xBB67AE85U);
        }
        third_ = stream.event;
        fourth_ = (static_cast<std::uint32_t>(stream.purpose) << 24) | stream.layer;
        for (Index b = 0; b < blocks; ++b) {
            const Index word = 4 * block_of(b);
            counters_[b] = (std::uint64_t{word / lanes} << 30) + (first_sample + word % lanes) / 4;
        }
    }

    [[nodiscard]] Index rows_at_once() const { return rows_at_once_; }

    /// The words of rows_at_once() neurons from `row` on, [neuron][lane]: use(number of the first, vector, the next
    /// vector).
    template <class Use>
    HWY_INLINE void draw(Index row, const Use& use) const {
        const WideTag d;
        const auto first = hn::Set(d, std::uint64_t{row} << 30);
#pragma GCC unroll 1
        for (Index b = 0; b < blocks; b += chains * wide_lanes) {
            Wide counter[chains][4];
#pragma GCC unroll 2
            for (Index c = 0; c < chains; ++c) {
                counter[c][0] = hn::Add(first, hn::Load(d, counters_ + b + c * wide_lanes));
                counter[c][1] = hn::ShiftRight<32>(counter[c][0]);
                counter[c][2] = hn::Set(d, third_);
                counter[c][3] = hn::Set(d, fourth_);
            }
#pragma GCC unroll 10
            for (std::uint32_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 2
                for (Index c = 0; c < chains; ++c) round(keys_[r], counter[c]);
            }
#pragma GCC unroll 2
            for (Index c = 0; c < chains; ++c) put(counter[c], 4 * (b + c * wide_lanes), use);
        }
    }

private:
    using WideTag = hn::Repartition<std::uint64_t, WordTag>;
    using Wide = hn::Vec<WideTag>;
    static constexpr Index wide_lanes = hn::MaxLanes(WideTag());
    static constexpr Index blocks = words / 4;
    static constexpr Index chains = 2;  // independent ones, to hide the latency of the multiplications
    static constexpr std::uint32_t rounds = 10;

    /// Where vectors put their lanes in order, pair by pair: put() takes the even lanes first.
    static constexpr Index block_of(Index lane) {
        const Index within = lane % wide_lanes;
        return lane - within + within / 2 + within % 2 * (wide_lanes / 2);
    }

    static HWY_INLINE Wide product(Wide value, std::uint32_t factor) {
        const WordTag d;
        return hn::MulEven(hn::BitCast(d, value), hn::Set(d, factor));
    }

    static HWY_INLINE void round(const std::uint64_t (&keys)[2][wide_lanes], Wide (&counter)[4]) {
        const WideTag d;
        const Wide product0 = product(counter[0], 0xD2511F53U);
        const Wide product1 = product(counter[2], 0xCD9E8D57U);
        counter[0] = hn::Xor(hn::Xor(hn::ShiftRight<32>(product1), counter[1]), hn::Load(d, keys[0]));
        counter[1] = product1;
        counter[2] = hn::Xor(hn::Xor(hn::ShiftRight<32>(product0), counter[3]), hn::Load(d, keys[1]));
        counter[3] = product0;
    }

    template <class Use>
    static HWY_INLINE void put(const Wide (&counter)[4], Index first, const Use& use) {
        const WordTag d;
        const WideTag wide;
        const auto pairs = [](Wide even, Wide odd) HWY_ATTR {
            const WordTag tag;
            const auto joined = hn::OddEven(hn::BitCast(tag, hn::ShiftLeft<32>(odd)), hn::BitCast(tag, even));
            return hn::BitCast(WideTag(), joined);
        };
        const Wide first_pairs = pairs(counter[0], counter[1]);
        const Wide second_pairs = pairs(counter[2], counter[3]);
        use(first, hn::BitCast(d, hn::InterleaveLower(wide, first_pairs, second_pairs)),
            hn::BitCast(d, hn::InterleaveUpper(wide, first_pairs, second_pairs)));
    }

    alignas(64) std::uint64_t keys_[rounds][2][wide_lanes];
    alignas(64) std::uint64_t counters_[blocks];
    std::uint64_t third_;
    std::uint64_t fourth_;
    Index rows_at_once_;
};

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
