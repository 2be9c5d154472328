// Contrastive divergence against brute force: step by step with the same draws, on average over all states, and by what
// it does to the exact likelihood.
#include "host/models/rbm.hpp"

#include <cmath>
#include <numeric>

#include "backend_fixture.hpp"
#include "espalier/bernoulli_units.hpp"
#include "espalier/error.hpp"
#include "espalier/initialize_network.hpp"
#include "host/rbm/energy.hpp"
#include "small_rbm.hpp"

namespace espalier {
namespace {

class RbmTest : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Backends, RbmTest, ::testing::ValuesIn(available_backends()), backend_test_name);

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

/// The machine in double precision, dense; draws as the backends promise them.
struct OracleRbm {
    oracle::DenseLayer layer;
    std::vector<double> visible_bias;

    explicit OracleRbm(const Network& network)
        : layer(oracle::dense(network.layers[0], 0)),
          visible_bias(visible_biases_of(network).begin(), visible_biases_of(network).end()) {}

    [[nodiscard]] double weight(std::size_t j, std::size_t i) const {
        return layer.weights.values[j * layer.num_inputs + i];
    }
    [[nodiscard]] oracle::Matrix hidden(const oracle::Matrix& v) const {
        oracle::Matrix p = oracle::forward(layer, v).z;
        for (double& each : p.values) each = logistic(each);
        return p;
    }
    [[nodiscard]] oracle::Matrix visible(const oracle::Matrix& h) const {
        oracle::Matrix p(layer.num_inputs, h.columns);
        for (std::size_t i = 0; i < p.rows; ++i) {
            for (std::size_t s = 0; s < h.columns; ++s) {
                double field = visible_bias[i];
                for (std::size_t j = 0; j < h.rows; ++j) field += weight(j, i) * h(j, s);
                p(i, s) = logistic(field);
            }
        }
        return p;
    }
    /// Adds factor * <v h>, <v> and <h>.
    void add(const oracle::Matrix& v, const oracle::Matrix& h, double factor) {
        const double each = factor / static_cast<double>(v.columns);
        for (std::size_t s = 0; s < v.columns; ++s) {
            for (std::size_t i = 0; i < v.rows; ++i) visible_bias[i] += each * v(i, s);
            for (std::size_t j = 0; j < h.rows; ++j) {
                layer.bias.values[j] += each * h(j, s);
                for (std::size_t i = 0; i < v.rows; ++i) {
                    if (layer.edge[j * v.rows + i]) layer.weights.values[j * v.rows + i] += each * v(i, s) * h(j, s);
                }
            }
        }
    }
};

oracle::Matrix drawn(const oracle::Matrix& p, std::uint64_t seed, std::uint32_t number, std::uint32_t step) {
    const BernoulliUnits units({seed, number, false, 1}, step);
    oracle::Matrix states(p.rows, p.columns);
    for (std::size_t j = 0; j < p.rows; ++j) {
        for (std::size_t s = 0; s < p.columns; ++s) {
            states(j, s) = units.state(static_cast<float>(p(j, s)), static_cast<Index>(j), static_cast<Index>(s));
        }
    }
    return states;
}

/// Samples `first` and on of an epoch, as the shuffle of `experiment` orders them.
oracle::Matrix batch_of(const DataSet& data, const Experiment& experiment, std::uint32_t first, std::size_t size,
                        std::uint32_t epoch) {
    const Permutation order(data.train.count(), Stream{experiment.seed, Purpose::shuffle, 0, epoch});
    oracle::Matrix v(data.features(), size);
    for (std::size_t s = 0; s < size; ++s) {
        for (std::size_t i = 0; i < v.rows; ++i) v(i, s) = data.train.floats[order(first + s) * v.rows + i];
    }
    return v;
}

void expect_machine(const Network& got, const OracleRbm& want, double tolerance) {
    const OracleRbm stored(got);
    EXPECT_EQ(stored.layer.edge, want.layer.edge);
    expect_close(stored.layer.weights.values, want.layer.weights.values, {tolerance, tolerance}, "weights");
    expect_close(stored.layer.bias.values, want.layer.bias.values, {tolerance, tolerance}, "hidden biases");
    expect_close(stored.visible_bias, want.visible_bias, {tolerance, tolerance}, "visible biases");
}

/// An update at rate 0.1 by `steps` Gibbs steps from the hidden units' `state`, which it leaves where they end; `last`
/// is the draw before theirs.
void learn(OracleRbm& machine, const oracle::Matrix& v, const oracle::Matrix& h, oracle::Matrix& state, UnitDraw last,
           std::uint32_t steps, std::uint32_t step) {
    oracle::Matrix model_v;
    oracle::Matrix model_h;
    for (std::uint32_t k = 0; k < steps; ++k) {
        model_v = drawn(machine.visible(state), last.seed, ++last.number, step);
        model_h = machine.hidden(model_v);
        state = drawn(model_h, last.seed, ++last.number, step);
    }
    machine.add(v, h, 0.1);
    machine.add(model_v, model_h, -0.1);
}

struct DivergenceCase {
    Index batch;
    std::uint32_t steps;
    double density;
    bool sample_data = false;
};

std::ostream& operator<<(std::ostream& out, const DivergenceCase& c) {
    return out << "batch " << c.batch << " CD-" << c.steps << " density " << c.density
               << (c.sample_data ? " drawn" : "");
}

const std::vector<DivergenceCase> cases{{1, 1, 0.3}, {10, 1, 0.3},  {10, 3, -1},  {64, 1, 0.3},      {65, 2, 0.3},
                                        {100, 1, 1}, {130, 3, 0.3}, {7, 10, 0.5}, {40, 1, 0.5, true}};

TEST_P(RbmTest, StepsOfContrastiveDivergenceAreThoseOfTheOracle) {
    for (const DivergenceCase& c : cases) {
        SCOPED_TRACE(printed(c));
        DataSet data = binary_data(37, 150, 3);
        if (c.sample_data) {
            for (float& each : data.train.floats) each = 0.2F + 0.6F * each;
        }
        Experiment experiment = small_rbm_experiment(37, 23);
        experiment.batch = c.batch;
        experiment.cd_steps = c.steps;
        experiment.sample_data = c.sample_data;
        const Network network = small_rbm(37, 23, c.density, 1, 5);
        Rbm machine(backend(), experiment, network);
        const UploadedSplit split(backend(), data, data.train);
        OracleRbm oracle(network);
        for (std::uint32_t t = 0; t < 3; ++t) {  // the last batch is smaller where it can be
            const Index size = t == 2 && c.batch > 3 ? c.batch - 3 : c.batch;
            const std::uint32_t first = t == 2 ? 150 - size : t;
            const auto now = device_scalars(backend(), scalars_of({Sgd{}, Coupled{}, 0.1, 0, t + 1}, 4));
            machine.train_step(split.samples(), first, size, now.data());
            auto v = batch_of(data, experiment, first, size, 4);
            std::uint32_t number = 0;
            if (c.sample_data) v = drawn(v, experiment.seed, ++number, t);
            const auto h = oracle.hidden(v);
            auto state = drawn(h, experiment.seed, ++number, t);
            learn(oracle, v, h, state, {experiment.seed, number}, c.steps, t);
            expect_machine(machine.store(), oracle, 1e-6);
        }
    }
}

TEST_P(RbmTest, PersistentChainsGoOn) {
    for (const DivergenceCase& c : cases) {
        SCOPED_TRACE(printed(c));
        if (c.sample_data) continue;
        const DataSet data = binary_data(37, 150, 3);
        Experiment experiment = small_rbm_experiment(37, 23);
        experiment.batch = c.batch;
        experiment.cd_steps = c.steps;
        experiment.persistent = true;
        Network network = small_rbm(37, 23, c.density, 1, 6);
        fit_rbm_chains(experiment, network);
        Rbm machine(backend(), experiment, network);
        const UploadedSplit split(backend(), data, data.train);
        OracleRbm oracle(network);
        oracle::Matrix state(23, c.batch);
        for (std::size_t s = 0; s < c.batch; ++s) {
            for (std::size_t j = 0; j < 23; ++j) state(j, s) = network.array(chains_array)->values[s * 23 + j];
        }
        for (std::uint32_t t = 0; t < 3; ++t) {
            const Index size = t == 1 && c.batch > 3 ? c.batch - 3 : c.batch;
            const auto now = device_scalars(backend(), scalars_of({Sgd{}, Coupled{}, 0.1, 0, t + 1}, 0));
            machine.train_step(split.samples(), 0, size, now.data());
            const auto v = batch_of(data, experiment, 0, size, 0);
            const auto h = oracle.hidden(v);
            std::uint32_t number = 1;  // the data's
            learn(oracle, v, h, state, {experiment.seed, number}, c.steps, t);
            const Network stored = machine.store();
            expect_machine(stored, oracle, 1e-6);
            for (std::size_t s = 0; s < c.batch; ++s) {
                for (std::size_t j = 0; j < 23; ++j) {
                    ASSERT_EQ(stored.array(chains_array)->values[s * 23 + j], static_cast<float>(state(j, s))) << s << ' ' << j;
                }
            }
        }
    }
}

/// The expected update of CD-1 from data `v0`, by sums over all states of both sides.
OracleRbm expected_change(const Network& network, const std::vector<double>& v0) {
    OracleRbm change(network);
    const OracleRbm machine(network);
    for (auto* values : {&change.layer.weights.values, &change.layer.bias.values, &change.visible_bias}) {
        std::fill(values->begin(), values->end(), 0.0);
    }
    const std::size_t visible = machine.layer.num_inputs;
    const std::size_t hidden = machine.layer.num_outputs;
    oracle::Matrix data(visible, 1);
    data.values = v0;
    const auto data_h = machine.hidden(data);
    change.add(data, data_h, 1);
    for (std::size_t h = 0; h < std::size_t{1} << hidden; ++h) {
        oracle::Matrix state(hidden, 1);
        double p_h = 1;
        for (std::size_t j = 0; j < hidden; ++j) {
            state(j, 0) = (h >> j & 1) != 0 ? 1 : 0;
            p_h *= state(j, 0) != 0 ? data_h(j, 0) : 1 - data_h(j, 0);
        }
        const auto p = machine.visible(state);
        for (std::size_t v = 0; v < std::size_t{1} << visible; ++v) {
            oracle::Matrix model(visible, 1);
            double p_v = p_h;
            for (std::size_t i = 0; i < visible; ++i) {
                model(i, 0) = (v >> i & 1) != 0 ? 1 : 0;
                p_v *= model(i, 0) != 0 ? p(i, 0) : 1 - p(i, 0);
            }
            change.add(model, machine.hidden(model), -p_v);
        }
    }
    return change;
}

TEST_P(RbmTest, UpdatesAverageToTheSumOverAllStates) {
    for (const double density : {-1.0, 0.6}) {
        SCOPED_TRACE(density);
        const Network network = small_rbm(6, 4, density, 2, 8);
        const std::vector<double> v0{1, 0, 1, 1, 0, 0.5};
        constexpr Index batch = 4096;
        DataSet data = binary_data(6, batch, 1);
        for (std::size_t i = 0; i < data.train.floats.size(); ++i) data.train.floats[i] = static_cast<float>(v0[i % 6]);
        Experiment experiment = small_rbm_experiment(6, 4);
        experiment.batch = batch;
        Rbm machine(backend(), experiment, network);
        const UploadedSplit split(backend(), data, data.train);
        const auto now = device_scalars(backend(), scalars_of({Sgd{}, Coupled{}, 1, 0, 1}, 0));
        machine.train_step(split.samples(), 0, batch, now.data());
        const OracleRbm before(network);
        const OracleRbm after(machine.store());
        const OracleRbm want = expected_change(network, v0);
        // a product of a state and a probability varies by at most 1/2
        const double allowed = 5 * 0.5 / std::sqrt(double{batch});
        for (std::size_t e = 0; e < want.layer.weights.values.size(); ++e) {
            EXPECT_NEAR(after.layer.weights.values[e] - before.layer.weights.values[e], want.layer.weights.values[e],
                        want.layer.edge[e] ? allowed : 0);
        }
        for (std::size_t j = 0; j < 4; ++j) {
            EXPECT_NEAR(after.layer.bias.values[j] - before.layer.bias.values[j], want.layer.bias.values[j], allowed);
        }
        for (std::size_t i = 0; i < 6; ++i) {
            EXPECT_NEAR(after.visible_bias[i] - before.visible_bias[i], want.visible_bias[i], allowed);
        }
    }
}

double mean_log_probability(const Network& network, const Split& split) {
    const RbmParameters machine = rbm_parameters(network);
    const auto energies = free_energies(machine, split, 1);
    return -std::accumulate(energies.begin(), energies.end(), 0.0) / static_cast<double>(energies.size()) -
           exact_log_partition(machine);
}

TEST_P(RbmTest, TheExactLikelihoodRises) {
    for (const double density : {-1.0, 0.6}) {
        for (const bool persistent : {false, true}) {
            SCOPED_TRACE(std::to_string(density) + (persistent ? " persistent" : ""));
            const DataSet data = binary_data(10, 200, 11);
            Experiment experiment = small_rbm_experiment(10, 8);
            experiment.batch = 200;
            experiment.cd_steps = 10;
            experiment.persistent = persistent;
            Network network = small_rbm(10, 8, density, 0.5, 12);
            fit_rbm_chains(experiment, network);
            Rbm machine(backend(), experiment, network);
            const UploadedSplit split(backend(), data, data.train);
            double before = mean_log_probability(network, data.train);
            std::uint32_t t = 0;
            for (int round = 0; round < 3; ++round) {
                for (int s = 0; s < 20; ++s, ++t) {
                    const auto now = device_scalars(backend(), scalars_of({Sgd{}, Coupled{}, 0.1, 0, t + 1}, t));
                    machine.train_step(split.samples(), 0, 200, now.data());
                }
                const double after = mean_log_probability(machine.store(), data.train);
                EXPECT_GT(after, before + 0.01) << "after " << t << " steps";
                before = after;
            }
        }
    }
}

TEST_P(RbmTest, TestsByMeanFieldReconstruction) {
    const DataSet data = binary_data(37, 150, 3);
    Experiment experiment = small_rbm_experiment(37, 23);
    experiment.batch = 10;
    const Network network = small_rbm(37, 23, 0.3, 1, 5);
    Rbm machine(backend(), experiment, network);
    const UploadedSplit split(backend(), data, data.test);
    machine.evaluate(split.samples());
    const OracleRbm oracle(network);
    oracle::Matrix v(37, 150);
    for (std::size_t s = 0; s < 150; ++s) {
        for (std::size_t i = 0; i < 37; ++i) v(i, s) = data.test.floats[s * 37 + i];
    }
    const auto p = oracle.visible(oracle.hidden(v));
    double error = 0;
    std::uint64_t right = 0;
    for (std::size_t i = 0; i < p.values.size(); ++i) {
        error += (p.values[i] - v.values[i]) * (p.values[i] - v.values[i]) / 37;
        right += (p.values[i] < 0.5) == (v.values[i] < 0.5) ? 1 : 0;
    }
    const Metrics metrics = backend().metrics();
    EXPECT_NEAR(metrics.sample_loss_sum, error, 1e-4);
    EXPECT_EQ(metrics.correct, right);
    EXPECT_EQ(metrics.samples, 150U);
    EXPECT_EQ(machine.answers_per_sample(), 37U);
}

TEST(RbmNetwork, SaysWhatDoesNotFit) {
    const Experiment experiment = small_rbm_experiment(12, 9);
    Network network = small_rbm(12, 9, 0.5, 1, 1);
    EXPECT_EQ(rbm_fault(experiment, network), "");
    Network other = network;
    other.model = "";
    EXPECT_NE(rbm_fault(experiment, other).find("no restricted"), std::string::npos);
    other = network;
    other.layers.push_back(other.layers[0]);
    EXPECT_NE(rbm_fault(experiment, other).find("2 layers"), std::string::npos);
    other = network;
    other.arrays.clear();
    EXPECT_NE(rbm_fault(experiment, other).find("no array 'visible_bias'"), std::string::npos);
    other = network;
    other.arrays[0].shape = {11};
    EXPECT_NE(rbm_fault(experiment, other).find("is 11, the experiment's 12"), std::string::npos);
    other = network;
    other.layers[0].activation = Sigmoid{};
    EXPECT_NE(rbm_fault(experiment, other).find("sigmoid"), std::string::npos);
    EXPECT_NE(rbm_fault(experiment, small_rbm(12, 8, 0.5, 1, 1)).find("12 to 8"), std::string::npos);
    Experiment persistent = experiment;
    persistent.persistent = true;
    EXPECT_NE(rbm_fault(persistent, network).find("'chains'"), std::string::npos);
    fit_network(persistent, true, network);  // makes the chains that are missing
    EXPECT_EQ(rbm_fault(persistent, network), "");
    fit_network(experiment, true, network);  // and drops those that nobody wants
    EXPECT_EQ(rbm_fault(experiment, network), "");
    Experiment wider = experiment;
    wider.layers = {13, 9};
    EXPECT_THROW(fit_network(wider, true, network), UserError);
}

TEST(RbmNetwork, BeginsWithTheDatasMeansWithoutEdges) {
    Network network = small_rbm(4, 3, 0, 1, 1);
    DataSet data = binary_data(4, 1000, 1);
    for (std::size_t s = 0; s < 1000; ++s) {
        data.train.floats[4 * s] = 0;
        data.train.floats[4 * s + 1] = s % 4 == 0 ? 1.0F : 0.0F;
    }
    fit_visible_biases(data, network);
    const std::vector<float>& biases = visible_biases_of(network);
    EXPECT_NEAR(logistic(biases[0]), 1.0 / 1002, 1e-6) << "never on, smoothed";
    EXPECT_NEAR(logistic(biases[1]), 0.25, 1e-3);
}

TEST(RbmData, MustLieBetweenZeroAndOne) {
    DataSet data = binary_data(4, 10, 1);
    data.mean = {0.3};
    data.deviation = {2};
    use_as_units(data);
    EXPECT_EQ(data.mean, std::vector<double>{0});
    EXPECT_EQ(data.deviation, std::vector<double>{1});
    for (const float wrong : {1.5F, -0.25F}) {
        DataSet bad = data;
        bad.test.floats[4 * 7 + 2] = wrong;
        try {
            use_as_units(bad);
            FAIL() << "accepted " << wrong;
        } catch (const UserError& error) {
            EXPECT_EQ(error.code(), ExitCode::data);
            const std::string text = error.what();
            EXPECT_NE(text.find("test sample 7, feature 2"), std::string::npos) << text;
        }
    }
}

}  // namespace
}  // namespace espalier
