// The canonical copy of the weights follows those by input, however many threads share the rows.
#include "host/cpu/canonical_weights.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "espalier/topology.hpp"
#include "host/cpu/layer_transfer.hpp"

namespace espalier {
namespace {

std::unique_ptr<SparseCpuLayer> layer_with_views(Index num_inputs, Index num_outputs, EdgeIndex num_edges) {
    const Topology topology =
        random_topology(num_inputs, num_outputs, num_edges, ExactCount{}, Stream{7, Purpose::topology, 0, 0});
    auto held = std::make_unique<SparseCpuLayer>();
    SparseCpuLayer& layer = *held;
    layer.num_inputs = num_inputs;
    layer.num_outputs = num_outputs;
    layer.row_start.assign(topology.row_start.begin(), topology.row_start.end());
    layer.column.assign(topology.column.begin(), topology.column.end());
    layer.weights.resize(topology.num_edges());
    std::iota(layer.weights.begin(), layer.weights.end(), 1.0F);
    build_input_view(layer);
    return held;
}

TEST(CanonicalWeights, FollowThoseByInputForAnyNumberOfThreads) {
    constexpr std::array<std::array<Index, 3>, 4> shapes{{{40, 30, 600}, {7, 300, 900}, {300, 7, 200}, {5, 4, 1}}};
    for (const auto& [inputs, outputs, edges] : shapes) {
        const auto held = layer_with_views(inputs, outputs, edges);
        SparseCpuLayer& layer = *held;
        const AlignedVector<float> expected = layer.weights;
        for (const int threads : {1, 2, 3, 8}) {
            SCOPED_TRACE(std::to_string(inputs) + " x " + std::to_string(outputs) + ", " + std::to_string(threads));
            cut_rows(layer, threads);
            EXPECT_LE(layer.part_starts.size() * sizeof(EdgeIndex), layer.num_edges());
            if (threads == 8 && edges == 600) {
                EXPECT_EQ(num_row_parts(layer), 4U);  // else they took over a byte an edge
            }
            std::fill(layer.weights.begin(), layer.weights.end(), 0.0F);
            std::vector<EdgeIndex> next(inputs);
            for (int index = threads - 1; index >= 0; --index) {
                take_weights(layer, layer.input_weights.data(), {index, threads}, next.data());
            }
            EXPECT_EQ(layer.weights, expected);
        }
    }
}

TEST(CanonicalWeights, PartsTakeAByteAnEdgeAtMost) {
    EXPECT_EQ(row_parts(40, 600, 8), 4U);
    EXPECT_EQ(row_parts(0, 0, 8), 1U);
    EXPECT_EQ(row_parts(Index{1} << 30, 1000, 64), 1U);
    EXPECT_EQ(row_parts(1000, 1'000'000, 64), 64U);
    EXPECT_EQ(row_parts(1000, 1'000'000, 0), 1U);
}

}  // namespace
}  // namespace espalier
