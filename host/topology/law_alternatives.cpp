// Power laws beside Poisson's and the log-normal distribution: each fitted to the same tail, compared by Vuong's test.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include "espalier/power_law.hpp"

namespace espalier {
namespace {

/// Logarithm of a distribution's probability of degree k given that k is in the tail.
using LogProbability = std::function<double(std::uint64_t k)>;

double log_likelihood(const std::vector<std::uint64_t>& distribution, std::uint64_t smallest,
                      const LogProbability& log_probability) {
    double sum = 0;
    for (std::uint64_t k = smallest; k < distribution.size(); ++k) {
        if (distribution[k] > 0) sum += static_cast<double>(distribution[k]) * log_probability(k);
    }
    return sum;
}

Alternative vuong_test(const std::vector<std::uint64_t>& distribution, const PowerLaw& law,
                       const LogProbability& other) {
    const double norm = std::log(hurwitz_zeta(law.exponent, static_cast<double>(law.smallest)));
    double count = 0, sum = 0, squares = 0;
    for (std::uint64_t k = law.smallest; k < distribution.size(); ++k) {
        if (distribution[k] == 0) continue;
        const auto neurons = static_cast<double>(distribution[k]);
        const double difference = -law.exponent * std::log(static_cast<double>(k)) - norm - other(k);
        count += neurons;
        sum += neurons * difference;
        squares += neurons * difference * difference;
    }
    const double variance = squares / count - (sum / count) * (sum / count);
    if (!(variance > 0)) return {};
    return {sum, std::erfc(std::abs(sum) / std::sqrt(2 * count * variance))};
}

/// Poisson's distribution with mean `rate`, cut off below `smallest`: the sum over the tail relative to its first term
/// loses nothing however far out the tail begins.
LogProbability cut_poisson(double rate, std::uint64_t smallest) {
    constexpr double huge = 1e200;
    double term = 1, sum = 1, log_taken_out = 0;
    for (auto k = static_cast<double>(smallest) + 1; term > 1e-17 * sum || k < rate; ++k) {
        term *= rate / k;
        sum += term;
        if (sum < huge) continue;
        term /= huge, sum /= huge;
        log_taken_out += std::log(huge);
    }
    const double log_sum = std::log(sum) + log_taken_out, log_rate = std::log(rate);
    const double first = std::lgamma(static_cast<double>(smallest) + 1);
    return [=](std::uint64_t k) {
        return static_cast<double>(k - smallest) * log_rate - std::lgamma(static_cast<double>(k) + 1) + first - log_sum;
    };
}

/// The upper tail of the normal distribution.
double beyond(double z) { return 0.5 * std::erfc(z / std::sqrt(2.0)); }

LogProbability cut_log_normal(double mu, double sigma, std::uint64_t smallest) {
    const auto place = [=](double k) { return (std::log(k) - mu) / sigma; };
    const double all = beyond(place(static_cast<double>(smallest) - 0.5));
    return [=](std::uint64_t k) {
        const double low = place(static_cast<double>(k) - 0.5), high = place(static_cast<double>(k) + 0.5);
        // From the nearer end, where the difference keeps its digits.
        const double share = low > 0 ? beyond(low) - beyond(high) : beyond(-high) - beyond(-low);
        return share > 0 && all > 1e-290 ? std::log(share / all) : -1e6;
    };
}

/// The largest value of `f` between `low` and `high` by golden sections.
double highest_between(double low, double high, const std::function<double(double)>& f) {
    const double golden = (std::sqrt(5.0) - 1) / 2;
    double a = high - golden * (high - low), b = low + golden * (high - low);
    double at_a = f(a), at_b = f(b);
    for (int step = 0; step < 80; ++step) {
        if (at_a > at_b) {
            high = b;
            b = a, at_b = at_a;
            a = high - golden * (high - low);
            at_a = f(a);
        } else {
            low = a;
            a = b, at_a = at_b;
            b = low + golden * (high - low);
            at_b = f(b);
        }
    }
    return 0.5 * (low + high);
}

/// The corner where `f` of two variables is lowest, by Nelder and Mead's simplex.
std::array<double, 2> lowest_corner(std::array<double, 2> start, const std::function<double(std::array<double, 2>)>& f) {
    using Corner = std::pair<double, std::array<double, 2>>;
    const auto at = [&](double x, double y) { return Corner{f({x, y}), {x, y}}; };
    std::array<Corner, 3> corners{at(start[0], start[1]), at(start[0] + 0.5, start[1]), at(start[0], start[1] + 0.3)};
    const auto by_value = [](const Corner& a, const Corner& b) { return a.first < b.first; };
    for (int step = 0; step < 400; ++step) {
        std::sort(corners.begin(), corners.end(), by_value);
        if (corners[2].first - corners[0].first < 1e-10) break;
        const double cx = 0.5 * (corners[0].second[0] + corners[1].second[0]);
        const double cy = 0.5 * (corners[0].second[1] + corners[1].second[1]);
        const double dx = corners[2].second[0] - cx, dy = corners[2].second[1] - cy;
        const Corner reflected = at(cx - dx, cy - dy);
        if (reflected.first < corners[0].first) {
            const Corner expanded = at(cx - 2 * dx, cy - 2 * dy);
            corners[2] = std::min(expanded, reflected, by_value);
        } else if (reflected.first < corners[1].first) {
            corners[2] = reflected;
        } else {
            const bool outside = reflected.first < corners[2].first;
            const Corner contracted = at(cx + (outside ? -0.5 : 0.5) * dx, cy + (outside ? -0.5 : 0.5) * dy);
            if (contracted.first < std::min(reflected.first, corners[2].first)) {
                corners[2] = contracted;
            } else {
                for (std::size_t c = 1; c < 3; ++c) {
                    corners[c] = at(0.5 * (corners[c].second[0] + corners[0].second[0]),
                                    0.5 * (corners[c].second[1] + corners[0].second[1]));
                }
            }
        }
    }
    return std::min({corners[0], corners[1], corners[2]}, by_value).second;
}

}  // namespace

Alternative against_poisson(const std::vector<std::uint64_t>& distribution, const PowerLaw& law) {
    if (!law.found()) return {};
    const auto largest = static_cast<double>(distribution.size());
    const double log_rate = highest_between(std::log(1e-3), std::log(largest), [&](double logarithm) {
        return log_likelihood(distribution, law.smallest, cut_poisson(std::exp(logarithm), law.smallest));
    });
    return vuong_test(distribution, law, cut_poisson(std::exp(log_rate), law.smallest));
}

Alternative against_log_normal(const std::vector<std::uint64_t>& distribution, const PowerLaw& law) {
    if (!law.found()) return {};
    double count = 0, sum = 0, squares = 0;
    for (std::uint64_t k = law.smallest; k < distribution.size(); ++k) {
        const auto neurons = static_cast<double>(distribution[k]);
        const double logarithm = std::log(static_cast<double>(k));
        count += neurons;
        sum += neurons * logarithm;
        squares += neurons * logarithm * logarithm;
    }
    const double mean = sum / count, deviation = std::sqrt(std::max(1e-4, squares / count - mean * mean));
    const auto found = lowest_corner({mean, std::log(deviation)}, [&](std::array<double, 2> at) {
        if (std::abs(at[1]) > 8) return std::numeric_limits<double>::max();
        return -log_likelihood(distribution, law.smallest, cut_log_normal(at[0], std::exp(at[1]), law.smallest));
    });
    return vuong_test(distribution, law, cut_log_normal(found[0], std::exp(found[1]), law.smallest));
}

}  // namespace espalier
