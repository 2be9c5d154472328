// Degree distributions and the discrete power law: is a layer's degree sequence scale-free? The fit and the test are
// those of Clauset, Shalizi & Newman, "Power-law distributions in empirical data", SIAM Review 51, 2009.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/index.hpp"

namespace espalier {

/// Neurons per degree: element k counts the neurons with k edges, zero bins kept. Empty for no neurons.
std::vector<std::uint64_t> degree_distribution(const std::vector<EdgeIndex>& degrees);

/// P(k) proportional to k^-exponent for k >= smallest.
struct PowerLaw {
    double exponent = 0;
    std::uint64_t smallest = 0;  // the tail starts here; 0: nothing could be fitted
    std::uint64_t tail = 0;      // neurons in the tail
    double distance = 1;         // Kolmogorov-Smirnov, between the tail and the law
    [[nodiscard]] bool found() const { return smallest > 0; }
};

/// Fewer neurons in the tail say nothing about its law (section 3.3: below about 50 the fit is not to be trusted).
constexpr std::uint64_t least_tail = 50;

/// Maximum-likelihood fit; `smallest` is the value that brings tail and law nearest (section 3.3), tried at no more
/// than 64 of the degrees that occur, each leaving at least two different degrees and `least` neurons in the tail.
/// Degrees of 0 stay out. Exponents are sought in [1.01, 50].
PowerLaw fit_power_law(const std::vector<std::uint64_t>& distribution, std::uint64_t least = 2);

/// Goodness of fit (section 4.1): the share of `repeats` synthetic samples, drawn from the law in the tail and from
/// the data below it and fitted anew, that lie farther from their own fit than the data from theirs. Below 0.1 the law
/// is ruled out; its standard error is at most 0.5 / sqrt(repeats). NaN if nothing was fitted. `least` as in the fit.
double power_law_p_value(const std::vector<std::uint64_t>& distribution, const PowerLaw& law,
                         std::uint32_t repeats = 1000, std::uint64_t seed = 1, std::uint64_t least = 2);

/// A power law beside another distribution fitted to the same tail: Vuong's likelihood ratio test (section 5).
struct Alternative {
    double ratio = 0;    // log-likelihood of the power law minus the other's: above 0 speaks for the power law
    double p_value = 1;  // two-sided: of a ratio as far from 0 if both were equally far from the truth
};

/// Poisson's distribution, as in a random graph, and the discretised log-normal one, each cut off below the law's tail
/// and fitted by maximum likelihood. {0, 1} if no law was found.
Alternative against_poisson(const std::vector<std::uint64_t>& distribution, const PowerLaw& law);
Alternative against_log_normal(const std::vector<std::uint64_t>& distribution, const PowerLaw& law);

/// The share of the law's tail at degree k >= smallest.
double probability(const PowerLaw& law, std::uint64_t k);

/// Hurwitz's zeta function, the sum over n >= 0 of (n + q)^-s, for 1 < s <= 60 and q >= 1; relative error below 1e-12.
double hurwitz_zeta(double s, double q);

}  // namespace espalier
