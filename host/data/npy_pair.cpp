#include "host/data/npy_pair.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "espalier/error.hpp"
#include "host/data/labels.hpp"
#include "host/formats/npy.hpp"
#include "host/formats/sha256.hpp"

namespace espalier {
namespace {

constexpr std::uint64_t max_channels = 4;

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& expected, const std::string& found) {
    throw UserError(ExitCode::data, path.string() + ": expected " + expected + ", found " + found + ".");
}

std::string shape_text(const NpyArray& array) {
    std::string text = "shape (";
    for (const std::uint64_t extent : array.shape) text += std::to_string(extent) + ",";
    return text + ")";
}

/// Calls `use(i, value)` for every item as the type it has.
template <class Use>
void for_items(const NpyArray& array, Use&& use) {
    const auto walk = [&]<class Item>(Item item) {
        for (std::uint64_t i = 0; i < array.count(); ++i) {
            std::memcpy(&item, array.data.data() + i * sizeof item, sizeof item);
            use(i, item);
        }
    };
    switch (array.type) {
        case NpyType::u1:
            return walk(std::uint8_t{});
        case NpyType::u2:
            return walk(std::uint16_t{});
        case NpyType::u4:
            return walk(std::uint32_t{});
        case NpyType::i4:
            return walk(std::int32_t{});
        case NpyType::i8:
            return walk(std::int64_t{});
        case NpyType::f4:
            return walk(float{});
        case NpyType::f8:
            return walk(double{});
    }
}

/// [n][pixel][channel] to [n][channel][pixel].
template <class Item>
void make_planar(std::vector<Item>& items, std::uint64_t pixels, std::uint64_t channels) {
    std::vector<Item> image(pixels * channels);
    for (auto start = items.begin(); start != items.end(); start += static_cast<std::ptrdiff_t>(image.size())) {
        for (std::uint64_t pixel = 0; pixel < pixels; ++pixel) {
            for (std::uint64_t channel = 0; channel < channels; ++channel) {
                image[channel * pixels + pixel] = start[static_cast<std::ptrdiff_t>(pixel * channels + channel)];
            }
        }
        std::copy(image.begin(), image.end(), start);
    }
}

void read_samples(const std::filesystem::path& path, NpyArray& array, NpySamples& result) {
    const auto& shape = array.shape;
    const std::string expected = "samples as [n][features], [n][height][width] or [n][height][width][1 to 4 channels]";
    if (shape.size() < 2 || shape.size() > 4) refuse(path, expected, shape_text(array));
    std::uint64_t height = 1, width = shape[1], channels = 1;
    bool interleaved = false;
    if (shape.size() == 3) {
        height = shape[1];
        width = shape[2];
    } else if (shape.size() == 4) {
        interleaved = shape[3] <= max_channels;
        channels = interleaved ? shape[3] : shape[1];
        height = interleaved ? shape[1] : shape[2];
        width = interleaved ? shape[2] : shape[3];
    }
    constexpr std::uint64_t most = std::numeric_limits<Index>::max();
    if (array.count() == 0 || channels > max_channels) refuse(path, expected, shape_text(array));
    if (shape[0] > most || array.count() / shape[0] > most) refuse(path, "extents below 2^32", shape_text(array));
    result.height = static_cast<Index>(height);
    result.width = static_cast<Index>(width);
    result.channels = static_cast<Index>(channels);
    if (array.type == NpyType::u1) {
        result.split.bytes = std::move(array.data);
        if (interleaved) make_planar(result.split.bytes, height * width, channels);
        return;
    }
    const std::uint64_t features = array.count() / shape[0];
    result.split.floats.resize(array.count());
    for_items(array, [&](std::uint64_t i, auto value) {
        const auto number = static_cast<float>(value);
        if (!std::isfinite(number)) {
            refuse(path, "finite floats",
                   std::to_string(value) + " in sample " + std::to_string(i / features) + ", feature " +
                       std::to_string(i % features));
        }
        result.split.floats[i] = number;
    });
    if (interleaved) make_planar(result.split.floats, height * width, channels);
}

void read_labels(const std::filesystem::path& path, const NpyArray& array, std::uint64_t samples, NpySamples& result) {
    if (array.type == NpyType::f4 || array.type == NpyType::f8) refuse(path, "labels of an integer type", "floats");
    const bool flat = array.shape.size() == 1 || (array.shape.size() == 2 && array.shape[1] == 1);
    if (!flat || array.shape[0] != samples) {
        refuse(path, "as many labels as samples, shape (" + std::to_string(samples) + ",)", shape_text(array));
    }
    result.split.labels.resize(samples);
    for_items(array, [&](std::uint64_t i, auto value) {
        if (!is_label_value(static_cast<double>(value))) {
            refuse(path, label_range(), std::to_string(value) + " at index " + std::to_string(i));
        }
        result.split.labels[i] = static_cast<std::int32_t>(value);
    });
}

}  // namespace

NpySamples read_npy_pair(const std::filesystem::path& samples, const std::filesystem::path& labels) {
    NpySamples result;
    NpyArray array = read_npy(samples);
    const std::uint64_t count = array.shape.empty() ? 0 : array.shape[0];
    Sha256 digest;
    digest.update(array.digest.data(), array.digest.size());
    read_samples(samples, array, result);
    array = read_npy(labels);
    digest.update(array.digest.data(), array.digest.size());
    read_labels(labels, array, count, result);
    result.digest = digest.hex();
    return result;
}

}  // namespace espalier
