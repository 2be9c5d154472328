// Births by sensitivity against the gradients that the engine takes of the dense network, every cell scored and sorted in
// doubles.
#include "host/models/sensitive_birth.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "cuda_training.hpp"
#include "espalier/model.hpp"
#include "host/cpu/cpu_backend.hpp"
#include "user_errors.hpp"

namespace espalier::sensitive_birth_test {
namespace {

constexpr std::uint32_t birth_event = ~std::uint32_t{0};

Experiment snip_experiment(const DataSet& data, int samples) {
    Experiment experiment = small_experiment(data);
    experiment.birth_law = ConnectionSensitivity{samples};
    experiment.dropout = 0;
    experiment.dense_output = false;
    experiment.initial_bias = experiment.initial_weights;
    return experiment;
}

/// The same network with every cell, as sparse layers, which a probe looks at.
Experiment full(Experiment experiment) {
    experiment.density = Density::sparsity;
    experiment.sparsity = 0;
    experiment.birth_law = ExactCount{};
    return experiment;
}

/// values [row][sample]
std::vector<std::vector<double>> rows_of(ConstActivations view) {
    std::vector<std::vector<double>> values(view.rows, std::vector<double>(view.batch));
    for (Index r = 0; r < view.rows; ++r) {
        for (Index s = 0; s < view.batch; ++s) values[r][s] = static_cast<double>(view.at(r, s));
    }
    return values;
}

/// abs(w dL/dw) of all cells, by the CPU backend's probe.
std::vector<std::vector<double>> scores(const Experiment& experiment, const DataSet& data, Index samples) {
    const auto backend = make_cpu_backend(1);
    const Network network = initialize_network(full(experiment));
    const auto model = make_model(*backend, full(experiment), network);
    const UploadedSplit train(*backend, data, data.train);
    model->probe(train.samples(), samples, birth_event);
    std::vector<std::vector<double>> result;
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
        const auto x = rows_of(model->evidence(l).x), dz = rows_of(model->evidence(l).dz);
        result.emplace_back();
        for (std::size_t o = 0; o < dz.size(); ++o) {
            for (std::size_t i = 0; i < x.size(); ++i) {
                double gradient = 0;
                for (std::size_t s = 0; s < samples; ++s) gradient += dz[o][s] * x[i][s];
                result.back().push_back(std::abs(gradient * static_cast<double>(network.layers[l].weights[o * x.size() + i])));
            }
        }
    }
    return result;
}

class SensitiveBirth : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Activations, SensitiveBirth, testing::Values("relu", "sigmoid", "srelu", "all-relu"));

TEST_P(SensitiveBirth, TakesTheCellsThatTheDenseNetworksProbeRanksHighest) {
    const DataSet data = small_data();
    for (const char* loss : {"nll", "mse"}) {
        Experiment experiment = snip_experiment(data, 37);
        experiment.activation = parse_rule<Activation>(GetParam());
        experiment.loss = parse_rule<Loss>(loss);
        const Network born = initialize_network(experiment, &data);
        const Network dense = initialize_network(full(experiment));
        const auto wanted = scores(experiment, data, 37);
        for (std::size_t l = 0; l < born.layers.size(); ++l) {
            const std::vector<Cell> cells = cells_of(*born.layers[l].topology);
            ASSERT_EQ(cells.size(), initial_edge_count(experiment, l));
            const std::set<Cell> held(cells.begin(), cells.end());
            double least = 1e30, most_left = 0, most = 0;
            for (Cell cell = 0; cell < wanted[l].size(); ++cell) {
                (held.contains(cell) ? least : most_left) =
                    held.contains(cell) ? std::min(least, wanted[l][cell]) : std::max(most_left, wanted[l][cell]);
                most = std::max(most, wanted[l][cell]);
            }
            // but for rounding, where a score at the cut lies next to another
            EXPECT_GE(least, most_left * (1 - 1e-4)) << loss << ", layer " << l;
            EXPECT_GT(most, 1.5 * most_left) << "scores that differ, layer " << l;
            for (std::size_t e = 0; e < cells.size(); ++e) {
                EXPECT_EQ(born.layers[l].weights[e], dense.layers[l].weights[cells[e]]) << "its weight is kept";
            }
            EXPECT_EQ(born.layers[l].bias, dense.layers[l].bias);
        }
    }
}

TEST(SensitiveBirthOfDeadInputs, DrawsTheRestAtRandom) {
    DataSet data = small_data();
    data.mean.assign(data.channels, 0.0);
    data.deviation.assign(data.channels, 1.0);
    const std::size_t features = data.features();
    const auto value = [&](std::size_t at) -> double {
        return data.train.bytes.empty() ? static_cast<double>(data.train.floats[at]) : data.train.bytes[at];
    };
    // all but the two features that most samples have are 0 in every sample
    std::vector<std::size_t> having(features, 0), order(features);
    const std::size_t values = std::max(data.train.bytes.size(), data.train.floats.size());
    for (std::size_t at = 0; at < values; ++at) having[at % features] += value(at) != 0 ? 1 : 0;
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t one, std::size_t other) { return having[one] > having[other]; });
    const auto is_live = [&](std::size_t feature) { return feature == order[0] || feature == order[1]; };
    for (std::size_t at = 0; at < values; ++at) {
        if (is_live(at % features)) continue;
        if (data.train.bytes.empty()) {
            data.train.floats[at] = 0;
        } else {
            data.train.bytes[at] = 0;
        }
    }
    Experiment experiment = snip_experiment(data, 0);
    experiment.activation = Sigmoid{};
    const Network born = initialize_network(experiment, &data);
    const Topology& first = *born.layers[0].topology;
    ASSERT_EQ(fault(first), "");
    ASSERT_GT(first.num_edges(), 2U * first.num_outputs) << "more edges than cells with a gradient";
    std::set<Cell> others;
    Cell of_live = 0;
    for (const Cell cell : cells_of(first)) {
        if (is_live(cell % features)) {
            ++of_live;
        } else {
            others.insert(cell);
        }
    }
    EXPECT_EQ(of_live, 2U * first.num_outputs);
    std::set<Cell> rows;
    for (const Cell cell : others) rows.insert(cell / features);
    EXPECT_GT(rows.size(), first.num_outputs / 2) << "not the first rows alone";
    experiment.seed += 1;
    EXPECT_NE(cells_of(*initialize_network(experiment, &data).layers[0].topology), cells_of(first));
}

TEST(SensitiveBirthOfDenseLayers, LeavesThemWhole) {
    const DataSet data = small_data();
    Experiment experiment = snip_experiment(data, 0);
    experiment.dense_output = true;
    const Network born = initialize_network(experiment, &data);
    EXPECT_FALSE(born.layers.back().is_sparse());
    EXPECT_TRUE(born.layers.front().is_sparse());
}

TEST(SensitiveBirthRefuses, MoreSamplesThanThereAre) {
    const DataSet data = small_data();
    const Experiment experiment = snip_experiment(data, static_cast<int>(data.train.count()) + 1);
    EXPECT_THAT(refusal(ExitCode::usage, [&] { (void)initialize_network(experiment, &data); }),
                testing::HasSubstr("the training set has " + std::to_string(data.train.count())));
}

}  // namespace
}  // namespace espalier::sensitive_birth_test
