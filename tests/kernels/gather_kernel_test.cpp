// Gather kernel against plain loops: bytes and floats, channels, order, what lies past the batch; dropout and degrees.
#include "cuda/kernels/gather.cuh"

#include "cuda/kernels/degrees.cuh"
#include "cuda/kernels/dropout.cuh"
#include "kernel_cases.hpp"

namespace espalier::cuda {
namespace {

using DataKernels = cuda_on_host::EveryOrder;
INSTANTIATE_TEST_SUITE_P(Orders, DataKernels, testing::ValuesIn(cuda_on_host::every_order));

template <class Value>
std::vector<Value> some_samples(std::size_t count) {
    std::vector<Value> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<Value>((i * 37 + i / 5) % 251);
    return values;
}

/// A batch of `size` samples from position `first` of 300.
template <class Value>
void check_gather(Index features, Index channels, std::uint32_t first, Index size, bool shuffled) {
    constexpr std::uint32_t count = 300;
    constexpr std::uint32_t epoch = 4;
    const auto values = some_samples<Value>(std::size_t{count} * features);
    std::vector<std::int32_t> labels(count);
    for (std::uint32_t i = 0; i < count; ++i) labels[i] = static_cast<std::int32_t>(i % 10);
    const DeviceArray<Value> d_values(values);
    const DeviceArray<std::int32_t> d_labels(labels);
    Samples samples;
    samples.labels = d_labels.data();
    samples.count = count;
    samples.features = features;
    samples.channels = channels;
    for (int c = 0; c < 4; ++c) {
        samples.factor[c] = 0.5F + static_cast<float>(c);
        samples.offset[c] = -1.25F * static_cast<float>(c);
    }
    const BatchChoice choice{first, size, shuffled, 17};
    const TiledArray x(Matrix(features, size), 9);
    const Index tiles = x.view().tiles();
    const DeviceArray<std::int32_t> found_labels(std::size_t{tiles} * tile_lanes);
    const DeviceArray<StepScalars> now(std::vector<StepScalars>{{{}, epoch, 0}});
    launch(gather_kernel<gather_threads, Value>,
           dim3(blocks_for(features, gather_block), tiles * tile_lanes / gather_block), dim3(gather_threads), 0,
           samples, d_values.data(), choice, x.view(), found_labels.data(), shuffled ? now.data() : nullptr,
           RankShare{0, 1, size});
    const Matrix found = x.read();
    const auto label = found_labels.read();
    const Permutation order(count, Stream{17, Purpose::shuffle, 0, epoch});
    for (Index s = 0; s < size; ++s) {
        const std::uint64_t place = shuffled ? order(first + s) : first + s;
        ASSERT_EQ(label[s], labels[place]);
        for (Index f = 0; f < features; ++f) {
            const Index channel = f / (features / channels);
            const float expected = std::fma(static_cast<float>(values[place * features + f]), samples.factor[channel],
                                            samples.offset[channel]);
            ASSERT_EQ(found(f, s), expected) << "feature " << f << " of " << features << ", sample " << s;
        }
    }
    for (const float each : x.beyond()) ASSERT_EQ(each, 0.0F) << "lanes past the batch are 0";
    for (std::size_t s = size; s < label.size(); ++s) ASSERT_EQ(label[s], -1);
}

TEST_P(DataKernels, GatherAsStored) {
    check_gather<std::uint8_t>(1, 1, 0, 1, false);
    check_gather<std::uint8_t>(33, 1, 299, 1, false);
    check_gather<std::uint8_t>(30, 3, 7, 128, false);
    check_gather<float>(65, 1, 100, 130, false);
}

TEST_P(DataKernels, GatherShuffled) {
    check_gather<std::uint8_t>(40, 4, 128, 128, true);
    check_gather<float>(5, 1, 256, 44, true);
}

TEST_P(DataKernels, GatherReadsAlongTheFeatures) {
    if (!cuda_on_host::watch::enabled()) GTEST_SKIP() << "this program's accesses are not watched";
    cuda_on_host::watch::count_traffic(true);
    check_gather<std::uint8_t>(64, 1, 0, 128, false);
    EXPECT_LE(cuda_on_host::watch::traffic(1, false).sectors_per_request(), 1);  // 32 bytes in a row
}

TEST_P(DataKernels, Dropout) {
    for (const Index batch : {1U, 6U, 128U, 131U}) {
        const Matrix values(11, batch, 30);
        const TiledArray d_values(values, 3);
        const DeviceArray<StepScalars> now(std::vector<StepScalars>{{{}, 0, 6}});
        const DropoutMask at_birth(0.3F, Stream{9, Purpose::dropout, 2, 0});
        const DropoutMask at_step(0.3F, Stream{9, Purpose::dropout, 2, 6});
        launch(dropout_kernel<64>, dim3(blocks_for(11, 2), d_values.view().tiles()), dim3(64), 0, at_birth,
               d_values.view(), now.data(), RankShare{0, 1, batch});
        const Matrix found = d_values.read();
        for (Index n = 0; n < 11; ++n) {
            for (Index s = 0; s < batch; ++s) {
                ASSERT_EQ(found(n, s), values(n, s) * at_step.factor(n, s)) << "neuron " << n << " sample " << s;
            }
        }
        for (const float each : d_values.beyond()) ASSERT_EQ(each, 3.0F) << "lanes past the batch stay as they are";
    }
}

/// Every rank's tiles, one after the other, are those of the whole batch: samples, labels, masks.
TEST_P(DataKernels, TilesOfRanksAreTilesOfTheBatch) {
    constexpr Index size = 4 * tile_lanes + 9;
    constexpr Index features = 6;
    const std::vector<float> values = random_values(3, std::size_t{700} * features);
    std::vector<std::int32_t> labels(700);
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int32_t>(i);
    const DeviceArray<float> d_values(values);
    const DeviceArray<std::int32_t> d_labels(labels);
    Samples samples;
    samples.labels = d_labels.data();
    samples.count = 700;
    samples.features = features;
    const DeviceArray<StepScalars> now(std::vector<StepScalars>{{{}, 5, 6}});
    const auto read = [&](const RankShare& share) {
        const TiledArray x(Matrix(features, size), 9);
        const Activations own = share.of(x.view());
        const DeviceArray<std::int32_t> found(std::vector<std::int32_t>(std::size_t{5} * tile_lanes, 7));
        launch(gather_kernel<gather_threads, float>, dim3(1, own.tiles() * tile_lanes / gather_block),
               dim3(gather_threads), 0, samples, d_values.data(), BatchChoice{60, size, true, 17}, own, found.data(),
               now.data(), share);
        launch(dropout_kernel<64>, dim3(blocks_for(features, 2), own.tiles()), dim3(64), 0,
               DropoutMask(0.3F, Stream{9, Purpose::dropout, 2, 0}), own, now.data(), share);
        return std::pair(x.tiles(), found.read());
    };
    const auto [whole, whole_labels] = read({0, 1, size});
    const std::size_t tile = std::size_t{features} * tile_lanes;
    for (const Index ranks : {2U, 4U, 5U}) {
        for (Index rank = 0; rank < ranks; ++rank) {
            const auto [own, own_labels] = read({rank, ranks, size});
            for (Index t = rank, i = 0; t < 5; t += ranks, ++i) {
                ASSERT_TRUE(std::equal(own.begin() + i * tile, own.begin() + (i + 1) * tile, whole.begin() + t * tile));
                ASSERT_TRUE(std::equal(own_labels.begin() + i * tile_lanes, own_labels.begin() + (i + 1) * tile_lanes,
                                       whole_labels.begin() + t * tile_lanes));
            }
        }
    }
}

TEST_P(DataKernels, Degrees) {
    for (const SparseCase& layer : sparse_cases()) {
        const DeviceArray<EdgeIndex> start(layer.row_start);
        const DeviceArray<Index> column(layer.column);
        const DeviceArray<EdgeIndex> outputs(layer.outputs);
        const DeviceArray<EdgeIndex> inputs(std::vector<EdgeIndex>(layer.inputs, 0));
        launch(output_degrees_kernel<32>, dim3(blocks_for(layer.outputs, 32)), dim3(32), 0, start.data(), layer.outputs,
               outputs.data());
        launch(input_degrees_kernel<32>, dim3(blocks_for(layer.num_edges() + 1, 32)), dim3(32), 0, column.data(),
               layer.num_edges(), inputs.data());
        const auto by_output = outputs.read();
        const auto by_input = inputs.read();
        std::vector<EdgeIndex> expected(layer.outputs, 0);
        for (const Index row : layer.row) ++expected[row];
        EXPECT_EQ(by_output, expected) << layer.name;
        for (Index c = 0; c < layer.inputs; ++c) {
            EXPECT_EQ(by_input[c], layer.column_start[c + 1] - layer.column_start[c]) << layer.name;
        }
    }
}

}  // namespace
}  // namespace espalier::cuda
