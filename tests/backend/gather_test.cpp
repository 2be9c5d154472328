// Gathering a batch: order, normalisation per channel, transposition into tiles, labels, padding; on every backend.
#include <algorithm>

#include "backend_fixture.hpp"

namespace espalier {
namespace {

class Gather : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Backends, Gather, ::testing::ValuesIn(available_backends()), backend_test_name);

/// Samples in backend memory and the same numbers here.
struct TestSamples {
    std::vector<float> values;  // [sample][feature], before normalisation
    std::vector<std::int32_t> labels;
    Buffer<std::uint8_t> device_bytes;
    Buffer<float> device_floats;
    Buffer<std::int32_t> device_labels;
    Samples samples;

    TestSamples(Backend& backend, std::uint32_t count, Index features, Index channels, bool as_bytes) {
        TestRandom random(count + features);
        std::vector<std::uint8_t> bytes;
        for (std::size_t i = 0; i < std::size_t{count} * features; ++i) {
            bytes.push_back(static_cast<std::uint8_t>(random() >> 56));
            values.push_back(as_bytes ? static_cast<float>(bytes.back()) : static_cast<float>(bytes.back()) * 0.37F);
        }
        labels = random_labels(count, 10, random);
        device_labels = Buffer<std::int32_t>(backend, count);
        device_labels.upload(labels.data());
        samples.labels = device_labels.data();
        samples.count = count;
        samples.features = features;
        samples.channels = channels;
        if (as_bytes) {
            device_bytes = Buffer<std::uint8_t>(backend, bytes.size());
            device_bytes.upload(bytes.data());
            samples.bytes = device_bytes.data();
        } else {
            device_floats = Buffer<float>(backend, values.size());
            device_floats.upload(values.data());
            samples.floats = device_floats.data();
        }
        for (Index c = 0; c < channels; ++c) {
            samples.factor[c] = 0.01F * static_cast<float>(c + 1);
            samples.offset[c] = -0.4242F + static_cast<float>(c);
        }
    }

    [[nodiscard]] double normalised(std::size_t sample, Index feature) const {
        const Index channel = feature / (samples.features / samples.channels);
        return double{values[sample * samples.features + feature]} * double{samples.factor[channel]} +
               double{samples.offset[channel]};
    }
};

std::vector<std::int32_t> downloaded(const Buffer<std::int32_t>& buffer) {
    std::vector<std::int32_t> result(buffer.size());
    buffer.download(result.data());
    return result;
}

/// Gathers one batch and compares with the samples that `order` names.
void check_batch(Backend& backend, const TestSamples& test, const BatchChoice& choice, const StepScalars* step,
                 const std::vector<std::size_t>& order) {
    const DeviceMatrix x(backend, test.samples.features, choice.size);
    const auto labels = device_labels(backend, std::vector<std::int32_t>(choice.size, -7));
    backend.gather(test.samples, choice, x, labels.data(), step);
    const auto got = x.values();
    const auto got_labels = downloaded(labels);
    Margin margin("gathered values");
    for (std::size_t s = 0; s < choice.size; ++s) {
        const std::size_t sample = order.at(choice.first + s);
        EXPECT_EQ(got_labels[s], test.labels[sample]) << "sample " << s;
        for (Index f = 0; f < test.samples.features; ++f) {
            margin.compare(got(f, s), test.normalised(sample, f), 1e-6, s * test.samples.features + f);
        }
    }
    margin.expect();
    for (std::size_t s = choice.size; s < got_labels.size(); ++s) EXPECT_EQ(got_labels[s], -1) << "past the batch";
    for (const float each : x.padding()) ASSERT_EQ(each, 0.0F) << "past the batch";
}

TEST_P(Gather, AsStoredForEveryBatchSizeKindAndChannelCount) {
    for (const bool as_bytes : {true, false}) {
        for (const auto& [features, channels] : {std::pair{1U, 1U}, {37U, 1U}, {36U, 3U}, {784U, 1U}, {64U, 4U}}) {
            const TestSamples test(backend(), 230, features, channels, as_bytes);
            std::vector<std::size_t> order(230);
            for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
            for (const Index batch : {1U, 2U, 40U, 63U, 64U, 65U, 96U, 128U, 200U}) {
                SCOPED_TRACE(std::to_string(features) + " features, batch " + std::to_string(batch) +
                             (as_bytes ? ", bytes" : ", floats"));
                check_batch(backend(), test, {0, batch, false, 5}, nullptr, order);
                check_batch(backend(), test, {230 - batch, batch, false, 5}, nullptr, order);
            }
        }
    }
}

TEST_P(Gather, ShuffledByThePermutationOfTheEpoch) {
    for (const std::uint32_t count : {1U, 5U, 300U}) {
        const TestSamples test(backend(), count, 11, 1, true);
        for (const std::uint64_t seed : {1ULL, 0x123456789abcdefULL}) {
            std::vector<std::size_t> previous;
            for (const std::uint32_t epoch : {0U, 1U, 7U}) {
                const Permutation permutation(count, Stream{seed, Purpose::shuffle, 0, epoch});
                std::vector<std::size_t> order;
                for (std::uint32_t i = 0; i < count; ++i) order.push_back(permutation(i));
                auto sorted = order;
                std::sort(sorted.begin(), sorted.end());
                for (std::uint32_t i = 0; i < count; ++i) ASSERT_EQ(sorted[i], i) << "every sample exactly once";
                if (count > 100) {
                    EXPECT_NE(order, previous) << "epochs differ";
                }
                previous = order;
                StepScalars scalars;
                scalars.epoch = epoch;
                const auto step = device_scalars(backend(), scalars);
                for (std::uint32_t first = 0; first < count; first += 128) {
                    SCOPED_TRACE("count " + std::to_string(count) + ", epoch " + std::to_string(epoch));
                    check_batch(backend(), test, {first, std::min(128U, count - first), true, seed}, step.data(), order);
                }
            }
        }
    }
}

}  // namespace
}  // namespace espalier
