// Annealed importance sampling and free energies against sums over all states.
#include "host/rbm/annealed_importance_sampling.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "host/models/rbm.hpp"
#include "host/rbm/scores.hpp"
#include "small_rbm.hpp"

namespace espalier {
namespace {

/// log of the sum of exp(-energy) over every state of both sides, one loop per formula.
double log_partition_by_hand(const Network& network) {
    const auto layer = oracle::dense(network.layers[0], 0);
    double sum = 0;
    for (std::size_t v = 0; v < std::size_t{1} << layer.num_inputs; ++v) {
        for (std::size_t h = 0; h < std::size_t{1} << layer.num_outputs; ++h) {
            double exponent = 0;
            for (std::size_t i = 0; i < layer.num_inputs; ++i) {
                exponent += (v >> i & 1) != 0 ? visible_biases_of(network)[i] : 0.0F;
            }
            for (std::size_t j = 0; j < layer.num_outputs; ++j) {
                if ((h >> j & 1) == 0) continue;
                exponent += layer.bias.values[j];
                for (std::size_t i = 0; i < layer.num_inputs; ++i) {
                    exponent += (v >> i & 1) != 0 ? layer.weights.values[j * layer.num_inputs + i] : 0;
                }
            }
            sum += std::exp(exponent);
        }
    }
    return std::log(sum);
}

TEST(ExactPartition, SumsOverAllStates) {
    for (const double density : {-1.0, 0.5, 0.0}) {
        for (const auto& [visible, hidden] : {std::pair<Index, Index>{7, 5}, {5, 7}, {1, 1}}) {
            const Network network = small_rbm(visible, hidden, density, 2, visible + 10);
            EXPECT_NEAR(exact_log_partition(rbm_parameters(network)), log_partition_by_hand(network), 1e-9)
                << visible << " x " << hidden << " density " << density;
        }
    }
}

TEST(FreeEnergy, IsTheLogOfTheSumOverHiddenStates) {
    const Network network = small_rbm(6, 5, 0.6, 2, 3);
    const RbmParameters machine = rbm_parameters(network);
    const DataSet data = binary_data(6, 37, 4);  // not a multiple of the lanes
    const auto energies = free_energies(machine, data.test, 1);
    ASSERT_EQ(energies.size(), 37U);
    const auto layer = oracle::dense(network.layers[0], 0);
    for (std::size_t s = 0; s < 37; ++s) {
        double sum = 0;
        for (std::size_t h = 0; h < 32; ++h) {
            double exponent = 0;
            for (std::size_t i = 0; i < 6; ++i) {
                exponent += static_cast<double>(visible_biases_of(network)[i]) * data.test.floats[s * 6 + i];
                for (std::size_t j = 0; j < 5; ++j) {
                    if ((h >> j & 1) != 0) exponent += layer.weights.values[j * 6 + i] * data.test.floats[s * 6 + i];
                }
            }
            for (std::size_t j = 0; j < 5; ++j) exponent += (h >> j & 1) != 0 ? layer.bias.values[j] : 0;
            sum += std::exp(exponent);
        }
        ASSERT_NEAR(energies[s], -std::log(sum), 1e-9) << s;
    }
    EXPECT_EQ(free_energies(machine, data.test, 1, 5), std::vector<double>(energies.begin(), energies.begin() + 5));
}

TEST(FreeEnergy, AddsUpToOneOverAllVisibleStates) {
    const RbmParameters machine = rbm_parameters(small_rbm(6, 9, 0.5, 2, 5));
    Split all;
    for (std::size_t v = 0; v < 64; ++v) {
        all.labels.push_back(0);
        for (std::size_t i = 0; i < 6; ++i) all.bytes.push_back((v >> i & 1) != 0 ? 255 : 0);
    }
    double sum = 0;
    for (const double energy : free_energies(machine, all, 1.0 / 255)) {
        sum += std::exp(-energy - exact_log_partition(machine));
    }
    EXPECT_NEAR(sum, 1, 1e-9);
}

TEST(RbmScores, AreThoseOfTheExactMachineOnGreyAndOnDrawnData) {
    const Network network = small_rbm(6, 5, 0.6, 2, 3);
    const RbmParameters machine = rbm_parameters(network);
    DataSet data = binary_data(6, 4000, 4);
    for (float& each : data.test.floats) each = 0.25F + 0.5F * each;
    AnnealingOptions options;
    options.threads = 1;
    const RbmScores scores = score_rbm(network, data, options);
    // every sample's draws, weighed by their probabilities
    double drawn = 0;
    double grey = 0;
    for (std::size_t v = 0; v < 64; ++v) {
        Split state;
        state.labels = {0};
        for (std::size_t i = 0; i < 6; ++i) state.floats.push_back((v >> i & 1) != 0 ? 1.0F : 0.0F);
        double share = 0;
        for (std::size_t s = 0; s < 4000; ++s) {
            double p = 1.0 / 4000;
            for (std::size_t i = 0; i < 6; ++i) {
                const double on = data.test.floats[s * 6 + i];
                p *= (v >> i & 1) != 0 ? on : 1 - on;
            }
            share += p;
        }
        drawn += share * free_energies(machine, state, 1)[0];
    }
    for (const double energy : free_energies(machine, data.test, 1)) grey += energy / 4000;
    EXPECT_NEAR(scores.test_free_energy, grey, 1e-9);
    EXPECT_NEAR(scores.drawn_free_energy, drawn, 4 * scores.drawn_free_energy_error);
    EXPECT_GT(scores.drawn_log_probability(), scores.test_log_probability());
    EXPECT_LT(scores.drawn_free_energy_error, 0.1);
    EXPECT_NEAR(scores.annealing.log_partition, exact_log_partition(machine), 3 * scores.annealing.standard_error);
}

TEST(Annealing, AgreesWithTheExactPartitionFunction) {
    for (const double density : {-1.0, 0.4}) {
        const RbmParameters machine = rbm_parameters(small_rbm(10, 8, density, 3, 21));
        AnnealingOptions options;
        options.temperatures = 300;
        options.threads = 1;
        const AnnealingResult result = anneal(machine, options);
        EXPECT_NEAR(result.log_partition, exact_log_partition(machine), 3 * result.standard_error)
            << "density " << density;
        EXPECT_LT(result.standard_error, 0.2);
        EXPECT_GT(result.standard_error, 0);
    }
}

TEST(Annealing, ItsStandardErrorIsTrue) {
    const RbmParameters machine = rbm_parameters(small_rbm(10, 8, -1, 2, 33));
    const double exact = exact_log_partition(machine);
    constexpr int runs = 200;
    double squares = 0;
    double mean = 0;
    for (int run = 0; run < runs; ++run) {
        AnnealingOptions options{160, 40, static_cast<std::uint64_t>(run), {}, 1};
        const AnnealingResult result = anneal(machine, options);
        const double deviation = (result.log_partition - exact) / result.standard_error;
        squares += deviation * deviation / runs;
        mean += deviation / runs;
    }
    // of 200 draws the mean square varies by sqrt(2 / 200) = 0.1 and the mean by 0.07
    EXPECT_NEAR(squares, 1, 0.5);
    EXPECT_NEAR(mean, 0, 0.35);
}

TEST(Annealing, ABaseThatFitsBetterErrsLess) {
    Network network = small_rbm(10, 8, 0.5, 1, 7);
    for (float& bias : visible_biases_of(network)) bias = -4;
    const RbmParameters machine = rbm_parameters(network);
    AnnealingOptions options{100, 20, 1, {}, 1};
    const double without = anneal(machine, options).standard_error;
    options.base_bias.assign(10, -3.5);
    const AnnealingResult result = anneal(machine, options);
    EXPECT_LT(result.standard_error, without);
    EXPECT_NEAR(result.log_partition, exact_log_partition(machine), 4 * result.standard_error);
}

TEST(Annealing, DoesNotDependOnThreads) {
    const RbmParameters machine = rbm_parameters(small_rbm(30, 20, 0.2, 2, 9));
    AnnealingOptions options{70, 25, 5, {}, 1};
    const auto one = anneal(machine, options).log_weights;
    for (const int threads : {2, 5}) {
        options.threads = threads;
        EXPECT_EQ(anneal(machine, options).log_weights, one) << threads;
    }
    options.seed = 6;
    EXPECT_NE(anneal(machine, options).log_weights, one);
    options.seed = 5;
    options.chains = 40;
    EXPECT_EQ(anneal(machine, options).log_weights, std::vector<double>(one.begin(), one.begin() + 40));
}

TEST(Annealing, WithoutEdgesTheBaseIsTheMachine) {
    Network network = small_rbm(9, 6, 0, 1, 1);
    network.layers[0].bias.assign(6, 0);
    const RbmParameters machine = rbm_parameters(network);
    AnnealingOptions options{10, 5, 1, machine.visible_bias, 1};
    const AnnealingResult result = anneal(machine, options);
    EXPECT_NEAR(result.log_partition, exact_log_partition(machine), 1e-9);
    EXPECT_NEAR(result.effective_chains, 10, 1e-9);
}

TEST(InverseTemperatures, RiseFromNoneToAll) {
    for (const std::uint32_t steps : {1U, 2U, 10U, 14500U}) {
        const auto betas = inverse_temperatures(steps);
        ASSERT_EQ(betas.size(), steps + 1U);
        EXPECT_EQ(betas.front(), 0);
        EXPECT_EQ(betas.back(), 1);
        for (std::size_t k = 1; k < betas.size(); ++k) ASSERT_GT(betas[k], betas[k - 1]) << steps << ' ' << k;
    }
    EXPECT_NEAR(inverse_temperatures(14500)[500], 0.5, 1e-9) << "500 steps to 0.5";
    EXPECT_NEAR(inverse_temperatures(14500)[4499], 0.9, 1e-4) << "4,000 more to 0.9";
}

TEST(BaseBiases, FitTheMeans) {
    const auto biases = base_biases({0, 0.25, 1}, 1000);
    EXPECT_NEAR(1 / (1 + std::exp(-biases[1])), 0.25, 1e-3);
    EXPECT_LT(biases[0], -6);
    EXPECT_GT(biases[2], 6);
}

}  // namespace
}  // namespace espalier
