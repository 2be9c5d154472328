// Sparse products on the caller's memory, beside sums made edge by edge in double precision.
#include "espalier/sparse_product.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <type_traits>
#include <utility>
#include <vector>

namespace espalier {
namespace {

struct Case {
    Index inputs, outputs, samples;
    Cell edges;
};

/// A batch in either order, beside [sample][feature] as the test thinks of it.
struct Batch {
    Index samples, features;
    BatchOrder order;
    std::vector<float> values;

    Batch(Index samples_, Index features_, BatchOrder order_, std::mt19937* random = nullptr)
        : samples(samples_), features(features_), order(order_), values(std::size_t{samples_} * features_) {
        std::normal_distribution<float> normal;
        if (random != nullptr) {
            for (float& each : values) each = normal(*random);
        }
    }
    [[nodiscard]] double at(Index s, Index f) const {
        const std::size_t place = order == BatchOrder::sample_major ? std::size_t{s} * features + f
                                                                     : std::size_t{f} * samples + s;
        return static_cast<double>(values[place]);
    }
    [[nodiscard]] BatchView<const float> view() const { return {values.data(), samples, features, order}; }
    [[nodiscard]] BatchView<float> view() { return {values.data(), samples, features, order}; }
};

class SparseProducts : public testing::TestWithParam<std::tuple<Case, BatchOrder, int>> {};

TEST_P(SparseProducts, AgreeWithSumsEdgeByEdge) {
    const auto& [size, order, threads] = GetParam();
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    const Topology topology =
        random_topology(size.inputs, size.outputs, size.edges, ExactCount{}, {1, Purpose::topology, 0, 0});
    const TransposedView by_input = transposed(topology);
    std::vector<Index> input(topology.num_edges());
    for (Index i = 0; i < size.inputs; ++i) {
        for (EdgeIndex e = by_input.column_start[i]; e < by_input.column_start[i + 1]; ++e) input[e] = i;
    }
    std::vector<float> weights(topology.num_edges()), bias(size.outputs);
    for (float& each : weights) each = normal(random);
    for (float& each : bias) each = normal(random);
    const Batch x(size.samples, size.inputs, order, &random), dy(size.samples, size.outputs, order, &random);
    Batch y(size.samples, size.outputs, order), dx(size.samples, size.inputs, order);
    std::vector<float> dw(weights.size(), NAN), db(bias.size(), NAN);

    SparseProduct product(topology, threads);
    const PackedBatch packed = product.pack(x.view());
    product.forward(packed, weights.data(), bias.data(), y.view());
    product.backward(packed, weights.data(), dy.view(), {dx.view(), dw.data(), db.data()});

    std::vector<double> right_y(y.values.size()), right_dx(dx.values.size());
    for (Index s = 0; s < size.samples; ++s) {
        double* row = right_y.data() + std::size_t{s} * size.outputs;
        for (Index o = 0; o < size.outputs; ++o) row[o] = static_cast<double>(bias[o]);
        for (std::size_t e = 0; e < weights.size(); ++e) {
            row[by_input.row[e]] += static_cast<double>(weights[e]) * x.at(s, input[e]);
            right_dx[std::size_t{s} * size.inputs + input[e]] += static_cast<double>(weights[e]) * dy.at(s, by_input.row[e]);
        }
        for (Index o = 0; o < size.outputs; ++o) EXPECT_NEAR(y.at(s, o), row[o], 1e-4) << s << ", " << o;
        for (Index i = 0; i < size.inputs; ++i) {
            EXPECT_NEAR(dx.at(s, i), right_dx[std::size_t{s} * size.inputs + i], 1e-4) << s << ", " << i;
        }
    }
    for (std::size_t e = 0; e < weights.size(); ++e) {
        double right = 0;
        for (Index s = 0; s < size.samples; ++s) right += x.at(s, input[e]) * dy.at(s, by_input.row[e]);
        EXPECT_NEAR(static_cast<double>(dw[e]), right, 1e-3) << e;
    }
    for (Index o = 0; o < size.outputs; ++o) {
        double right = 0;
        for (Index s = 0; s < size.samples; ++s) right += dy.at(s, o);
        EXPECT_NEAR(static_cast<double>(db[o]), right, 1e-3) << o;
    }
}

INSTANTIATE_TEST_SUITE_P(AwkwardSizes, SparseProducts,
                         testing::Combine(testing::Values(Case{1, 1, 1, 1}, Case{37, 19, 17, 80}, Case{130, 70, 64, 900},
                                                          Case{50, 333, 130, 2000}, Case{20, 10, 65, 200}, Case{130, 70, 2, 900}, Case{90, 100, 3, 600},
                                                          Case{33, 150, 8, 500}, Case{40, 60, 100, 2400}),
                                          testing::Values(BatchOrder::sample_major, BatchOrder::feature_major),
                                          testing::Values(1, 3)));

TEST(SparseProduct, OtherWeightsAreTakenAtEveryCall) {
    const Topology topology{2, 1, {0, 2}, {0, 1}};
    SparseProduct product(topology);
    const std::vector<float> x{1, 10};
    std::vector<float> weights{2, 3};
    const PackedBatch packed = product.pack({x.data(), 1, 2});
    float y = 0;
    product.forward(packed, weights.data(), nullptr, {&y, 1, 1});
    EXPECT_EQ(y, 32);
    weights = {4, 5};
    product.forward(packed, weights.data(), nullptr, {&y, 1, 1});
    EXPECT_EQ(y, 54);
}

TEST(SparseProduct, FewSamplesHaveTheBitsOfMany) {
    constexpr Index inputs = 60, outputs = 83, many = 9;  // nine have the kernels of whole tiles
    std::mt19937 random(11);
    std::normal_distribution<float> normal;
    for (const Cell edges : {Cell{0}, Cell{700}, Cell{inputs} * outputs}) {
        const Topology topology = random_topology(inputs, outputs, edges, ExactCount{}, {1, Purpose::topology, 0, 0});
        std::vector<float> weights(edges), bias(outputs);
        for (float& each : weights) each = normal(random);
        for (float& each : bias) each = normal(random);
        const Batch all(many, inputs, BatchOrder::sample_major, &random);
        Batch expected(many, outputs, BatchOrder::sample_major);
        SparseProduct alone(topology, 1);
        alone.forward(alone.pack(all.view()), weights.data(), bias.data(), expected.view());
        for (const int threads : {1, 2, 3}) {
            SparseProduct product(topology, threads);
            for (Index samples = 1; samples < many; ++samples) {
                Batch x(samples, inputs, BatchOrder::sample_major), y(samples, outputs, BatchOrder::sample_major);
                std::copy_n(all.values.begin(), x.values.size(), x.values.begin());
                product.forward(product.pack(std::as_const(x).view()), weights.data(), bias.data(), y.view());
                EXPECT_TRUE(std::equal(y.values.begin(), y.values.end(), expected.values.begin()))
                    << edges << " edges, " << samples << " samples, " << threads << " threads";
            }
        }
    }
}

TEST(SparseProduct, PartsOfWiderBatchesAreTakenAndWrittenInPlace) {
    const Index inputs = 37, outputs = 19, gap = 5;
    const Topology topology = random_topology(inputs, outputs, 150, ExactCount{}, {1, Purpose::topology, 0, 0});
    std::mt19937 random(3);
    const std::vector<float> weights = Batch(1, 150, BatchOrder::sample_major, &random).values;
    for (const Index samples : {3U, 70U}) {
        for (const BatchOrder order : {BatchOrder::sample_major, BatchOrder::feature_major}) {
            const auto wide = [&](const Batch& batch) {
                const bool by_sample = order == BatchOrder::sample_major;
                const std::size_t rows = by_sample ? batch.samples : batch.features;
                const std::size_t length = by_sample ? batch.features : batch.samples;
                std::vector<float> values(rows * (length + gap), 77);
                for (std::size_t r = 0; r < rows; ++r) {
                    std::copy_n(batch.values.data() + r * length, length, values.data() + r * (length + gap));
                }
                return values;
            };
            const auto part = [&](auto* data, Index features) {
                const std::size_t stride = (order == BatchOrder::sample_major ? features : samples) + gap;
                return BatchView<std::remove_pointer_t<decltype(data)>>{data, samples, features, order, stride};
            };
            const Batch x(samples, inputs, order, &random), dy(samples, outputs, order, &random);
            Batch y(samples, outputs, order), dx(samples, inputs, order);
            const std::vector<float> wide_x = wide(x), wide_dy = wide(dy);
            std::vector<float> wide_y = wide(y), wide_dx = wide(dx);
            SparseProduct product(topology);
            const PackedBatch packed = product.pack(x.view()), same = product.pack(part(wide_x.data(), inputs));
            product.forward(packed, weights.data(), nullptr, y.view());
            product.backward(packed, weights.data(), dy.view(), {.x = dx.view()});
            product.forward(same, weights.data(), nullptr, part(wide_y.data(), outputs));
            product.backward(same, weights.data(), part(wide_dy.data(), outputs), {.x = part(wide_dx.data(), inputs)});
            EXPECT_EQ(wide_y, wide(y));  // and the gaps stay as they were
            EXPECT_EQ(wide_dx, wide(dx));
        }
    }
}

TEST(SparseProduct, WhatIsNotAskedForIsNotWritten) {
    const Topology topology{2, 1, {0, 2}, {0, 1}};
    SparseProduct product(topology);
    const std::vector<float> x{1, 10}, weights{2, 3}, dy{7};
    const PackedBatch packed = product.pack({x.data(), 1, 2});
    std::vector<float> dx(2);
    product.backward(packed, weights.data(), {dy.data(), 1, 1}, {.x = {dx.data(), 1, 2}});
    EXPECT_THAT(dx, testing::ElementsAre(14, 21));
    std::vector<float> dw(2);
    product.backward(packed, weights.data(), {dy.data(), 1, 1}, {.x = {}, .weights = dw.data()});
    EXPECT_THAT(dw, testing::ElementsAre(7, 70));
}

TEST(SparseProduct, FaultyTopologiesAndOtherShapesAreMistakes) {
    EXPECT_THROW(SparseProduct(Topology{2, 1, {0, 2}, {1, 0}}), std::logic_error);
    SparseProduct product(Topology{2, 1, {0, 2}, {0, 1}});
    const std::vector<float> x{1, 2, 3};
    EXPECT_THROW((void)product.pack({x.data(), 1, 3}), std::logic_error);
}

}  // namespace
}  // namespace espalier
