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

std::vector<std::int32_t> memory_labels(std::span<const std::int64_t> labels, const std::string& which) {
    std::vector<std::int32_t> classes;
    for (std::size_t i = 0; i < labels.size(); ++i) {
        if (labels[i] < 0 || labels[i] >= static_cast<std::int64_t>(max_classes)) {
            refuse_memory(which + ": expected labels from 0 to " + std::to_string(max_classes - 1) + ", found " +
                          std::to_string(labels[i]) + " at sample " + std::to_string(i));
        }
        classes.push_back(static_cast<std::int32_t>(labels[i]));
    }
    return classes;
}

/// `what`: "feature" or "target".
template <class Number>
void expect_finite(std::span<const Number> numbers, std::size_t per_sample, const std::string& which, const char* what) {
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        if (std::isfinite(numbers[i])) continue;
        refuse_memory(which + ": expected finite numbers, found " + std::to_string(numbers[i]) + " in sample " +
                      std::to_string(i / per_sample) + ", " + what + " " + std::to_string(i % per_sample));
    }
}

/// Truth: std::int64_t for labels, double for targets, `data.targets()` of them a sample.
template <class Item, class Truth>
Split memory_split(std::span<const Item> samples, std::span<const Truth> truth, const DataSet& data,
                   const std::string& which, Sha256& digest) {
    constexpr bool labelled = std::is_same_v<Truth, std::int64_t>;
    const std::size_t per_sample = labelled ? 1 : data.targets();
    const std::size_t count = truth.size() / per_sample;
    if (truth.size() % per_sample != 0 || samples.size() != count * data.features()) {
        refuse_memory(which + ": expected " + std::to_string(count) + " samples of " +
                      std::to_string(data.features()) + " values, as there are " + (labelled ? "labels" : "targets") +
                      ", found " + std::to_string(samples.size()) + " values");
    }
    if (count > std::numeric_limits<Index>::max()) refuse_memory(which + ": expected fewer than 2^32 samples");
    Split split;
    if constexpr (labelled) {
        split.labels = memory_labels(truth, which);
    } else {
        expect_finite(truth, per_sample, which, "target");
        split.labels.assign(count, 0);
        split.targets.assign(truth.begin(), truth.end());
    }
    if constexpr (std::is_same_v<Item, std::uint8_t>) {
        split.bytes.assign(samples.begin(), samples.end());
    } else {
        expect_finite(samples, data.features(), which, "feature");
        split.floats.assign(samples.begin(), samples.end());
    }
    digest.update(samples.data(), samples.size_bytes());
    digest.update(truth.data(), truth.size_bytes());
    return split;
}

void count_classes(DataSet& data) {
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
}

template <class Item, class Truth>
DataSet dataset_of(std::span<const Item> samples, std::span<const Truth> truth, SampleShape shape,
                   std::span<const Item> test_samples, std::span<const Truth> test_truth, Standardize standardize,
                   const std::vector<std::string>& target_names) {
    constexpr Index max_channels = 4;  // of Samples
    const std::uint64_t pixels = std::uint64_t{shape.height} * shape.width;
    if (pixels == 0 || shape.channels == 0 || shape.channels > max_channels ||
        pixels > std::numeric_limits<Index>::max() / shape.channels) {
        refuse_memory("shape: expected a height and a width from 1, 1 to 4 channels and fewer than 2^32 features, found " +
                      std::to_string(shape.height) + " x " + std::to_string(shape.width) + " x " +
                      std::to_string(shape.channels));
    }
    if (truth.empty()) refuse_memory("training samples: expected at least one, found none");
    DataSet data;
    data.name = "memory";
    data.source = "memory";
    data.height = shape.height;
    data.width = shape.width;
    data.channels = shape.channels;
    data.table = shape.height == 1 && shape.channels == 1;
    data.target_names = target_names;
    Sha256 digest;
    data.train = memory_split(samples, truth, data, "training samples", digest);
    data.test = memory_split(test_samples, test_truth, data, "test samples", digest);
    data.digest = digest.hex();
    if (data.targets() == 0) count_classes(data);
    measure(data, standardize);
    return data;
}

}  // namespace

DataSet make_dataset(std::span<const float> samples, std::span<const std::int64_t> labels, SampleShape shape,
                     std::span<const float> test_samples, std::span<const std::int64_t> test_labels,
                     Standardize standardize) {
    return dataset_of(samples, labels, shape, test_samples, test_labels, standardize, {});
}

DataSet make_dataset(std::span<const std::uint8_t> samples, std::span<const std::int64_t> labels, SampleShape shape,
                     std::span<const std::uint8_t> test_samples, std::span<const std::int64_t> test_labels,
                     Standardize standardize) {
    return dataset_of(samples, labels, shape, test_samples, test_labels, standardize, {});
}

DataSet make_dataset(std::span<const float> samples, std::span<const double> targets, SampleShape shape,
                     std::span<const float> test_samples, std::span<const double> test_targets,
                     Standardize standardize, const std::vector<std::string>& target_names) {
    expects(!target_names.empty(), "a name for each target");
    return dataset_of(samples, targets, shape, test_samples, test_targets, standardize, target_names);
}

DataSet make_dataset(std::span<const std::uint8_t> samples, std::span<const double> targets, SampleShape shape,
                     std::span<const std::uint8_t> test_samples, std::span<const double> test_targets,
                     Standardize standardize, const std::vector<std::string>& target_names) {
    expects(!target_names.empty(), "a name for each target");
    return dataset_of(samples, targets, shape, test_samples, test_targets, standardize, target_names);
}

}  // namespace espalier
