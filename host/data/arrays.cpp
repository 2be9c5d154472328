#include "host/data/arrays.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "espalier/error.hpp"
#include "host/data/csv_fields.hpp"

namespace espalier {
namespace {

constexpr std::uint64_t max_channels = 4;

[[noreturn]] void refuse_array(const std::string& where, const std::string& expected, const std::string& found) {
    throw UserError(ExitCode::data, where + ": expected " + expected + ", found " + found + ".");
}

std::string shape_of_array(const NpyArray& array) {
    std::string text = "shape (";
    for (const std::uint64_t extent : array.shape) text += std::to_string(extent) + ",";
    return text + ")";
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

/// Fills in the shape; true if an image's channels lie innermost.
bool read_shape(const NpyArray& array, const std::string& where, ArraySamples& samples) {
    const auto& shape = array.shape;
    const std::string expected =
        "samples as [n][features], [n][height][width], [n][height][width][1 to 4 channels] or [n][1 to 4 "
        "channels][height][width]";
    if (shape.size() < 2 || shape.size() > 4) refuse_array(where, expected, shape_of_array(array));
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
    if (array.count() == 0 || channels > max_channels) refuse_array(where, expected, shape_of_array(array));
    if (shape[0] > most || array.count() / shape[0] > most) {
        refuse_array(where, "extents below 2^32", shape_of_array(array));
    }
    samples.count = shape[0];
    samples.height = static_cast<Index>(height);
    samples.width = static_cast<Index>(width);
    samples.channels = static_cast<Index>(channels);
    samples.table = shape.size() == 2;
    return interleaved;
}

/// True if every row of [n][k] has one 1 and zeros beside it.
void read_one_hot(const NpyArray& array, const std::string& where, LabelTable& table) {
    const std::uint64_t classes = array.shape[1];
    const std::string expected = "labels as [n] whole numbers or as [n][classes] one-hot";
    if (classes > max_classes) refuse_array(where, expected, shape_of_array(array));
    for (std::uint64_t c = 0; c < classes; ++c) table.names.push_back(std::to_string(c));
    table.codes.assign(array.shape[0], -1);
    for_items(array, [&](std::uint64_t i, auto value) {
        if (value == 0) return;
        std::int32_t& code = table.codes[i / classes];
        if (static_cast<double>(value) != 1 || code >= 0) {
            refuse_array(where, expected,
                         "row " + std::to_string(i / classes) + " with " +
                             (code >= 0 ? "two numbers other than 0" : std::to_string(value)));
        }
        code = static_cast<std::int32_t>(i % classes);
    });
    const auto none = std::find(table.codes.begin(), table.codes.end(), -1);
    if (none != table.codes.end()) {
        refuse_array(where, expected, "row " + std::to_string(none - table.codes.begin()) + " of zeros");
    }
}

LabelTable text_labels(const NpyArray& array, bool flat, const std::string& where) {
    if (!flat) refuse_array(where, "texts as [n] or [n][1]", shape_of_array(array));
    LabelCollector labels;
    for (std::size_t i = 0; i < array.texts.size(); ++i) {
        const std::string name = as_utf8(array.texts[i]);
        if (is_missing(name)) refuse_array(where, "a label", "a missing one ('" + name + "') at index " + std::to_string(i));
        if (!labels.add(name, i)) {
            refuse_array(where, "labels of at most " + std::to_string(max_classes) + " classes",
                         "more, the next at index " + std::to_string(i));
        }
    }
    return labels.take();
}

}  // namespace

std::string ArraySamples::shape_text() const {
    return std::to_string(height) + " x " + std::to_string(width) + " x " + std::to_string(channels) +
           (bytes.empty() ? " numbers" : " bytes");
}

ArraySamples samples_of(NpyArray array, const std::string& where) {
    if (array.type == NpyType::text) refuse_array(where, "numbers", "texts");
    ArraySamples samples;
    const bool interleaved = read_shape(array, where, samples);
    const std::uint64_t pixels = std::uint64_t{samples.height} * samples.width;
    if (array.type == NpyType::u1) {
        samples.bytes = std::move(array.data);
        if (interleaved) make_planar(samples.bytes, pixels, samples.channels);
        return samples;
    }
    const std::uint64_t features = array.count() / samples.count;
    samples.floats.resize(array.count());
    for_items(array, [&](std::uint64_t i, auto value) {
        const auto number = static_cast<float>(value);
        if (!std::isfinite(number)) {
            refuse_array(where, "finite numbers that a float can hold",
                         std::to_string(value) + " in sample " + std::to_string(i / features) + ", feature " +
                             std::to_string(i % features));
        }
        samples.floats[i] = number;
    });
    if (interleaved) make_planar(samples.floats, pixels, samples.channels);
    return samples;
}

LabelTable labels_of(const NpyArray& array, std::uint64_t samples, const std::string& where) {
    const bool flat = array.shape.size() == 1 || (array.shape.size() == 2 && array.shape[1] == 1);
    if ((!flat && array.shape.size() != 2) || array.shape[0] != samples) {
        refuse_array(where, "as many labels as samples, shape (" + std::to_string(samples) + ",)",
                     shape_of_array(array));
    }
    if (array.type == NpyType::text) return text_labels(array, flat, where);
    LabelTable table;
    if (!flat) {
        read_one_hot(array, where, table);
        return table;
    }
    LabelCollector labels;
    labels.reserve(samples);
    for_items(array, [&](std::uint64_t i, auto value) {
        const auto name = label_name(static_cast<double>(value));
        if (!name) {
            refuse_array(where, "labels that are whole numbers (--targets takes real values)",
                         std::to_string(value) + " at index " + std::to_string(i));
        }
        if (!labels.add(*name, i)) {
            refuse_array(where, "labels of at most " + std::to_string(max_classes) + " classes",
                         "more, the next at index " + std::to_string(i));
        }
    });
    return labels.take();
}

}  // namespace espalier
