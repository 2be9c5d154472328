// How well a restricted Boltzmann machine models data: log-probability by annealed importance sampling, and the gap
// between the free energies of training and of test data, which grows as a machine overfits.
#pragma once

#include "espalier/layer.hpp"
#include "host/annealing.hpp"

namespace espalier {

struct DataSet;

struct RbmScores {
    double train_free_energy = 0;       // mean over as many samples as the test split has, or all if there are fewer
    double test_free_energy = 0;        // mean over the test split
    double test_free_energy_error = 0;  // standard error of that mean
    AnnealingResult annealing;

    [[nodiscard]] double free_energy_gap() const { return test_free_energy - train_free_energy; }
    /// Mean log-probability of the test samples, in nats.
    [[nodiscard]] double test_log_probability() const { return -test_free_energy - annealing.log_partition; }
};

/// `data` as use_as_units leaves them; options.base_bias is set from their means.
RbmScores score_rbm(const Network& network, const DataSet& data, AnnealingOptions options);

}  // namespace espalier
