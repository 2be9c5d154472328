#include "host/rbm/annealed_importance_sampling.hpp"

#include <omp.h>

#include <algorithm>
#include <cmath>

#include "espalier/activation.hpp"
#include "espalier/error.hpp"
#include "espalier/random.hpp"

namespace espalier {
namespace {

/// rbm_lanes chains on their way.
class ChainBlock {
public:
    ChainBlock(const RbmParameters& machine, const std::vector<double>& base_bias, std::uint64_t seed,
               std::uint32_t first_chain)
        : machine_(machine),
          base_bias_(base_bias),
          seed_(seed),
          first_chain_(first_chain),
          visible_(std::size_t{machine.num_visible} * rbm_lanes),
          visible_field_(visible_.size()),
          hidden_(std::size_t{machine.num_hidden} * rbm_lanes),
          hidden_field_(hidden_.size()) {}

    void walk(const std::vector<double>& betas) {
        const Draws draws = draws_of(0);
        for (std::size_t i = 0; i < base_bias_.size(); ++i) {
            for (std::size_t lane = 0; lane < rbm_lanes; ++lane) {
                visible_[i * rbm_lanes + lane] = draws.state(base_bias_[i], i, lane);
            }
        }
        for (std::size_t k = 1; k < betas.size(); ++k) {
            rbm_fields(machine_.by_hidden, machine_.hidden_bias, visible_.data(), hidden_field_.data());
            add_weights(betas[k] - betas[k - 1], betas[k], betas[k - 1]);
            if (k + 1 < betas.size()) transition(betas[k], static_cast<std::uint32_t>(k));
        }
    }

    /// Gibbs steps of the machine itself after a walk; their draws are told apart by `first_step`.
    void settle(std::uint32_t steps, std::uint32_t first_step) {
        for (std::uint32_t k = 0; k < steps; ++k) {
            rbm_fields(machine_.by_hidden, machine_.hidden_bias, visible_.data(), hidden_field_.data());
            transition(1, first_step + k);
        }
    }
    /// Of a unit that settle() has drawn.
    [[nodiscard]] float probability(std::size_t unit, std::size_t lane) const {
        return Sigmoid{}.value(static_cast<float>(visible_field_[unit * rbm_lanes + lane]));
    }

    [[nodiscard]] double log_weight(std::size_t lane) const { return log_weight_[lane]; }

private:
    struct Draws {
        Stream stream;
        std::uint32_t first_chain;
        std::uint64_t first_unit;
        /// 1 with probability sigmoid(field).
        [[nodiscard]] double state(double field, std::size_t unit, std::size_t lane) const {
            const std::uint32_t bits = stream.bits(((first_unit + unit) << 32) + first_chain + lane);
            const float p = Sigmoid{}.value(static_cast<float>(field));
            return static_cast<double>(bits) < static_cast<double>(p) * 4294967296.0 ? 1 : 0;
        }
    };
    [[nodiscard]] Draws draws_of(std::uint32_t step, std::uint64_t first_unit = 0) const {
        return {{seed_, Purpose::annealing, 0, step}, first_chain_, first_unit};
    }

    /// log p*_k(v) - log p*_(k-1)(v), hidden units summed out.
    void add_weights(double difference, double beta, double before) {
        for (std::size_t i = 0; i < base_bias_.size(); ++i) {
            const double factor = difference * (machine_.visible_bias[i] - base_bias_[i]);
            for (std::size_t lane = 0; lane < rbm_lanes; ++lane) {
                log_weight_[lane] += factor * visible_[i * rbm_lanes + lane];
            }
        }
        for (std::size_t j = 0; j < machine_.num_hidden; ++j) {
            for (std::size_t lane = 0; lane < rbm_lanes; ++lane) {
                const double field = hidden_field_[j * rbm_lanes + lane];
                log_weight_[lane] += softplus(beta * field) - softplus(before * field);
            }
        }
    }

    /// A Gibbs step that leaves the machine of this temperature's distribution as it is.
    void transition(double beta, std::uint32_t step) {
        const Draws hidden_draws = draws_of(step, machine_.num_visible);
        for (std::size_t j = 0; j < machine_.num_hidden; ++j) {
            for (std::size_t lane = 0; lane < rbm_lanes; ++lane) {
                hidden_[j * rbm_lanes + lane] = hidden_draws.state(beta * hidden_field_[j * rbm_lanes + lane], j, lane);
            }
        }
        rbm_fields(machine_.by_visible, machine_.visible_bias, hidden_.data(), visible_field_.data());
        const Draws visible_draws = draws_of(step);
        for (std::size_t i = 0; i < base_bias_.size(); ++i) {
            for (std::size_t lane = 0; lane < rbm_lanes; ++lane) {
                const double field = (1 - beta) * base_bias_[i] + beta * visible_field_[i * rbm_lanes + lane];
                visible_[i * rbm_lanes + lane] = visible_draws.state(field, i, lane);
            }
        }
    }

