#include "host/data/known_data.hpp"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "espalier/error.hpp"
#include "host/data/arrays.hpp"
#include "host/data/cifar.hpp"
#include "host/data/idx.hpp"
#include "host/data/own_data.hpp"

namespace espalier {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void refuse_known(const std::string& fault) { throw UserError(ExitCode::data, fault); }

void take_labels(const KnownSet& set, const NpyArray& labels, const fs::path& path, const std::string& mend,
                 Split& split) {
    split.labels.reserve(labels.count());
    const int last = set.first_label + static_cast<int>(set.classes) - 1;
    const std::size_t item = item_size(labels.type);
    for_items(labels, [&](std::uint64_t i, auto value) {
        const auto label = static_cast<double>(value);
        if (!(label >= set.first_label && label <= last) || label != static_cast<double>(static_cast<int>(label))) {
            refuse_known(path.string() + ": at byte " + std::to_string(8 + i * item) + " expected a label from " +
                         std::to_string(set.first_label) + " to " + std::to_string(last) + ", found " +
                         std::to_string(value) + ". " + mend);
        }
        split.labels.push_back(static_cast<std::int32_t>(label) - set.first_label);
    });
}

/// Reads images and labels of one split, files `first` and the next; returns their height and width.
std::pair<Index, Index> read_idx_split(const KnownSet& set, SetFiles& files, std::size_t first, const std::string& mend,
                                       Split& split, std::vector<std::string>& digests) {
    const auto image_file = files.open(first, InputFile::deflate_expansion);
    const auto label_file = files.open(first + 1, InputFile::deflate_expansion);
    const fs::path &image_path = image_file->path(), &label_path = label_file->path();
    NpyArray images = read_idx(*image_file, 3);
    const NpyArray labels = read_idx(*label_file, 1);
    if (images.shape[0] != labels.shape[0]) {
        refuse_known(label_path.string() + ": at byte 4 expected " + std::to_string(images.shape[0]) + " labels, as " +
                     image_path.filename().string() + " has images, found " + std::to_string(labels.shape[0]) + ". " +
                     mend);
    }
    const std::uint64_t pixels = images.shape[1] * images.shape[2];
    if (pixels > std::numeric_limits<Index>::max()) {
        refuse_known(image_path.string() + ": at byte 8 expected images below 2^32 pixels, found " +
                     std::to_string(pixels) + ". " + mend);
    }
    take_labels(set, labels, label_path, mend, split);
    digests.push_back(images.digest);
    digests.push_back(labels.digest);
    ArraySamples samples = samples_of(std::move(images), image_path.string());
    split.bytes = std::move(samples.bytes);
    split.floats = std::move(samples.floats);
    return {samples.height, samples.width};
}

/// Images [height][width] stored as [width][height].
template <class Item>
void transpose_images(std::vector<Item>& items, Index height, Index width) {
    std::vector<Item> image(std::size_t{height} * width);
    for (std::size_t start = 0; start < items.size(); start += image.size()) {
        Item* pixels = items.data() + start;
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
                refuse_known(folder.string() + ": expected the files of " + set.name + ", found those of " +
                             other.name + ". Name the folder that holds " + set.name + " with --data-dir.");
            }
        }
    }
}

/// Other bytes than the published ones are read, but not without a word.
void warn_of_unpublished(const KnownSet& set, const std::vector<std::string>& digests, const FoundFiles& found,
                         DataSet& data) {
    std::string names;
    for (std::size_t i = 0; i < set.files.size(); ++i) {
        if (set.files[i].digest.empty() || set.files[i].digest == digests[i]) continue;
        names += (names.empty() ? "" : ", ") + found.files[i].filename().string();
    }
    if (names.empty()) return;
    data.remarks.push_back("warning: " + names + " in " + found.folder.string() + " differ from the published " +
                           set.name + " (SHA-256; espalier data verify " + set.name +
                           "): figures are not comparable with those of others");
}

void load_idx(const KnownSet& set, const FoundFiles& found, const std::string& mend, DataSet& data) {
    std::vector<std::string> digests;
    SetFiles files(set, found, mend);
    const auto shape = read_idx_split(set, files, 0, mend, data.train, digests);
    const auto test_shape = read_idx_split(set, files, 2, mend, data.test, digests);
    if (test_shape != shape || data.train.bytes.empty() != data.test.bytes.empty()) {
        refuse_known(found.files[2].string() + ": at byte 8 expected images of " + std::to_string(shape.first) +
                     " x " + std::to_string(shape.second) + " as for training, found " +
                     std::to_string(test_shape.first) + " x " + std::to_string(test_shape.second) +
                     (test_shape == shape ? " of another type" : "") + ". " + mend);
    }
    expect_not_another(set, digests, found.folder);
    std::tie(data.height, data.width) = shape;
    if (set.transposed) {
        std::swap(data.height, data.width);
        for (Split* split : {&data.train, &data.test}) {
            transpose_images(split->bytes, data.height, data.width);
            transpose_images(split->floats, data.height, data.width);
        }
    }
    warn_of_unpublished(set, digests, found, data);
    data.digest = digest_over(digests);
}

void load_cifar(const KnownSet& set, const FoundFiles& found, const std::string& mend, DataSet& data) {
    std::vector<std::string> digests;
    SetFiles files(set, found, mend);
    for (std::size_t i = 0; i < found.files.size(); ++i) {
        const auto file = files.open(i, InputFile::unpromised_expansion);
        digests.push_back(append_cifar(*file, i + 1 == found.files.size() ? data.test : data.train));
    }
    data.height = data.width = 32;
    data.channels = 3;
    warn_of_unpublished(set, digests, found, data);
    data.digest = digest_over(digests);
}

}  // namespace

SetFiles::SetFiles(const KnownSet& set, const FoundFiles& found, std::string remedy)
    : found_(found), remedy_(std::move(remedy)) {
    if (found.archive.empty()) return;
    if (set.archive.name.ends_with(".zip")) {
        zip_.emplace(found.archive, remedy_);
        return;
    }
    std::vector<std::string> names;
    for (const fs::path& file : found.files) names.push_back(file.generic_string());
    tar_ = read_tar(found.archive, names, remedy_);
}

std::unique_ptr<InputFile> SetFiles::open(std::size_t number, std::uint64_t expansion) {
    const fs::path& file = found_.files[number];
    if (found_.archive.empty()) return std::make_unique<InputFile>(file, remedy_, expansion);
    const std::string name = file.generic_string();
    const fs::path shown = found_.archive / file;
    if (zip_.has_value()) {
        const bool packed = !zip_->contains(name);
        return std::make_unique<InputFile>(shown, zip_->read(packed ? name + ".gz" : name), remedy_, expansion);
    }
    const auto member = tar_.find(name);
    if (member == tar_.end()) {
        refuse_known(found_.archive.string() + ": expected a member '" + name + "', found none. " + remedy_);
    }
    return std::make_unique<InputFile>(shown, std::move(member->second), remedy_, expansion);
}

void load_known_data(const KnownSet& set, const std::string& data_dir, DataSet& data) {
    const auto found = locate(set, data_dir);
    if (!found) refuse_missing(set, data_dir);
    const std::string mend = remedy(set, data_dir);
    data.source = (found->archive.empty() ? found->folder : found->archive).string();
    if (set.format == DataFormat::idx) load_idx(set, *found, mend, data);
    if (set.format == DataFormat::cifar) load_cifar(set, *found, mend, data);
    // the published constants are those of bytes
    if (!data.train.bytes.empty()) {
        data.mean = set.mean;
        data.deviation = set.deviation;
    }
}

}  // namespace espalier
