#include "espalier/dataset.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "espalier/error.hpp"
#include "espalier/random.hpp"
#include "host/data/catalog.hpp"
#include "host/data/known_data.hpp"
#include "host/data/numpy_shuffle.hpp"
#include "host/data/own_data.hpp"
#include "host/data/synthetic.hpp"

namespace espalier {

namespace {

constexpr double byte_scale = 1.0 / 255.0;

/// Sums of bytes are exact integers.
std::pair<double, double> byte_moments(const Split& split, std::size_t features, std::size_t first, std::size_t count) {
    std::uint64_t occurrences[256] = {};
    for (std::size_t start = first; start < split.bytes.size(); start += features) {
        for (std::size_t i = 0; i < count; ++i) ++occurrences[split.bytes[start + i]];
    }
    std::uint64_t items = 0, sum = 0, squares = 0;
    for (std::uint64_t value = 0; value < 256; ++value) {
        items += occurrences[value];
        sum += value * occurrences[value];
        squares += value * value * occurrences[value];
    }
    const auto n = static_cast<double>(items);
    const double mean = static_cast<double>(sum) / n;
    return {mean, std::sqrt(std::max(0.0, static_cast<double>(squares) / n - mean * mean))};
}

std::pair<double, double> float_moments(const Split& split, std::size_t features, std::size_t first,
                                        std::size_t count) {
    const auto n = static_cast<double>(count * split.labels.size());
    double sum = 0, squares = 0;
    const auto for_values = [&](auto&& use) {
        for (std::size_t start = first; start < split.floats.size(); start += features) {
            for (std::size_t i = 0; i < count; ++i) use(static_cast<double>(split.floats[start + i]));
        }
    };
    for_values([&](double value) { sum += value; });
    const double mean = sum / n;
    for_values([&](double value) { squares += (value - mean) * (value - mean); });
    return {mean, std::sqrt(squares / n)};
}

/// Mean and deviation of every column, in two passes over the rows.
void measure_columns(DataSet& data) {
    const std::size_t features = data.features();
    const Split& split = data.train;
    const bool bytes = !split.bytes.empty();
    const std::size_t items = bytes ? split.bytes.size() : split.floats.size();
    const double n = split.count();
    const auto value = [&](std::size_t i) {
        return bytes ? static_cast<double>(split.bytes[i]) : static_cast<double>(split.floats[i]);
    };
    std::vector<double> mean(features, 0.0), deviation(features, 0.0);
    for (std::size_t row = 0; row < items; row += features) {
        for (std::size_t f = 0; f < features; ++f) mean[f] += value(row + f);
    }
    for (double& each : mean) each /= n;
    for (std::size_t row = 0; row < items; row += features) {
        for (std::size_t f = 0; f < features; ++f) {
            const double from_mean = value(row + f) - mean[f];
            deviation[f] += from_mean * from_mean;
        }
    }
    for (std::size_t f = 0; f < features; ++f) {
        // the rounding of a constant's mean is no deviation
        const double root = std::sqrt(deviation[f] / n);
        const bool constant = root <= 1e-12 * std::abs(mean[f]);
        data.mean.push_back(mean[f] * data.scale);
        data.deviation.push_back(constant ? 1.0 : root * data.scale);
    }
}

void measure_channels(DataSet& data) {
    const std::size_t count = std::size_t{data.height} * data.width;
    for (std::size_t channel = 0; channel < data.channels; ++channel) {
        const auto [mean, deviation] = data.train.bytes.empty()
                                           ? float_moments(data.train, data.features(), channel * count, count)
                                           : byte_moments(data.train, data.features(), channel * count, count);
        data.mean.push_back(mean * data.scale);
        data.deviation.push_back(deviation > 0 ? deviation * data.scale : 1.0);
    }
}

template <class Item>
void reorder_rows(std::vector<Item>& rows, std::size_t width, const std::vector<std::uint32_t>& order) {
    if (rows.empty()) return;
    std::vector<Item> ordered(rows.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
        std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(order[i] * width), width,
                    ordered.begin() + static_cast<std::ptrdiff_t>(i * width));
    }
    rows = std::move(ordered);
}

/// Sample number i is from now on the one that was number order[i].
void reorder(const DataSet& data, Split& split, const std::vector<std::uint32_t>& order) {
    reorder_rows(split.bytes, data.features(), order);
    reorder_rows(split.floats, data.features(), order);
    reorder_rows(split.labels, 1, order);
    reorder_rows(split.targets, data.targets(), order);
}

void keep_first(const DataSet& data, Split& split, std::uint32_t samples, const char* option) {
    if (samples == 0) return;
    if (samples > split.count()) {
        throw UserError(ExitCode::usage, std::string(option) + " " + std::to_string(samples) + ": " + data.name +
                                             " has only " + std::to_string(split.count()));
    }
    const std::size_t items = std::size_t{samples} * data.features();
    if (!split.bytes.empty()) split.bytes.resize(items);
    if (!split.floats.empty()) split.floats.resize(items);
    split.labels.resize(samples);
    if (!split.targets.empty()) split.targets.resize(std::size_t{samples} * data.targets());
    // what is not asked for is not kept either
    split.bytes.shrink_to_fit();
    split.floats.shrink_to_fit();
    split.labels.shrink_to_fit();
}

void make_synthetic(std::uint32_t train_samples, std::uint32_t test_samples, DataSet& data) {
    data.source = "built in";
    data.digest = synthetic_digest();
    data.height = data.width = synthetic_side;
    data.train = synthetic_split(false, train_samples == 0 ? synthetic_train_samples : train_samples);
    data.test = synthetic_split(true, test_samples == 0 ? synthetic_test_samples : test_samples);
}

void load_by_name(const DataRequest& request, DataSet& data) {
    if (is_own_data(request.name)) {
        load_own_data(request, data);
        return;
    }
    const KnownSet& set = known_set(request.name);
    if (!request.targets.empty()) {
        throw UserError(ExitCode::usage, "targets: " + set.name +
                                             " has classes; real-valued targets are columns of csv:, npy:, npz: or idx:");
    }
    if (request.split > 0) {
        throw UserError(ExitCode::usage,
                        "split: " + set.name + " has test samples of its own; leave --split out");
    }
    data.classes = set.classes;
    data.class_names = set.class_names;
    if (set.format == DataFormat::synthetic) {
        make_synthetic(request.train_samples, request.test_samples, data);
    } else {
        load_known_data(set, request.data_dir, data);
    }
}

void measure_features(DataSet& data, Standardize how) {
    data.scale = data.train.bytes.empty() ? 1.0 : byte_scale;
    if (how == Standardize::automatic) how = data.table ? Standardize::columns : Standardize::channels;
    if (how == Standardize::none) {
        data.mean.assign(data.channels, 0.0);
        data.deviation.assign(data.channels, 1.0);
        return;
    }
    if (how == Standardize::channels && data.mean.size() == data.channels) return;  // published
    data.mean.clear();
    data.deviation.clear();
    if (how == Standardize::columns) {
        measure_columns(data);
    } else {
        measure_channels(data);
    }
}

/// Moments of the training targets, in two passes.
void measure_targets(DataSet& data) {
    const std::size_t count = data.targets();
    if (data.target_mean.size() == count) return;
    const std::vector<double>& values = data.train.targets;
    data.target_mean.assign(count, 0.0);
    data.target_deviation.assign(count, 0.0);
    const double n = data.train.count();
    for (std::size_t i = 0; i < values.size(); ++i) data.target_mean[i % count] += values[i] / n;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double from_mean = values[i] - data.target_mean[i % count];
        data.target_deviation[i % count] += from_mean * from_mean / n;
    }
    for (std::size_t t = 0; t < count; ++t) {
        double& deviation = data.target_deviation[t];
        deviation = std::sqrt(deviation);
        if (!std::isfinite(deviation)) {
            throw UserError(ExitCode::data, data.source + ": target '" + data.target_names[t] +
                                                "' is too large to be squared; expected numbers below 1e150");
        }
        // the rounding of a constant's mean is no deviation
        if (deviation > 1e-12 * std::abs(data.target_mean[t])) continue;
        deviation = 1;
        data.remarks.push_back("warning: the target '" + data.target_names[t] +
                               "' is the same in all training samples");
    }
}

