// Kernels of stochastic units and reconstruction scores against plain loops.
#include "cuda/kernels/gibbs.cuh"

#include <algorithm>

#include "kernel_cases.hpp"

namespace espalier::cuda {
namespace {

using UnitsKernel = cuda_on_host::EveryOrder;
INSTANTIATE_TEST_SUITE_P(Orders, UnitsKernel, testing::ValuesIn(cuda_on_host::every_order));

dim3 grid_of(const Activations& view) {
    return {(view.rows + units_threads / warp_lanes - 1) / (units_threads / warp_lanes), view.tiles(), 1};
}

TEST_P(UnitsKernel, DrawsThePromisedStates) {
    for (const auto& [rows, batch] : {std::pair<Index, Index>{1, 1}, {37, 10}, {9, 128}, {20, 200}}) {
        for (const bool probabilities : {false, true}) {
            Matrix values(rows, batch, 3);
            for (float& each : values.values) each = probabilities ? 0.5F + 0.5F * each : 4 * each;
            const TiledArray input(values, 1);
            const TiledArray means(Matrix(rows, batch), 7);
            const TiledArray states(Matrix(rows, batch), 7);
            const UnitDraw draw{9, 4, probabilities, 0.25F};
            StepScalars scalars;
            scalars.step = 17;
            const DeviceArray<StepScalars> now(std::vector<StepScalars>{scalars});
            launch(sample_kernel<units_threads>, grid_of(input.view()), dim3(units_threads), 0, draw, input.view(),
                   means.view(), states.view(), now.data());
            const BernoulliUnits units(draw, 17);
            const Matrix got_means = means.read();
            const Matrix got_states = states.read();
            for (Index j = 0; j < rows; ++j) {
                for (Index s = 0; s < batch; ++s) {
                    const float p = probabilities ? values(j, s) : Sigmoid{}.value(values(j, s));
                    ASSERT_EQ(got_means(j, s), p * 0.25F);
                    ASSERT_EQ(got_states(j, s), units.state(p, j, s)) << j << ' ' << s;
                }
            }
            for (const TiledArray* written : {&means, &states}) {
                for (const float each : written->beyond()) ASSERT_EQ(each, 0.0F) << "lanes past the batch";
            }
        }
    }
}

TEST_P(UnitsKernel, WorksInPlaceAndLeavesOutWhatIsEmpty) {
    const Matrix values(11, 140, 5);
    const TiledArray in_place(values);
    launch(sample_kernel<units_threads>, grid_of(in_place.view()), dim3(units_threads), 0, UnitDraw{}, in_place.view(),
           in_place.view(), Activations{}, static_cast<const StepScalars*>(nullptr));
    const Matrix got = in_place.read();
    for (std::size_t i = 0; i < got.values.size(); ++i) ASSERT_EQ(got.values[i], Sigmoid{}.value(values.values[i]));
}

TEST_P(UnitsKernel, ScoresReconstructions) {
    for (const auto& [rows, batch] : {std::pair<Index, Index>{1, 1}, {37, 10}, {9, 128}, {20, 200}}) {
        Matrix p(rows, batch, 6);
        Matrix data(rows, batch, 7);
        for (Matrix* each : {&p, &data}) {
            for (float& value : each->values) value = 0.5F + 0.5F * value;
        }
        const TiledArray d_p(p, 9);
        const TiledArray d_data(data, 9);
        const DeviceArray<MetricSums> sums(std::vector<MetricSums>(1));
        launch(reconstruction_kernel<loss_threads>, dim3(d_p.view().tiles()), dim3(loss_threads), 0, d_p.view(),
               d_data.view(), sums.data());
        double loss = 0;
        double confidence = 0;
        double wrong = 0;
        Counter correct = 0;
        for (std::size_t i = 0; i < p.values.size(); ++i) {
            const double x = p.values[i];
            const double y = data.values[i];
            loss += (x - y) * (x - y) / rows;
            confidence += std::max(x, 1 - x);
            const bool right = (x < 0.5) == (y < 0.5);
            wrong += right ? 0 : std::max(x, 1 - x);
            correct += right ? 1 : 0;
        }
        const MetricSums got = sums.read()[0];
        EXPECT_NEAR(from_fixed_point(got.sample_loss), loss, 1e-5 * loss);
        EXPECT_NEAR(from_fixed_point(got.batch_loss), loss / batch, 1e-5 * loss);
        EXPECT_NEAR(static_cast<double>(got.confidence) / static_cast<double>(fixed_point_one), confidence,
                    1e-5 * confidence);
        EXPECT_NEAR(static_cast<double>(got.wrong_confidence) / static_cast<double>(fixed_point_one), wrong,
                    1e-5 * confidence);
        EXPECT_EQ(got.correct, correct);
        EXPECT_EQ(got.samples, batch);
        EXPECT_EQ(got.batches, 1U);
        EXPECT_EQ(got.nonfinite, 0U);
    }
}

TEST_P(UnitsKernel, CountsWhatIsNotFinite) {
    Matrix p(5, 3, 6);
    p(2, 1) = std::nanf("");
    const TiledArray d_p(p);
    const TiledArray d_data(Matrix(5, 3));
    const DeviceArray<MetricSums> sums(std::vector<MetricSums>(1));
    launch(reconstruction_kernel<loss_threads>, dim3(1), dim3(loss_threads), 0, d_p.view(), d_data.view(), sums.data());
    EXPECT_EQ(sums.read()[0].nonfinite, 1U);
}

}  // namespace
}  // namespace espalier::cuda
