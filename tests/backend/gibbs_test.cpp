// Stochastic units, transposed products and reconstruction scores against the oracle and against chance.
#include "espalier/bernoulli_units.hpp"

#include <cmath>

#include "backend_fixture.hpp"

namespace espalier {
namespace {

class Units : public BackendTest {
protected:
    struct Drawn {
        oracle::Matrix means, states;
    };
    [[nodiscard]] Drawn draw(const oracle::Matrix& values, const UnitDraw& how, std::uint32_t step = 17) const {
        const DeviceMatrix input(backend(), values);
        const DeviceMatrix means(backend(), values.rows, values.columns);
        const DeviceMatrix states(backend(), values.rows, values.columns);
        StepScalars scalars;
        scalars.step = step;
        const auto now = device_scalars(backend(), scalars);
        backend().sample(how, input, means, states, now.data());
        for (const DeviceMatrix* written : {&means, &states}) {
            for (const float each : written->padding()) EXPECT_EQ(each, 0.0F) << "lanes past the batch";
        }
        return {means.values(), states.values()};
    }
};
INSTANTIATE_TEST_SUITE_P(Backends, Units, ::testing::ValuesIn(available_backends()), backend_test_name);

/// One-row matrices with a probability for every row.
oracle::Matrix rows_of(const std::vector<double>& values, std::size_t batch) {
    oracle::Matrix result(values.size(), batch);
    for (std::size_t j = 0; j < values.size(); ++j) {
        for (std::size_t s = 0; s < batch; ++s) result(j, s) = values[j];
    }
    return result;
}

TEST_P(Units, MeansAreLogisticAndScaled) {
    TestRandom random(1);
    for (const std::size_t batch : {1U, 10U, 16U, 40U, 48U, 64U, 65U, 130U}) {
        const auto fields = random_matrix(37, batch, 30, random);
        oracle::Matrix want(37, batch);
        for (std::size_t i = 0; i < want.values.size(); ++i) want.values[i] = 0.25 / (1 + std::exp(-fields.values[i]));
        const auto got = draw(fields, {3, 2, false, 0.25F});
        expect_close(got.means.values, want.values, {1e-7, 3e-7}, "means, batch " + std::to_string(batch));
    }
}

TEST_P(Units, StatesAreThePromisedFunctionOfTheirProbability) {
    TestRandom random(2);
    for (const std::size_t batch : {1U, 10U, 16U, 40U, 48U, 64U, 200U}) {
        const auto got = draw(random_matrix(41, batch, 4, random), {9, 5, false, 1});
        const BernoulliUnits promised({9, 5, false, 1}, 17);
        for (Index j = 0; j < 41; ++j) {
            for (Index s = 0; s < batch; ++s) {
                ASSERT_EQ(got.states(j, s), promised.state(static_cast<float>(got.means(j, s)), j, s)) << j << ' ' << s;
            }
        }
    }
}

TEST_P(Units, FrequenciesAreTheProbabilities) {
    std::vector<double> p;
    for (int i = 1; i < 200; ++i) p.push_back(static_cast<float>(i / 200.0));
    constexpr double batch = 2000;
    const auto states = draw(rows_of(p, 2000), {4, 0, true, 1}).states;
    double sum = 0;
    for (std::size_t j = 0; j < p.size(); ++j) {
        double on = 0;
        for (std::size_t s = 0; s < 2000; ++s) on += states(j, s);
        sum += (on - batch * p[j]) * (on - batch * p[j]) / (batch * p[j] * (1 - p[j]));
    }
    const auto freedom = static_cast<double>(p.size());
    EXPECT_LT(std::abs(sum - freedom) / std::sqrt(2 * freedom), 4) << "chi-square " << sum << " of " << freedom;
}

TEST_P(Units, CertainUnitsAreCertain) {
    const auto states = draw(rows_of({0, 1}, 500), {4, 0, true, 1}).states;
    for (std::size_t s = 0; s < 500; ++s) {
        ASSERT_EQ(states(0, s), 0);
        ASSERT_EQ(states(1, s), 1);
    }
    const auto far = draw(rows_of({-200, 200}, 100), {4, 0, false, 1});
    for (std::size_t s = 0; s < 100; ++s) {
        ASSERT_EQ(far.states(0, s), 0);
        ASSERT_EQ(far.states(1, s), 1);
    }
}

TEST_P(Units, DependOnSeedNumberStepNeuronAndSampleAlone) {
    const auto fields = rows_of(std::vector<double>(30, 0.0), 200);
    const auto one = draw(fields, {3, 1, false, 1}).states;
    EXPECT_EQ(draw(fields, {3, 1, false, 0.5F}).states.values, one.values);
    EXPECT_NEAR(agreement(draw(fields, {4, 1, false, 1}).states, one), 0.5, 0.04) << "seed";
    EXPECT_NEAR(agreement(draw(fields, {3, 2, false, 1}).states, one), 0.5, 0.04) << "number";
    EXPECT_NEAR(agreement(draw(fields, {3, 1, false, 1}, 18).states, one), 0.5, 0.04) << "step";
    for (const std::size_t batch : {10U, 20U, 65U}) {
        const auto smaller = draw(rows_of(std::vector<double>(30, 0.0), batch), {3, 1, false, 1}).states;
        for (std::size_t j = 0; j < 30; ++j) {
            for (std::size_t s = 0; s < batch; ++s)
                ASSERT_EQ(smaller(j, s), one(j, s)) << batch << ' ' << j << ' ' << s;
        }
    }
    std::size_t same_neuron = 0;
    std::size_t same_sample = 0;
    for (std::size_t j = 0; j + 1 < 30; ++j) {
        for (std::size_t s = 0; s + 1 < 200; ++s) {
            same_neuron += one(j, s) == one(j + 1, s) ? 1 : 0;
            same_sample += one(j, s) == one(j, s + 1) ? 1 : 0;
        }
    }
    EXPECT_NEAR(static_cast<double>(same_neuron) / (29 * 199), 0.5, 0.04) << "neighbouring neurons";
    EXPECT_NEAR(static_cast<double>(same_sample) / (29 * 199), 0.5, 0.04) << "neighbouring samples";
}

TEST_P(Units, MeansMayReplaceTheirFieldsAndEitherMayBeLeftOut) {
    TestRandom random(5);
    const auto fields = random_matrix(19, 70, 3, random);
    const auto want = draw(fields, {6, 0, false, 2});
    const DeviceMatrix in_place(backend(), fields);
    const auto now = device_scalars(backend(), {});
    backend().sample({6, 0, false, 2}, in_place, in_place, {}, nullptr);
    EXPECT_EQ(in_place.values().values, want.means.values);
    const DeviceMatrix input(backend(), fields);
    const DeviceMatrix states(backend(), 19, 70);
    StepScalars scalars;
    scalars.step = 17;
    const auto later = device_scalars(backend(), scalars);
    backend().sample({6, 0, false, 2}, input, {}, states, later.data());
    EXPECT_EQ(states.values().values, want.states.values);
    EXPECT_EQ(input.values().values, fields.values) << "what is only read stays";
}

TEST_P(Units, TransposedProductsAgreeWithTheOracle) {
    for (const auto& shape : awkward_shapes()) {
        SCOPED_TRACE(printed(shape));
        TestRandom random(shape.batch);
        const Layer layer = test_layer(shape, Identity{}, 0, random);
        const Layer offsets = test_layer({shape.inputs, 1, -1, 1}, Identity{}, 0, random);
        const auto y = grid_matrix(shape.outputs, shape.batch, 2, 1.0 / 16, random);
        const auto dense = oracle::dense(layer, 0);
        oracle::Matrix want(shape.inputs, shape.batch);
        for (std::size_t i = 0; i < shape.inputs; ++i) {
            for (std::size_t s = 0; s < shape.batch; ++s) {
                want(i, s) = offsets.weights[i];
                for (std::size_t j = 0; j < shape.outputs; ++j) {
                    want(i, s) += dense.weights.values[j * shape.inputs + i] * y(j, s);
                }
            }
        }
        const auto device = backend().load(layer, {true, Sgd{}});
        const auto device_offsets = backend().load(offsets, {false, Sgd{}});
        const DeviceMatrix input(backend(), y);
        const DeviceMatrix output(backend(), shape.inputs, shape.batch);
        backend().transposed(*device, *device_offsets, input, output);
        EXPECT_EQ(output.values().values, want.values) << "such sums are exact in a float";
    }
}

TEST_P(Units, ReconstructionScoresAgreeWithTheirDefinition) {
    TestRandom random(8);
    double loss = 0;
    double batches = 0;
    double confidence = 0;
    double wrong_confidence = 0;
    std::uint64_t correct = 0;
    std::uint64_t samples = 0;
    for (const std::size_t batch : {1U, 17U, 64U, 65U, 150U}) {
        auto p = random_matrix(29, batch, 0.5, random);
        auto data = random_matrix(29, batch, 0.5, random);
        for (double& each : p.values) each = static_cast<float>(each + 0.5);
        for (double& each : data.values) each = static_cast<float>(each + 0.5);
        backend().score_reconstruction(DeviceMatrix(backend(), p), DeviceMatrix(backend(), data));
        double batch_loss = 0;
        for (std::size_t i = 0; i < p.values.size(); ++i) {
            batch_loss += (p.values[i] - data.values[i]) * (p.values[i] - data.values[i]) / 29;
            const double sure = std::max(p.values[i], 1 - p.values[i]);
            const bool right = (p.values[i] < 0.5) == (data.values[i] < 0.5);
            confidence += sure;
            wrong_confidence += right ? 0 : sure;
            correct += right ? 1 : 0;
        }
        loss += batch_loss;
        batches += batch_loss / static_cast<double>(batch);
        samples += batch;
    }
    const Metrics got = backend().metrics();
    EXPECT_NEAR(got.sample_loss_sum, loss, 1e-6 * loss);
    EXPECT_NEAR(got.batch_loss_sum, batches, 1e-6 * batches);
    EXPECT_NEAR(got.confidence_sum, confidence, 1e-6 * confidence);
    EXPECT_NEAR(got.wrong_confidence_sum, wrong_confidence, 1e-6 * wrong_confidence);
    EXPECT_EQ(got.correct, correct);
    EXPECT_EQ(got.samples, samples);
    EXPECT_EQ(got.batches, 5U);
    EXPECT_EQ(backend().metrics().samples, 0U) << "metrics() begins anew";
}

}  // namespace
}  // namespace espalier