/// The network's own normalisation instead of any measured one.
void take_normalisation(const DataMeaning& network, DataSet& data) {
    if (network.features() != data.features() || network.channels != data.channels) {
        throw UserError(ExitCode::data, data.source + ": expected samples of " + std::to_string(network.height) +
                                            " x " + std::to_string(network.width) + " x " +
                                            std::to_string(network.channels) + ", as the network takes, found " +
                                            std::to_string(data.height) + " x " + std::to_string(data.width) + " x " +
                                            std::to_string(data.channels) + ".");
    }
    const Split& any = data.test.count() > 0 ? data.test : data.train;
    if ((network.scale == byte_scale) != !any.bytes.empty()) {
        data.remarks.push_back(std::string("warning: the network was trained on ") +
                               (any.bytes.empty() ? "unsigned bytes, these are other numbers"
                                                  : "numbers, these are unsigned bytes") +
                               ": they are scaled as the network's were");
    }
    data.scale = network.scale;
    data.mean = network.mean;
    data.deviation = network.deviation;
    data.target_mean = network.target_mean;
    data.target_deviation = network.target_deviation;
}

}  // namespace

std::vector<DataSetInfo> known_datasets() {
    std::vector<DataSetInfo> sets;
    for (const KnownSet& set : catalog()) sets.push_back({set.name, set.summary});
    return sets;
}

