#include "host/data/numpy_shuffle.hpp"

#include <bit>
#include <numeric>
#include <utility>

namespace espalier {

std::vector<std::uint32_t> NumpyShuffle::order(std::uint32_t count) {
    std::vector<std::uint32_t> numbers(count);
    std::iota(numbers.begin(), numbers.end(), 0U);
    for (std::uint32_t last = count; last-- > 1;) {
        const std::uint32_t mask = ~0U >> std::countl_zero(last);
        auto drawn = static_cast<std::uint32_t>(words_()) & mask;
        while (drawn > last) drawn = static_cast<std::uint32_t>(words_()) & mask;
        std::swap(numbers[last], numbers[drawn]);
    }
    return numbers;
}

}  // namespace espalier
