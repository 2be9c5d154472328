// How well a restricted Boltzmann machine models data: log-probability by annealed importance sampling, and the gap
// between the free energies of training and of test data, which grows as a machine overfits.
#pragma once

#include "espalier/layer.hpp"
#include "host/rbm/annealed_importance_sampling.hpp"

namespace espalier {

struct DataSet;
struct Split;

struct RbmScores {
    double train_free_energy = 0;       // mean over as many samples as the test split has, or all if there are fewer
    double test_free_energy = 0;        // mean over the test split
    double test_free_energy_error = 0;  // standard error of that mean
    double drawn_free_energy = 0;       // as test_free_energy, of test samples drawn with their values as probabilities
    double drawn_free_energy_error = 0;
    AnnealingResult annealing;

    [[nodiscard]] double free_energy_gap() const { return test_free_energy - train_free_energy; }
    /// Mean log-probability of the test samples, in nats.
    [[nodiscard]] double test_log_probability() const { return -test_free_energy - annealing.log_partition; }
    /// The same of binary samples, where it is one of a distribution: p adds up to 1 over binary states alone. With
    /// grey values it is no more than this on average, F being concave.
    [[nodiscard]] double drawn_log_probability() const { return -drawn_free_energy - annealing.log_partition; }
};

/// Binary samples (bytes 0 and 1, to be taken with scale 1), drawn with values times `scale` as probabilities.
Split drawn_samples(const Split& split, double scale, std::uint64_t seed);

/// `data` as use_as_units leaves them; options.base_bias is set from their means.
RbmScores score_rbm(const Network& network, const DataSet& data, AnnealingOptions options);

}  // namespace espalier
