// The log-partition function of a restricted Boltzmann machine by annealed importance sampling: chains walk from a
// machine without edges, whose partition function is known, through intermediate ones to the machine itself.
// Source: Salakhutdinov & Murray, "On the quantitative analysis of deep belief networks", ICML 2008, section 4.
#pragma once

#include <cstdint>
#include <vector>

#include "host/rbm/energy.hpp"

namespace espalier {

struct AnnealingOptions {
    std::uint32_t chains = 100;
    std::uint32_t temperatures = 1000;  // steps from the first machine to the last
    std::uint64_t seed = 1;
    std::vector<double> base_bias;  // visible biases of the first machine, best those of the data; empty: 0
    int threads = 0;                // 0: one per core; the result does not depend on them
};

struct AnnealingResult {
    double log_partition = 0;
    double standard_error = 0;    // of log_partition
    double effective_chains = 0;  // (sum of weights)^2 / sum of squares: near 1, the error is not to be trusted
    std::vector<double> log_weights;
};

AnnealingResult anneal(const RbmParameters& machine, const AnnealingOptions& options);

/// Probabilities of the visible units, [chain][unit], of options.chains samples of the machine: the same walk from the
/// first machine to the last, then `steps` Gibbs steps there.
std::vector<float> sample_machine(const RbmParameters& machine, const AnnealingOptions& options, std::uint32_t steps);

/// The inverse temperatures 0 = first < ... < last = 1, of which 3.5 % reach 0.5 and 69 % lie above 0.9, as in the
/// source.
std::vector<double> inverse_temperatures(std::uint32_t steps);

}  // namespace espalier
