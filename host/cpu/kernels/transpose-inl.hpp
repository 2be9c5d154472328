// Included by kernel files once per instruction set, after simd-inl.hpp, hence no include guard.
HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

/// 4 x 4 floats: from four rows into columns `to_stride` floats apart.
HWY_INLINE void transpose_rows(const float* first, const float* second, const float* third, const float* fourth, float* to,
                               std::size_t to_stride) {
    const FourTag four;
    const auto a = hn::LoadU(four, first);
    const auto b = hn::LoadU(four, second);
    const auto c = hn::LoadU(four, third);
    const auto d = hn::LoadU(four, fourth);
    const auto ac_low = hn::InterleaveLower(four, a, c);
    const auto ac_high = hn::InterleaveUpper(four, a, c);
    const auto bd_low = hn::InterleaveLower(four, b, d);
    const auto bd_high = hn::InterleaveUpper(four, b, d);
    hn::StoreU(hn::InterleaveLower(four, ac_low, bd_low), four, to);
    hn::StoreU(hn::InterleaveUpper(four, ac_low, bd_low), four, to + to_stride);
    hn::StoreU(hn::InterleaveLower(four, ac_high, bd_high), four, to + 2 * to_stride);
    hn::StoreU(hn::InterleaveUpper(four, ac_high, bd_high), four, to + 3 * to_stride);
}

/// The same from rows `from_stride` floats apart.
HWY_INLINE void transpose_block(const float* from, std::size_t from_stride, float* to, std::size_t to_stride) {
    transpose_rows(from, from + from_stride, from + 2 * from_stride, from + 3 * from_stride, to, to_stride);
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
