// The density a restricted Boltzmann machine stands for, on the host in double precision: free energies, and the exact
// partition function where one side is small.
//   p(v) = exp(-F(v)) / Z,  F(v) = -b.v - sum over j of log(1 + exp(c_j + W_j v))
#pragma once

#include <cstddef>
#include <vector>

#include "espalier/layer.hpp"

namespace espalier {

struct Split;

/// A machine's parameters, edges by hidden and by visible unit.
struct RbmParameters {
    struct Edges {
        std::vector<EdgeIndex> start;  // of each unit's edges, and their end
        std::vector<Index> other;
        std::vector<double> weight;
    };
    Index num_visible = 0, num_hidden = 0;
    Edges by_hidden, by_visible;
    std::vector<double> visible_bias, hidden_bias;
};

/// From a network as host/models/rbm.hpp describes it.
RbmParameters rbm_parameters(const Network& network);

/// log(1 + exp(x)) without overflow.
double softplus(double x);

/// Samples that the functions below work on side by side; [unit][lane].
constexpr std::size_t rbm_lanes = 16;

/// to[unit] = bias[unit] + sum over the unit's edges of weight * from[other], for rbm_lanes samples.
void rbm_fields(const RbmParameters::Edges& edges, const std::vector<double>& bias, const double* from, double* to);

/// F of the first `count` samples (0: all), values times `scale` being the visible units' states.
std::vector<double> free_energies(const RbmParameters& machine, const Split& split, double scale,
                                  std::size_t count = 0);

/// log Z by summing over all states of the smaller side: at most 24 units.
double exact_log_partition(const RbmParameters& machine);

}  // namespace espalier
