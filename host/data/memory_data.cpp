#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "espalier/error.hpp"
#include "espalier/dataset.hpp"
#include "host/data/labels.hpp"
#include "host/formats/sha256.hpp"

namespace espalier {
namespace {

[[noreturn]] void refuse_memory(const std::string& fault) { throw UserError(ExitCode::data, fault); }

template <class Item>
Split memory_split(std::span<const Item> samples, std::span<const std::int64_t> labels, std::uint64_t features,
                   const std::string& which, Sha256& digest) {
    if (samples.size() != labels.size() * features) {
        refuse_memory(which + ": expected " + std::to_string(labels.size()) + " samples of " +
                      std::to_string(features) + " values, as there are labels, found " +
                      std::to_string(samples.size()) + " values");
    }
    if (labels.size() > std::numeric_limits<Index>::max()) refuse_memory(which + ": expected fewer than 2^32 samples");
    Split split;
    for (std::size_t i = 0; i < labels.size(); ++i) {
        if (labels[i] < 0 || labels[i] >= static_cast<std::int64_t>(max_classes)) {
            refuse_memory(which + ": expected labels from 0 to " + std::to_string(max_classes - 1) + ", found " +
                          std::to_string(labels[i]) + " at sample " + std::to_string(i));
        }
        split.labels.push_back(static_cast<std::int32_t>(labels[i]));
    }
    if constexpr (std::is_same_v<Item, std::uint8_t>) {
        split.bytes.assign(samples.begin(), samples.end());
    } else {
        for (std::size_t i = 0; i < samples.size(); ++i) {
            if (std::isfinite(samples[i])) continue;
            refuse_memory(which + ": expected finite numbers, found " + std::to_string(samples[i]) + " in sample " +
                          std::to_string(i / features) + ", feature " + std::to_string(i % features));
        }
        split.floats.assign(samples.begin(), samples.end());
    }
    digest.update(samples.data(), samples.size_bytes());
    digest.update(labels.data(), labels.size_bytes());
    return split;
}

template <class Item>
DataSet dataset_of(std::span<const Item> samples, std::span<const std::int64_t> labels, SampleShape shape,
                   std::span<const Item> test_samples, std::span<const std::int64_t> test_labels,
                   Standardize standardize) {
    constexpr Index max_channels = 4;  // of Samples
    const std::uint64_t pixels = std::uint64_t{shape.height} * shape.width;
    if (pixels == 0 || shape.channels == 0 || shape.channels > max_channels ||
        pixels > std::numeric_limits<Index>::max() / shape.channels) {
        refuse_memory("shape: expected a height and a width from 1, 1 to 4 channels and fewer than 2^32 features, found " +
                      std::to_string(shape.height) + " x " + std::to_string(shape.width) + " x " +
                      std::to_string(shape.channels));
    }
    if (labels.empty()) refuse_memory("training samples: expected at least one, found none");
    DataSet data;
    data.name = "memory";
    data.source = "memory";
    data.height = shape.height;
    data.width = shape.width;
    data.channels = shape.channels;
    data.table = shape.height == 1 && shape.channels == 1;
    Sha256 digest;
    data.train = memory_split(samples, labels, data.features(), "training samples", digest);
    data.test = memory_split(test_samples, test_labels, data.features(), "test samples", digest);
    data.digest = digest.hex();
    for (const std::int32_t label : data.train.labels) {
        data.classes = std::max(data.classes, static_cast<Index>(label) + 1);
    }
    for (std::size_t i = 0; i < data.test.labels.size(); ++i) {
        if (static_cast<Index>(data.test.labels[i]) < data.classes) continue;
        refuse_memory("test samples: expected labels from 0 to " + std::to_string(data.classes - 1) +
                      " as for training, found " + std::to_string(data.test.labels[i]) + " at sample " +
                      std::to_string(i));
    }
    for (Index c = 0; c < data.classes; ++c) data.class_names.push_back(std::to_string(c));
    measure(data, standardize);
    return data;
}

}  // namespace

DataSet make_dataset(std::span<const float> samples, std::span<const std::int64_t> labels, SampleShape shape,
                     std::span<const float> test_samples, std::span<const std::int64_t> test_labels,
                     Standardize standardize) {
    return dataset_of(samples, labels, shape, test_samples, test_labels, standardize);
}

DataSet make_dataset(std::span<const std::uint8_t> samples, std::span<const std::int64_t> labels, SampleShape shape,
                     std::span<const std::uint8_t> test_samples, std::span<const std::int64_t> test_labels,
                     Standardize standardize) {
    return dataset_of(samples, labels, shape, test_samples, test_labels, standardize);
}

}  // namespace espalier
