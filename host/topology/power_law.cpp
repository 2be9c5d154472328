#include "espalier/power_law.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "espalier/error.hpp"
#include "espalier/random.hpp"

namespace espalier {
namespace {

constexpr double lowest_exponent = 1.01;
constexpr double highest_exponent = 50;
constexpr std::size_t max_candidates = 64;

/// Count and sum of logarithms of the degrees >= some degree.
struct Tail {
    double count = 0;
    double logarithms = 0;
};

/// The exponent of greatest likelihood for a tail from `smallest` on: the root of
/// d/ds ln zeta(s, smallest) + mean logarithm, an increasing function. Newton's steps from the continuous law's answer
/// (eq. 3.7), kept within a shrinking bracket.
double likeliest_exponent(const Tail& tail, double smallest) {
    const double mean_logarithm = tail.logarithms / tail.count;
    constexpr double h = 1e-4;
    double low = lowest_exponent, high = highest_exponent;
    double s = std::clamp(1 + 1 / (mean_logarithm - std::log(smallest - 0.5)), low, high);
    for (int step = 0; step < 60; ++step) {
        const double left = std::log(hurwitz_zeta(s - h, smallest));
        const double middle = std::log(hurwitz_zeta(s, smallest));
        const double right = std::log(hurwitz_zeta(s + h, smallest));
        const double slope = (right - left) / (2 * h) + mean_logarithm;
        const double curvature = (right - 2 * middle + left) / (h * h);
        (slope < 0 ? low : high) = s;
        const double newton = s - slope / curvature;
        const double next = newton > low && newton < high ? newton : 0.5 * (low + high);
        const double change = std::abs(next - s);
        s = next;
        if (change < 1e-7) break;
    }
    return s;
}

/// Kolmogorov-Smirnov distance between the tail and the law with this exponent.
double tail_distance(const std::vector<std::uint64_t>& distribution, std::size_t smallest, double count,
                     double exponent) {
    const double norm = hurwitz_zeta(exponent, static_cast<double>(smallest));
    double seen = 0, expected = 0, distance = 0;
    for (std::size_t k = smallest; k < distribution.size(); ++k) {
        seen += static_cast<double>(distribution[k]) / count;
        expected += std::pow(static_cast<double>(k), -exponent) / norm;
        distance = std::max(distance, std::abs(seen - expected));
    }
    return distance;
}

/// The degrees to start a tail at: those that occur and leave another and `least` neurons above them, thinned evenly.
std::vector<std::size_t> candidates(const std::vector<std::uint64_t>& distribution, const std::vector<Tail>& tails,
                                    std::uint64_t least) {
    std::vector<std::size_t> occurring;
    for (std::size_t k = 1; k < distribution.size(); ++k) {
        if (distribution[k] > 0) occurring.push_back(k);
    }
    if (!occurring.empty()) occurring.pop_back();
    std::erase_if(occurring, [&](std::size_t k) { return tails[k].count < static_cast<double>(least); });
    if (occurring.size() <= max_candidates) return occurring;
    std::vector<std::size_t> thinned;
    for (std::size_t i = 0; i < max_candidates; ++i) {
        thinned.push_back(occurring[i * (occurring.size() - 1) / (max_candidates - 1)]);
    }
    return thinned;
}

/// Draws from a law's tail by its cumulative probabilities, tabulated up to a degree that all but a millionth stay
/// below; beyond that by the continuous law (eq. D.6).
class TailSampler {
public:
    explicit TailSampler(const PowerLaw& law) : law_(law) {
        double below = 0;
        for (std::uint64_t k = law.smallest; below < 1 - 1e-6 && cumulative_.size() < largest_table; ++k) {
            below += probability(law, k);
            cumulative_.push_back(below);
        }
    }
    /// `uniform` in (0, 1).
    [[nodiscard]] std::uint64_t operator()(double uniform) const {
        const auto found = std::upper_bound(cumulative_.begin(), cumulative_.end(), uniform);
        if (found != cumulative_.end()) {
            return law_.smallest + static_cast<std::uint64_t>(found - cumulative_.begin());
        }
        const double k = (static_cast<double>(law_.smallest) - 0.5) * std::pow(1 - uniform, -1 / (law_.exponent - 1));
        const double least = static_cast<double>(law_.smallest + cumulative_.size());
        return static_cast<std::uint64_t>(std::clamp(k + 0.5, least, largest_degree));
    }

private:
    static constexpr std::size_t largest_table = 4096;
    static constexpr double largest_degree = 1e5;  // keeps a synthetic distribution small
    PowerLaw law_;
    std::vector<double> cumulative_;
};

/// A uniform draw in (0, 1) with 53 bits.
double uniform_draw(const RandomBlock& block) {
    const std::uint64_t bits = std::uint64_t{block.word[0]} << 32 | block.word[1];
    return (static_cast<double>(bits >> 11) + 0.5) * 0x1p-53;
}

}  // namespace

std::vector<std::uint64_t> degree_distribution(const std::vector<EdgeIndex>& degrees) {
    std::vector<std::uint64_t> counts;
    for (const EdgeIndex degree : degrees) {
        if (degree >= counts.size()) counts.resize(std::size_t{degree} + 1, 0);
        ++counts[degree];
    }
    return counts;
}

double hurwitz_zeta(double s, double q) {
    expects(s > 1 && s <= 60 && q >= 1, "1 < s <= 60 and q >= 1");
    // Euler-Maclaurin: the first terms themselves, the rest by its integral and derivatives (B_2k / (2k)!).
    constexpr double coefficients[] = {1.0 / 12,           -1.0 / 720,     1.0 / 30240,
                                       -1.0 / 1209600,     1.0 / 47900160, -691.0 / 1307674368000.0,
                                       1.0 / 74724249600.0};
    double sum = 0;
    while (q < s + 12) {
        sum += std::pow(q, -s);
        q += 1;
    }
    const double power = std::pow(q, -s);
    sum += power * q / (s - 1) + 0.5 * power;
    double term = power * s / q;
    double order = s;
    for (const double coefficient : coefficients) {
        sum += coefficient * term;
        term *= (order + 1) * (order + 2) / (q * q);
        order += 2;
    }
    return sum;
}

double probability(const PowerLaw& law, std::uint64_t k) {
    expects(law.found() && k >= law.smallest, "a degree in the law's tail");
    return std::pow(static_cast<double>(k), -law.exponent) /
           hurwitz_zeta(law.exponent, static_cast<double>(law.smallest));
}

PowerLaw fit_power_law(const std::vector<std::uint64_t>& distribution, std::uint64_t least) {
    std::vector<Tail> tails(distribution.size() + 1);
    for (std::size_t k = distribution.size(); k-- > 1;) {
        const auto count = static_cast<double>(distribution[k]);
        tails[k] = {tails[k + 1].count + count, tails[k + 1].logarithms + count * std::log(static_cast<double>(k))};
    }
    PowerLaw best;
    for (const std::size_t smallest : candidates(distribution, tails, least)) {
        const double exponent = likeliest_exponent(tails[smallest], static_cast<double>(smallest));
        const double distance = tail_distance(distribution, smallest, tails[smallest].count, exponent);
        if (best.found() && distance >= best.distance) continue;
        best = {exponent, smallest, static_cast<std::uint64_t>(tails[smallest].count), distance};
    }
    return best;
}

double power_law_p_value(const std::vector<std::uint64_t>& distribution, const PowerLaw& law, std::uint32_t repeats,
                         std::uint64_t seed, std::uint64_t least) {
    if (!law.found() || repeats == 0) return std::numeric_limits<double>::quiet_NaN();
    std::vector<std::uint64_t> below;  // degrees outside the tail, one entry a neuron
    for (std::size_t k = 1; k < law.smallest && k < distribution.size(); ++k)
        below.insert(below.end(), distribution[k], k);
    const std::uint64_t neurons = below.size() + law.tail;
    const double tail_share = static_cast<double>(law.tail) / static_cast<double>(neurons);
    const TailSampler sampler(law);

    std::uint32_t farther = 0;
    for (std::uint32_t repeat = 0; repeat < repeats; ++repeat) {
        const Stream stream{seed, Purpose::bootstrap, 0, repeat};
        std::vector<std::uint64_t> sample;
        for (std::uint64_t n = 0; n < neurons; ++n) {
            const RandomBlock block = stream.block(n);
            const std::uint64_t degree = bernoulli(block.word[2], tail_share)
                                             ? sampler(uniform_draw(block))
                                             : below[bounded(block.word[3], static_cast<std::uint32_t>(below.size()))];
            if (degree >= sample.size()) sample.resize(degree + 1, 0);
            ++sample[degree];
        }
        if (fit_power_law(sample, least).distance >= law.distance) ++farther;
    }
    return static_cast<double>(farther) / repeats;
}

}  // namespace espalier