    const RbmParameters& machine_;
    const std::vector<double>& base_bias_;
    std::uint64_t seed_;
    std::uint32_t first_chain_;
    std::vector<double> visible_, visible_field_, hidden_, hidden_field_;
    double log_weight_[rbm_lanes] = {};
};

void summarise(double log_base, AnnealingResult& result) {
    const auto n = static_cast<double>(result.log_weights.size());
    const double largest = *std::max_element(result.log_weights.begin(), result.log_weights.end());
    double sum = 0;
    double squares = 0;
    for (const double log_weight : result.log_weights) {
        const double weight = std::exp(log_weight - largest);
        sum += weight;
        squares += weight * weight;
    }
    const double mean = sum / n;
    const double variance = std::max(0.0, (squares / n - mean * mean) * n / (n - 1));
    result.log_partition = log_base + largest + std::log(mean);
    result.standard_error = std::sqrt(variance / n) / mean;
    result.effective_chains = sum * sum / squares;
}

/// Calls work(block of chains, number of its first chain, how many count) for all of them, walked.
template <class Work>
void walk_chains(const RbmParameters& machine, const AnnealingOptions& options, const std::vector<double>& base_bias,
                 const Work& work) {
    expects(options.chains >= 1 && base_bias.size() == machine.num_visible, "chains, and a base bias per visible unit");
    const std::vector<double> betas = inverse_temperatures(options.temperatures);
    const auto blocks = static_cast<std::int64_t>((options.chains + rbm_lanes - 1) / rbm_lanes);
    const int threads = options.threads > 0 ? options.threads : omp_get_max_threads();
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (std::int64_t b = 0; b < blocks; ++b) {
        const auto first = static_cast<std::uint32_t>(static_cast<std::size_t>(b) * rbm_lanes);
        ChainBlock block(machine, base_bias, options.seed, first);
        block.walk(betas);
        work(block, first, std::min<std::size_t>(rbm_lanes, options.chains - first));
    }
}

std::vector<double> base_bias_of(const RbmParameters& machine, const AnnealingOptions& options) {
    return options.base_bias.empty() ? std::vector<double>(machine.num_visible, 0.0) : options.base_bias;
}

}  // namespace

std::vector<double> inverse_temperatures(std::uint32_t steps) {
    expects(steps >= 1, "at least one step");
    const double shares[] = {0.0345, 0.3103, 1};  // of the steps that reach the ends
    const double ends[] = {0.5, 0.9, 1};
    std::vector<double> betas{0};
    std::uint32_t done = 0;
    for (int piece = 0; piece < 3; ++piece) {
        const auto end = static_cast<std::uint32_t>(std::lround(shares[piece] * steps));
        const double from = betas.back();
        for (std::uint32_t k = done + 1; k <= end; ++k) {
            betas.push_back(from + (ends[piece] - from) * (k - done) / (end - done));
        }
        done = std::max(done, end);
    }
    return betas;
}

AnnealingResult anneal(const RbmParameters& machine, const AnnealingOptions& options) {
    expects(options.chains >= 2, "two chains at least");
    const std::vector<double> base_bias = base_bias_of(machine, options);
    AnnealingResult result;
    result.log_weights.resize(options.chains);
    walk_chains(machine, options, base_bias, [&](const ChainBlock& block, std::uint32_t first, std::size_t lanes) {
        for (std::size_t lane = 0; lane < lanes; ++lane) result.log_weights[first + lane] = block.log_weight(lane);
    });
    double log_base = machine.num_hidden * std::log(2.0);
    for (const double bias : base_bias) log_base += softplus(bias);
    summarise(log_base, result);
    return result;
}

std::vector<float> sample_machine(const RbmParameters& machine, const AnnealingOptions& options, std::uint32_t steps) {
    expects(steps >= 1, "a Gibbs step at least");
    std::vector<float> samples(std::size_t{options.chains} * machine.num_visible);
    const auto settle = [&](ChainBlock& block, std::uint32_t first, std::size_t lanes) {
        block.settle(steps, options.temperatures + 1);
        for (std::size_t lane = 0; lane < lanes; ++lane) {
            float* sample = samples.data() + (first + lane) * machine.num_visible;
            for (std::size_t i = 0; i < machine.num_visible; ++i) sample[i] = block.probability(i, lane);
        }
    };
    walk_chains(machine, options, base_bias_of(machine, options), settle);
    return samples;
}

}  // namespace espalier
