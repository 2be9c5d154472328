#include "espalier/dataset.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "espalier/error.hpp"
#include "espalier/number_text.hpp"
#include "host/data/catalog.hpp"
#include "host/data/cifar.hpp"
#include "host/data/csv.hpp"
#include "host/data/idx.hpp"
#include "host/data/npy_pair.hpp"
#include "host/formats/sha256.hpp"
#include "host/data/synthetic.hpp"

namespace espalier {

namespace fs = std::filesystem;

namespace {

constexpr double byte_scale = 1.0 / 255.0;

[[noreturn]] void refuse(const std::string& fault) { throw UserError(ExitCode::data, fault); }

// ---- the MNIST family

/// Reads images and labels of one split; returns their height and width.
std::pair<Index, Index> read_idx_split(const KnownSet& set, const fs::path& image_path, const fs::path& label_path,
                                       const std::string& mend, Split& split, std::vector<std::string>& digests) {
    IdxArray images = read_idx(image_path, 3, mend);
    const IdxArray labels = read_idx(label_path, 1, mend);
    if (images.shape[0] != labels.shape[0]) {
        refuse(label_path.string() + ": at byte 4 expected " + std::to_string(images.shape[0]) + " labels, as " +
               image_path.filename().string() + " has images, found " + std::to_string(labels.shape[0]) + ". " + mend);
    }
    const std::uint64_t pixels = std::uint64_t{images.shape[1]} * images.shape[2];
    if (pixels > std::numeric_limits<Index>::max()) {
        refuse(image_path.string() + ": at byte 8 expected images below 2^32 pixels, found " + std::to_string(pixels) +
               ". " + mend);
    }
    split.labels.reserve(labels.items.size());
    for (std::size_t i = 0; i < labels.items.size(); ++i) {
        const int label = labels.items[i] - set.first_label;
        if (label < 0 || label >= static_cast<int>(set.classes)) {
            refuse(label_path.string() + ": at byte " + std::to_string(8 + i) + " expected a label from " +
                   std::to_string(set.first_label) + " to " +
                   std::to_string(set.first_label + static_cast<int>(set.classes) - 1) + ", found " +
                   std::to_string(labels.items[i]) + ". " + mend);
        }
        split.labels.push_back(label);
    }
    digests.push_back(images.digest);
    digests.push_back(labels.digest);
    split.bytes = std::move(images.items);
    return {images.shape[1], images.shape[2]};
}

/// Images [height][width] stored as [width][height].
void transpose_images(Split& split, Index height, Index width) {
    std::vector<std::uint8_t> image(std::size_t{height} * width);
    for (std::size_t start = 0; start < split.bytes.size(); start += image.size()) {
        std::uint8_t* pixels = split.bytes.data() + start;
        for (std::size_t y = 0; y < height; ++y) {
            for (std::size_t x = 0; x < width; ++x) image[y * width + x] = pixels[x * height + y];
        }
        std::copy(image.begin(), image.end(), pixels);
    }
}

/// MNIST and Fashion-MNIST name their files alike; the digests tell them apart.
void expect_not_another(const KnownSet& set, const std::vector<std::string>& digests, const fs::path& folder) {
    for (const KnownSet& other : catalog()) {
        if (other.name == set.name || other.files.size() != digests.size()) continue;
        for (std::size_t i = 0; i < digests.size(); ++i) {
            if (!digests[i].empty() && digests[i] == other.files[i].digest) {
                refuse(folder.string() + ": expected the files of " + set.name + ", found those of " + other.name +
                       ". Name the folder that holds " + set.name + " with --data-dir.");
            }
        }
    }
}

std::string over_all(const std::vector<std::string>& digests) {
    Sha256 digest;
    for (const std::string& each : digests) digest.update(each.data(), each.size());
    return digest.hex();
}

void load_idx(const KnownSet& set, const FoundFiles& found, const std::string& mend, DataSet& data) {
    std::vector<std::string> digests;
    const auto shape = read_idx_split(set, found.files[0], found.files[1], mend, data.train, digests);
    const auto test_shape = read_idx_split(set, found.files[2], found.files[3], mend, data.test, digests);
    if (test_shape != shape) {
        refuse(found.files[2].string() + ": at byte 8 expected images of " + std::to_string(shape.first) + " x " +
               std::to_string(shape.second) + " as for training, found " + std::to_string(test_shape.first) + " x " +
               std::to_string(test_shape.second) + ". " + mend);
    }
    expect_not_another(set, digests, found.folder);
    std::tie(data.height, data.width) = shape;
    if (set.transposed) {
        std::swap(data.height, data.width);
        for (Split* split : {&data.train, &data.test}) transpose_images(*split, data.height, data.width);
    }
    data.digest = over_all(digests);
}

void load_cifar(const FoundFiles& found, const std::string& mend, DataSet& data) {
    std::vector<std::string> digests;
    for (const fs::path& path : found.files) {
        digests.push_back(append_cifar(path, path == found.files.back() ? data.test : data.train, mend));
    }
    data.height = data.width = 32;
    data.channels = 3;
    data.digest = over_all(digests);
}

// ---- a user's own files

std::vector<std::string> comma_list(std::string_view text) {
    std::vector<std::string> parts;
    for (;;) {
        const auto comma = text.find(',');
        parts.emplace_back(text.substr(0, comma));
        if (comma == std::string_view::npos) return parts;
        text.remove_prefix(comma + 1);
    }
}

/// As given, or below --data-dir.
fs::path own_file(const std::string& name, const std::string& data_dir) {
    const fs::path path(name);
    std::error_code unreadable;
    return data_dir.empty() || path.is_absolute() || fs::exists(path, unreadable) ? path : data_dir / path;
}

LabelColumn parse_label_column(std::string_view text) {
    if (text == "last") return std::nullopt;
    if (text == "first") return 1;
    const auto column = number_from<std::size_t>(text).value_or(0);
    if (column == 0) {
        throw UserError(ExitCode::usage,
                        "csv: label=" + std::string(text) + " is none of first, last or a column from 1");
    }
    return column;
}

/// The paths of "csv:..." or "npy:..."; `options` are the parts with an equals sign.
std::vector<fs::path> own_files(const std::string& name, const std::string& data_dir, std::size_t expected,
                                const std::string& form, std::vector<std::string>& options) {
    std::vector<fs::path> paths;
    for (const std::string& part : comma_list(std::string_view(name).substr(4))) {
        if (paths.size() == expected && part.starts_with("label=")) {
            options.push_back(part);
        } else if (!part.empty()) {
            paths.push_back(own_file(part, data_dir));
        }
    }
    if (paths.size() != expected) {
        throw UserError(ExitCode::usage, "data set '" + name + "': expected " + form + " (" + std::to_string(expected) +
                                             " files with commas between), found " + std::to_string(paths.size()));
    }
    return paths;
}

/// Classes are counted on the training split; the test split must keep to them.
void count_classes(DataSet& data, const fs::path& test_labels) {
    const auto largest = [](const Split& split) { return *std::max_element(split.labels.begin(), split.labels.end()); };
    data.classes = static_cast<Index>(largest(data.train)) + 1;
    if (largest(data.test) >= static_cast<std::int32_t>(data.classes)) {
        refuse(test_labels.string() + ": expected labels from 0 to " + std::to_string(data.classes - 1) +
               " as for training, found " + std::to_string(largest(data.test)) + ".");
    }
}

constexpr const char* csv_form = "csv:TRAIN,TEST[,label=first|last|COLUMN]";
constexpr const char* npy_form = "npy:TRAIN_X,TRAIN_Y,TEST_X,TEST_Y";

void load_csv(const std::string& name, const std::string& data_dir, DataSet& data) {
    std::vector<std::string> options;
    const auto paths = own_files(name, data_dir, 2, csv_form, options);
    const LabelColumn label =
        parse_label_column(options.empty() ? "first" : std::string_view(options.back()).substr(6));
    CsvTable train = read_csv(paths[0], label);
    CsvTable test = read_csv(paths[1], label);
    if (test.features != train.features) {
        refuse(paths[1].string() + ": expected " + std::to_string(train.features + 1) + " columns as in " +
               paths[0].string() + ", found " + std::to_string(test.features + 1) + ".");
    }
    data.source = paths[0].string();
    data.train = std::move(train.split);
    data.test = std::move(test.split);
    data.height = 1;
    data.width = train.features;
    data.digest = over_all({train.digest, test.digest});
    count_classes(data, paths[1]);
}

void load_npy(const std::string& name, const std::string& data_dir, DataSet& data) {
    std::vector<std::string> options;
    const auto paths = own_files(name, data_dir, 4, npy_form, options);
    if (!options.empty())
        throw UserError(ExitCode::usage, "data set '" + name + "': " + options[0] + " is for csv only");
    NpySamples train = read_npy_pair(paths[0], paths[1]);
    NpySamples test = read_npy_pair(paths[2], paths[3]);
    const auto shape_text = [](const NpySamples& samples) {
        return std::to_string(samples.height) + " x " + std::to_string(samples.width) + " x " +
               std::to_string(samples.channels) + (samples.split.bytes.empty() ? " numbers" : " bytes");
    };
    if (shape_text(train) != shape_text(test)) {
        refuse(paths[2].string() + ": expected samples of " + shape_text(train) + " as for training, found " +
               shape_text(test) + ".");
    }
    data.source = paths[0].string();
    data.train = std::move(train.split);
    data.test = std::move(test.split);
    data.height = train.height;
    data.width = train.width;
    data.channels = train.channels;
    data.digest = over_all({train.digest, test.digest});
    count_classes(data, paths[3]);
}

// ---- normalisation

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

/// Mean and deviation of each channel of the training split; a constant channel keeps deviation 1.
void measure(DataSet& data) {
    data.scale = data.train.bytes.empty() ? 1.0 : byte_scale;
    if (!data.mean.empty()) return;
    const std::size_t count = std::size_t{data.height} * data.width;
    for (std::size_t channel = 0; channel < data.channels; ++channel) {
        const auto [mean, deviation] = data.train.bytes.empty()
                                           ? float_moments(data.train, data.features(), channel * count, count)
                                           : byte_moments(data.train, data.features(), channel * count, count);
        data.mean.push_back(mean * data.scale);
        data.deviation.push_back(deviation > 0 ? deviation * data.scale : 1.0);
    }
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
}

void make_synthetic(std::uint32_t train_samples, std::uint32_t test_samples, DataSet& data) {
    data.source = "built in";
    data.digest = synthetic_digest();
    data.height = data.width = synthetic_side;
    data.train = synthetic_split(false, train_samples == 0 ? synthetic_train_samples : train_samples);
    data.test = synthetic_split(true, test_samples == 0 ? synthetic_test_samples : test_samples);
}

void load_known(const KnownSet& set, const std::string& data_dir, DataSet& data) {
    const auto found = locate(set, data_dir);
    if (!found) refuse_missing(set, data_dir);
    const std::string mend = remedy(set, data_dir);
    data.source = found->folder.string();
    if (set.format == DataFormat::idx) load_idx(set, *found, mend, data);
    if (set.format == DataFormat::cifar) load_cifar(*found, mend, data);
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

DataSet load_dataset(const std::string& name, const std::string& data_dir, std::uint32_t train_samples,
                     std::uint32_t test_samples) {
    DataSet data;
    data.name = name;
    if (name.starts_with("csv:")) {
        load_csv(name, data_dir, data);
    } else if (name.starts_with("npy:")) {
        load_npy(name, data_dir, data);
    } else {
        const KnownSet& set = known_set(name);
        data.classes = set.classes;
        data.mean = set.mean;
        data.deviation = set.deviation;
        if (set.format == DataFormat::synthetic) {
            make_synthetic(train_samples, test_samples, data);
        } else {
            load_known(set, data_dir, data);
        }
    }
    measure(data);
    keep_first(data, data.train, train_samples, "--train-samples");
    keep_first(data, data.test, test_samples, "--test-samples");
    return data;
}

UploadedSplit::UploadedSplit(Backend& backend, const DataSet& data, const Split& split) {
    constexpr std::size_t max_channels = std::size(decltype(samples_.factor){});
    expects(data.channels >= 1 && data.channels <= max_channels && data.mean.size() == data.channels &&
                data.deviation.size() == data.channels,
            "one mean and deviation for each of at most 4 channels");
    expects(split.bytes.empty() != split.floats.empty(), "samples as bytes or as floats");
    if (!split.bytes.empty()) {
        bytes_ = Buffer<std::uint8_t>(backend, split.bytes.size());
        bytes_.upload(split.bytes.data());
    } else {
        floats_ = Buffer<float>(backend, split.floats.size());
        floats_.upload(split.floats.data());
    }
    labels_ = Buffer<std::int32_t>(backend, split.labels.size());
    labels_.upload(split.labels.data());
    samples_.bytes = bytes_.data();
    samples_.floats = floats_.data();
    samples_.labels = labels_.data();
    samples_.count = split.count();
    samples_.features = data.features();
    samples_.channels = data.channels;
    for (std::size_t channel = 0; channel < data.channels; ++channel) {
        samples_.factor[channel] = static_cast<float>(data.scale / data.deviation[channel]);
        samples_.offset[channel] = static_cast<float>(-data.mean[channel] / data.deviation[channel]);
    }
}

}  // namespace espalier
