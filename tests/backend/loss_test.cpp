// Losses, their gradients and the metrics against the oracle, on every backend.
#include <cmath>

#include "alternatives.hpp"
#include "backend_fixture.hpp"

namespace espalier {
namespace {

class LossVerb : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Backends, LossVerb, ::testing::ValuesIn(available_backends()), backend_test_name);

/// What metrics() should return after some batches.
void add(Metrics& sums, const oracle::Scores& scores) {
    sums.batch_loss_sum += scores.mean_loss();
    ++sums.batches;
    for (std::size_t s = 0; s < scores.losses.size(); ++s) {
        sums.sample_loss_sum += scores.losses[s];
        sums.confidence_sum += scores.confidences[s];
        if (!scores.correct[s]) sums.wrong_confidence_sum += scores.confidences[s];
        if (scores.correct[s]) ++sums.correct;
        ++sums.samples;
    }
}

void expect_metrics(const Metrics& got, const Metrics& want) {
    EXPECT_EQ(got.batches, want.batches);
    EXPECT_EQ(got.samples, want.samples);
    EXPECT_EQ(got.correct, want.correct);
    expect_close({got.batch_loss_sum, got.sample_loss_sum, got.confidence_sum, got.wrong_confidence_sum},
                 {want.batch_loss_sum, want.sample_loss_sum, want.confidence_sum, want.wrong_confidence_sum},
                 {1e-6, 2e-6}, "batch loss, sample loss, confidence, wrong confidence");
}

TEST_P(LossVerb, GradientsAndMetricsAgreeWithTheOracle) {
    for (const auto& loss : alternatives<Loss>()) {
        for (const Index classes : {1U, 2U, 10U, 47U}) {
            SCOPED_TRACE(rule_text(loss) + ", classes " + std::to_string(classes));
            TestRandom random(classes);
            static_cast<void>(backend().metrics());
            const auto targets = device_targets(backend(), loss, one_hot(classes));
            Metrics want;
            for (const std::size_t batch : {1U, 2U, 40U, 63U, 64U, 65U, 96U, 128U, 200U}) {
                const auto z = random_matrix(classes, batch, batch == 40 ? 40 : 4, random);
                const auto labels = random_labels(batch, classes, random);
                const DeviceMatrix outputs(backend(), z);
                const DeviceMatrix gradient(backend(), classes, batch);
                const auto device_label = device_labels(backend(), labels);
                backend().loss(loss, outputs, device_label.data(), gradient, nullptr, targets.data());
                const auto scores = oracle::score(loss, z, labels);
                add(want, scores);
                expect_close(gradient.values().values, scores.gradient.values,
                             {5e-7 / static_cast<double>(batch), 2e-6}, "gradient, batch " + std::to_string(batch));
                for (const float each : gradient.padding()) EXPECT_EQ(each, 0.0F) << "lanes past the batch";
                if (batch % 2 == 0) continue;
                // evaluation adds to the metrics alike
                backend().loss(loss, outputs, device_label.data(), {}, nullptr, targets.data());
                add(want, scores);
            }
            expect_metrics(backend().metrics(), want);
            expect_metrics(backend().metrics(), Metrics{});  // reading resets
        }
    }
}

TEST_P(LossVerb, ClassWeightsMultiplyLossAndGradient) {
    const std::vector<float> weights{0.5F, 2, 0, 1.25F};
    Buffer<float> device_weights(backend(), weights.size());
    device_weights.upload(weights.data());
    for (const auto& loss : alternatives<Loss>()) {
        if (is_regression(loss)) continue;  // knows no classes
        for (const std::size_t batch : {1U, 65U, 200U}) {
            SCOPED_TRACE(rule_text(loss) + ", batch " + std::to_string(batch));
            TestRandom random(7);
            const auto z = random_matrix(4, batch, 4, random);
            const auto labels = random_labels(batch, 4, random);
            const DeviceMatrix outputs(backend(), z);
            const DeviceMatrix gradient(backend(), 4, batch);
            const auto device_label = device_labels(backend(), labels);
            static_cast<void>(backend().metrics());
            backend().loss(loss, outputs, device_label.data(), gradient, device_weights.data());
            auto scores = oracle::score(loss, z, labels);
            for (std::size_t s = 0; s < batch; ++s) {
                const double weight = static_cast<double>(weights[static_cast<std::size_t>(labels[s])]);
                scores.losses[s] *= weight;
                for (std::size_t c = 0; c < 4; ++c) scores.gradient(c, s) *= weight;
            }
            Metrics want;
            add(want, scores);
            expect_close(gradient.values().values, scores.gradient.values, {1e-6 / static_cast<double>(batch), 2e-6},
                         "gradient");
            expect_metrics(backend().metrics(), want);  // confidences and answers have no weight
        }
    }
}

TEST_P(LossVerb, SquaredErrorComparesWithTheRowsThatLabelsName) {
    for (const Index outputs : {1U, 3U}) {
        for (const std::size_t batch : {1U, 64U, 130U}) {
            SCOPED_TRACE("outputs " + std::to_string(outputs) + ", batch " + std::to_string(batch));
            TestRandom random(outputs);
            const std::size_t rows = 3 * batch;  // of a whole data set, of which a batch sees a part
            const auto targets = random_matrix(rows, outputs, 8, random);
            const auto z = random_matrix(outputs, batch, 8, random);
            const auto labels = random_labels(batch, static_cast<Index>(rows), random);
            const DeviceMatrix device_z(backend(), z);
            const DeviceMatrix gradient(backend(), outputs, batch);
            const auto device_label = device_labels(backend(), labels);
            const auto device_rows = device_targets(backend(), SquaredError{}, targets);
            static_cast<void>(backend().metrics());
            backend().loss(SquaredError{}, device_z, device_label.data(), gradient, nullptr, device_rows.data());
            const auto scores = oracle::score(SquaredError{}, z, labels, targets);
            Metrics want;
            add(want, scores);
            expect_metrics(backend().metrics(), want);
            expect_close(gradient.values().values, scores.gradient.values, {1e-6 / static_cast<double>(batch), 2e-6},
                         "gradient");
        }
    }
}

TEST_P(LossVerb, TargetsAreForARegressionAlone) {
    const DeviceMatrix outputs(backend(), oracle::Matrix(2, 3, 0.5));
    const auto labels = device_labels(backend(), {0, 1, 1});
    const auto targets = device_targets(backend(), SquaredError{}, one_hot(2));
    EXPECT_THROW(backend().loss(SquaredError{}, outputs, labels.data(), {}), std::logic_error);
    EXPECT_THROW(backend().loss(SoftmaxNll{}, outputs, labels.data(), {}, nullptr, targets.data()), std::logic_error);
    EXPECT_THROW(backend().loss(SquaredError{}, outputs, labels.data(), {}, targets.data(), targets.data()),
                 std::logic_error);
}

TEST_P(LossVerb, OfEqualOutputsTheFirstIsThePrediction) {
    for (const auto& loss : alternatives<Loss>()) {
        if (is_regression(loss)) continue;
        const DeviceMatrix outputs(backend(), oracle::Matrix(5, 3, 0.5));
        const auto labels = device_labels(backend(), {0, 1, 4});
        static_cast<void>(backend().metrics());
        backend().loss(loss, outputs, labels.data(), {});
        EXPECT_EQ(backend().metrics().correct, 1U) << rule_text(loss);
    }
}

TEST_P(LossVerb, GarbageInThePaddingDoesNotCount) {
    TestRandom random(1);
    const auto z = random_matrix(3, 5, 2, random);
    const auto labels = random_labels(5, 3, random);
    const DeviceMatrix clean(backend(), z);
    const DeviceMatrix dirty(backend(), z);
    auto raw = dirty.raw();
    const Activations here{raw.data(), 3, 5, backend().lanes()};
    for (Index c = 0; c < 3; ++c) {
        for (Index lane = 5; lane < backend().lanes(); ++lane) here.row(0, c)[lane] = 1e30F;
    }
    backend().upload(dirty.view().data, raw.data(), raw.size() * sizeof(float));
    const auto device_label = device_labels(backend(), labels);
    for (const auto& loss : alternatives<Loss>()) {
        static_cast<void>(backend().metrics());
        const DeviceMatrix gradient(backend(), 3, 5);
        const auto targets = device_targets(backend(), loss, one_hot(3));
        backend().loss(loss, dirty, device_label.data(), gradient, nullptr, targets.data());
        Metrics want;
        add(want, oracle::score(loss, z, labels));
        expect_metrics(backend().metrics(), want);
        for (const float each : gradient.padding()) EXPECT_EQ(each, 0.0F);
    }
}

TEST_P(LossVerb, ANaNReachesTheMetrics) {
    for (const auto& loss : alternatives<Loss>()) {
        oracle::Matrix z(4, 70, 0.25);
        z(2, 67) = NAN;
        const DeviceMatrix outputs(backend(), z);
        const auto labels = device_labels(backend(), std::vector<std::int32_t>(70, 1));
        static_cast<void>(backend().metrics());
        const auto targets = device_targets(backend(), loss, one_hot(4));
        backend().loss(loss, outputs, labels.data(), {}, nullptr, targets.data());
        const auto sums = backend().metrics();
        EXPECT_TRUE(std::isnan(sums.batch_loss_sum)) << rule_text(loss);
        EXPECT_TRUE(std::isnan(sums.sample_loss_sum)) << rule_text(loss);
    }
}

}  // namespace
}  // namespace espalier
