#include <algorithm>
#include <cmath>

#include "espalier/error.hpp"
#include "espalier/random.hpp"
#include "espalier/dataset.hpp"

namespace espalier {
namespace {

constexpr std::uint32_t no_layer = (1U << 24) - 1;  // a stream of its own beside the shuffles of training

/// Which samples go: of each class its share, so that rare classes stay on both sides; at least one stays.
std::vector<bool> chosen_samples(const std::vector<std::int32_t>& labels, double share) {
    const std::size_t classes = static_cast<std::size_t>(*std::max_element(labels.begin(), labels.end())) + 1;
    std::vector<std::vector<std::size_t>> of_class(classes);
    const Permutation order(labels.size(), Stream{0, Purpose::shuffle, no_layer});
    for (std::size_t i = 0; i < labels.size(); ++i) {
        const auto sample = static_cast<std::size_t>(order(i));
        of_class[static_cast<std::size_t>(labels[sample])].push_back(sample);
    }
    std::vector<bool> chosen(labels.size(), false);
    std::size_t seen = 0;
    for (const auto& samples : of_class) {
        // rounding is carried from class to class, so that the whole share comes out right
        const auto before = std::llround(share * static_cast<double>(seen));
        seen += samples.size();
        const auto after = std::llround(share * static_cast<double>(seen));
        auto count = static_cast<std::size_t>(after - before);
        if (count == samples.size() && count > 0) --count;
        for (std::size_t i = 0; i < count; ++i) chosen[samples[i]] = true;
    }
    return chosen;
}

template <class Item>
void move_rows(std::vector<Item>& from, std::vector<Item>& to, std::size_t width, const std::vector<bool>& chosen) {
    if (from.empty()) return;
    std::size_t kept = 0;
    for (std::size_t row = 0; row < chosen.size(); ++row) {
        const auto start = from.begin() + static_cast<std::ptrdiff_t>(row * width);
        const auto end = start + static_cast<std::ptrdiff_t>(width);
        if (chosen[row]) {
            to.insert(to.end(), start, end);
        } else {
            std::copy(start, end, from.begin() + static_cast<std::ptrdiff_t>(kept++ * width));
        }
    }
    from.resize(kept * width);
}

}  // namespace

Split hold_out(Split& from, std::size_t features, double share) {
    expects(from.count() > 0 && share > 0 && share < 1, "samples and a share of them");
    const std::vector<bool> chosen = chosen_samples(from.labels, share);
    const auto count = std::count(chosen.begin(), chosen.end(), true);
    if (count == 0) {
        throw UserError(ExitCode::usage, "split: a share of " + std::to_string(share) + " of " +
                                             std::to_string(from.count()) +
                                             " samples holds none out; take a larger share");
    }
    Split held;
    move_rows(from.bytes, held.bytes, features, chosen);
    move_rows(from.floats, held.floats, features, chosen);
    move_rows(from.targets, held.targets, from.targets.size() / chosen.size(), chosen);
    move_rows(from.labels, held.labels, 1, chosen);
    return held;
}

}  // namespace espalier