bool is_present(const std::string& name, const std::string& data_dir) {
    const KnownSet* set = find_known(name);
    return set != nullptr && (set->files.empty() || locate(*set, data_dir).has_value());
}

DataRequest request_of(const Experiment& experiment) {
    DataRequest request;
    request.name = experiment.dataset;
    request.data_dir = experiment.data_dir;
    request.train_samples = experiment.train_samples;
    request.test_samples = experiment.test_samples;
    request.sample_choice = experiment.sample_choice;
    request.standardize = experiment.standardize;
    request.split = experiment.split;
    request.targets = experiment.targets;
    return request;
}

void measure(DataSet& data, Standardize how) {
    measure_features(data, how);
    measure_targets(data);
}

DataSet load_dataset(const DataRequest& request) {
    DataSet data;
    data.name = request.name;
    load_by_name(request, data);
    if (request.network != nullptr && !request.network->mean.empty()) {
        take_normalisation(*request.network, data);
    } else {
        if (data.train.count() == 0) {
            throw UserError(ExitCode::usage, "dataset: the network does not say how its data were normalised; name "
                                             "its training samples before the test samples");
        }
        measure(data, request.standardize);
    }
    if (request.sample_choice == SampleChoice::numpy) {
        NumpyShuffle shuffle(0);
        reorder(data, data.train, shuffle.order(data.train.count()));
        reorder(data, data.test, shuffle.order(data.test.count()));
    }
    if (data.train.count() > 0) keep_first(data, data.train, request.train_samples, "--train-samples");
    keep_first(data, data.test, request.test_samples, "--test-samples");
    return data;
}

DataSet load_dataset(const std::string& name, const std::string& data_dir, std::uint32_t train_samples,
                     std::uint32_t test_samples) {
    DataRequest request;
    request.name = name;
    request.data_dir = data_dir;
    request.train_samples = train_samples;
    request.test_samples = test_samples;
    return load_dataset(request);
}

UploadedSplit::UploadedSplit(Backend& backend, const DataSet& data, const Split& split) {
    constexpr std::size_t max_channels = std::size(decltype(samples_.factor){});
    const bool by_channel = data.mean.size() == data.channels;
    expects(data.channels >= 1 && data.channels <= max_channels && (by_channel || data.mean.size() == data.features()) &&
                data.deviation.size() == data.mean.size(),
            "one mean and deviation for each of at most 4 channels, or for each feature");
    expects(split.bytes.empty() != split.floats.empty(), "samples as bytes or as floats");
    if (!by_channel) {
        const std::size_t features = data.features();
        std::vector<float> values(split.bytes.empty() ? split.floats.size() : split.bytes.size());
        for (std::size_t i = 0; i < values.size(); ++i) {
            const double value = split.bytes.empty() ? static_cast<double>(split.floats[i]) : split.bytes[i];
            values[i] = static_cast<float>((value * data.scale - data.mean[i % features]) / data.deviation[i % features]);
        }
        floats_ = Buffer<float>::kept(backend, values.data(), values.size());
    } else if (!split.bytes.empty()) {
        bytes_ = Buffer<std::uint8_t>::kept(backend, split.bytes.data(), split.bytes.size());
    } else {
        floats_ = Buffer<float>::kept(backend, split.floats.data(), split.floats.size());
    }
    upload_labels(backend, data, split);
    samples_.bytes = bytes_.data();
    samples_.floats = floats_.data();
    samples_.labels = labels_.data();
    samples_.targets = targets_.data();
    samples_.count = split.count();
    samples_.features = data.features();
    samples_.channels = data.channels;
    for (std::size_t channel = 0; by_channel && channel < data.channels; ++channel) {
        samples_.factor[channel] = static_cast<float>(data.scale / data.deviation[channel]);
        samples_.offset[channel] = static_cast<float>(-data.mean[channel] / data.deviation[channel]);
    }
}

/// Of a regression the labels are the samples' own numbers, rows of the targets.
void UploadedSplit::upload_labels(Backend& backend, const DataMeaning& data, const Split& split) {
    std::vector<std::int32_t> labels = split.labels;
    if (!split.targets.empty()) {
        const std::size_t count = data.targets();
        expects(split.targets.size() == labels.size() * count && data.target_mean.size() == count &&
                    data.target_deviation.size() == count,
                "targets for every sample, with a mean and deviation for each");
        std::vector<float> values(split.targets.size());
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] = static_cast<float>((split.targets[i] - data.target_mean[i % count]) /
                                           data.target_deviation[i % count]);
        }
        targets_ = Buffer<float>::kept(backend, values.data(), values.size());
        std::iota(labels.begin(), labels.end(), 0);
    }
    labels_ = Buffer<std::int32_t>::kept(backend, labels.data(), labels.size());
}

}  // namespace espalier
