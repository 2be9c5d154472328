#include "host/rbm/scores.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "espalier/random.hpp"
#include "espalier/dataset.hpp"
#include "host/data/pixel_statistics.hpp"
#include "host/models/rbm.hpp"

namespace espalier {
namespace {

double mean_of(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double standard_error_of(const std::vector<double>& values) {
    const double mean = mean_of(values);
    double squares = 0;
    for (const double value : values) squares += (value - mean) * (value - mean);
    const auto n = static_cast<double>(values.size());
    return n > 1 ? std::sqrt(squares / (n - 1) / n) : 0;
}

}  // namespace

Split drawn_samples(const Split& split, double scale, std::uint64_t seed) {
    const Stream stream{seed, Purpose::binary_data, 0, 0};
    Split drawn;
    drawn.labels = split.labels;
    drawn.bytes.resize(std::max(split.bytes.size(), split.floats.size()));
    for (std::size_t i = 0; i < drawn.bytes.size(); ++i) {
        const double value = split.bytes.empty() ? split.floats[i] : split.bytes[i];
        drawn.bytes[i] = bernoulli(stream.bits(i), value * scale) ? 1 : 0;
    }
    return drawn;
}

RbmScores score_rbm(const Network& network, const DataSet& data, AnnealingOptions options) {
    const RbmParameters machine = rbm_parameters(network);
    RbmScores scores;
    const std::size_t count = std::min(data.train.count(), data.test.count());
    scores.train_free_energy = mean_of(free_energies(machine, data.train, data.scale, count));
    const std::vector<double> test = free_energies(machine, data.test, data.scale);
    scores.test_free_energy = mean_of(test);
    scores.test_free_energy_error = standard_error_of(test);
    const std::vector<double> drawn = free_energies(machine, drawn_samples(data.test, data.scale, options.seed), 1);
    scores.drawn_free_energy = mean_of(drawn);
    scores.drawn_free_energy_error = standard_error_of(drawn);
    options.base_bias = base_biases(pixel_statistics(data).mean, data.train.count());
    scores.annealing = anneal(machine, options);
    return scores;
}

}  // namespace espalier
