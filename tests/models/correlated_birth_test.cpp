// Births by correlation against Pearson's formula in doubles, every cell sorted; bytes and floats alike.
#include "host/models/correlated_birth.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "cuda_training.hpp"
#include "user_errors.hpp"

namespace espalier::correlated_birth_test {
namespace {

constexpr std::size_t features = 7, samples = 50;

/// Features that follow each other more or less, one constant, one 0, one the negative of another.
Split made_split(bool bytes) {
    TestRandom random(3);
    Split split;
    for (std::size_t s = 0; s < samples; ++s) {
        const auto base = static_cast<int>(random() % 100);
        const auto noise = [&](int size) { return static_cast<int>(random() % static_cast<unsigned>(size)); };
        const int values[features] = {base, base + noise(20), 200 - base, 7, base + noise(200) / 2, 0, noise(255)};
        for (const int value : values) {
            if (bytes) {
                split.bytes.push_back(static_cast<std::uint8_t>(value));
            } else {
                split.floats.push_back(static_cast<float>(value));
            }
        }
        split.labels.push_back(0);
    }
    return split;
}

double correlation(const Split& split, std::size_t a, std::size_t b) {
    const auto value = [&](std::size_t s, std::size_t f) {
        return split.bytes.empty() ? static_cast<double>(split.floats[s * features + f])
                                   : static_cast<double>(split.bytes[s * features + f]);
    };
    double mean_a = 0, mean_b = 0, both = 0, own_a = 0, own_b = 0;
    for (std::size_t s = 0; s < samples; ++s) {
        mean_a += value(s, a) / samples;
        mean_b += value(s, b) / samples;
    }
    for (std::size_t s = 0; s < samples; ++s) {
        both += (value(s, a) - mean_a) * (value(s, b) - mean_b);
        own_a += (value(s, a) - mean_a) * (value(s, a) - mean_a);
        own_b += (value(s, b) - mean_b) * (value(s, b) - mean_b);
    }
    return own_a > 1e-9 && own_b > 1e-9 ? std::abs(both) / std::sqrt(own_a * own_b) : 0;
}

TEST(CorrelatedBirth, JoinsWhatVariesTogether) {
    for (const bool bytes : {true, false}) {
        const Split split = made_split(bytes);
        for (const Index outputs : {3U, 7U, 17U}) {
            std::vector<std::pair<double, Cell>> sorted;
            for (Cell cell = 0; cell < features * outputs; ++cell) {
                // rounded, so that what is equal but for rounding is equal
                sorted.emplace_back(-std::round(1e9 * correlation(split, cell / features % features, cell % features)), cell);
            }
            std::sort(sorted.begin(), sorted.end());
            for (const Cell edges : {Cell{1}, Cell{features * outputs / 3}, Cell{features * outputs}}) {
                // a cut within a tie is at its first cells; one between two copies of a pair is as well
                std::vector<Cell> want;
                for (Cell e = 0; e < edges; ++e) want.push_back(sorted[e].second);
                std::sort(want.begin(), want.end());
                EXPECT_EQ(cells_of(correlated_topology(split, features, outputs, edges)), want)
                    << outputs << " outputs, " << edges << " edges, " << (bytes ? "bytes" : "floats");
            }
        }
    }
}

TEST(CorrelatedBirth, IsTheFirstLayersAlone) {
    const DataSet data = small_data();
    Experiment experiment = small_experiment(data);
    const Network exact = initialize_network(experiment);
    experiment.birth_law = CorrelatedInputs{};
    const Network network = initialize_network(experiment, &data);
    EXPECT_EQ(cells_of(*network.layers[0].topology),
              cells_of(correlated_topology(data.train, data.features(), 30, initial_edge_count(experiment, 0))));
    EXPECT_EQ(cells_of(*network.layers[1].topology), cells_of(*exact.layers[1].topology));
    EXPECT_NE(cells_of(*network.layers[0].topology), cells_of(*exact.layers[0].topology));
}

TEST(CorrelatedBirth, RefusesMoreThanItCanHold) {
    const Split split = made_split(true);
    EXPECT_THAT(refusal(ExitCode::usage, [&] { correlated_topology(split, 8193, 2, 5); }),
                testing::HasSubstr("up to 8192 inputs, layer 1 has 8193"));
    EXPECT_THAT(refusal(ExitCode::usage, [&] { correlated_birth_bytes(8193, 2, 5); }), testing::HasSubstr("layer 1 has 8193"));
    EXPECT_THAT(refusal(ExitCode::usage, [&] { correlated_topology(split, 7, 2, 15); }), testing::HasSubstr("cannot hold 15 edges"));
}

}  // namespace
}  // namespace espalier::correlated_birth_test
