#include "host/rbm/pictures.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "espalier/activation.hpp"
#include "espalier/dataset.hpp"
#include "host/data/pixel_statistics.hpp"
#include "host/formats/heat_map.hpp"
#include "host/models/rbm.hpp"
#include "host/rbm/annealed_importance_sampling.hpp"

namespace espalier {
namespace {

constexpr Index images_across = 10;
constexpr Index border = 1;
constexpr std::uint8_t border_colour = 255;

/// Images of one shape side by side.
class Sheet {
public:
    Sheet(Index height, Index width, std::size_t count)
        : height_(height), width_(width), across_(static_cast<Index>(std::min<std::size_t>(count, images_across))) {
        const auto down = static_cast<Index>((count + across_ - 1) / across_);
        image_.height = down * (height + border) + border;
        image_.width = across_ * (width + border) + border;
        image_.pixels.assign(std::size_t{image_.height} * image_.width, border_colour);
    }
    /// `pixel(i)` in [0, 1], row by row.
    template <class Pixel>
    void put(std::size_t number, const Pixel& pixel) {
        const auto top = static_cast<Index>(number / across_) * (height_ + border) + border;
        const auto left = static_cast<Index>(number % across_) * (width_ + border) + border;
        for (Index y = 0; y < height_; ++y) {
            for (Index x = 0; x < width_; ++x) {
                const double value = std::clamp(static_cast<double>(pixel(std::size_t{y} * width_ + x)), 0.0, 1.0);
                image_.pixels[std::size_t{top + y} * image_.width + left + x] =
                    static_cast<std::uint8_t>(std::lround(254 * value));
            }
        }
    }
    void write(const std::filesystem::path& path, const Palette& palette) const { write_png(path, image_, palette); }

private:
    Index height_, width_, across_;
    IndexedImage image_;
};

/// 0 to 254 from black to white, then the colour of the borders.
Palette grey() {
    Palette palette;
    for (std::size_t i = 0; i < 255; ++i) {
        const auto level = static_cast<std::uint8_t>(i * 255 / 254);
        palette[i] = {level, level, level};
    }
    palette[border_colour] = {90, 90, 120};
    return palette;
}

/// 0 to 254 from blue over white to red, then the colour of the borders.
Palette diverging() {
    Palette palette;
    for (int i = 0; i < 255; ++i) {
        const int from_middle = std::abs(i - 127);
        const auto faded = static_cast<std::uint8_t>(255 - 2 * from_middle);
        palette[static_cast<std::size_t>(i)] = i < 127 ? Colour{faded, faded, 255} : Colour{255, faded, faded};
    }
    palette[border_colour] = {120, 120, 120};
    return palette;
}

void draw_receptive_fields(const std::filesystem::path& path, const RbmParameters& machine, const DataSet& data) {
    const auto& edges = machine.by_hidden;
    const auto degree = [&](std::size_t j) { return edges.start[j + 1] - edges.start[j]; };
    std::vector<std::size_t> units(machine.num_hidden);
    std::iota(units.begin(), units.end(), 0);
    std::stable_sort(units.begin(), units.end(), [&](std::size_t a, std::size_t b) { return degree(a) > degree(b); });
    units.resize(std::min<std::size_t>(units.size(), 100));
    Sheet sheet(data.height, data.width, units.size());
    std::vector<double> field(machine.num_visible);
    for (std::size_t n = 0; n < units.size(); ++n) {
        std::fill(field.begin(), field.end(), 0.0);
        double largest = 1e-30;
        for (EdgeIndex e = edges.start[units[n]]; e < edges.start[units[n] + 1]; ++e) {
            field[edges.other[e]] = edges.weight[e];
            largest = std::max(largest, std::abs(edges.weight[e]));
        }
        sheet.put(n, [&](std::size_t i) { return 0.5 + 0.5 * field[i] / largest; });
    }
    sheet.write(path, diverging());
}

void draw_reconstructions(const std::filesystem::path& path, const RbmParameters& machine, const DataSet& data) {
    const std::size_t count = std::min<std::size_t>(rbm_lanes, std::min<std::size_t>(data.test.count(), images_across));
    std::vector<double> visible(std::size_t{machine.num_visible} * rbm_lanes);
    std::vector<double> hidden(std::size_t{machine.num_hidden} * rbm_lanes);
    const auto probabilities = [](std::vector<double>& fields) {
        for (double& each : fields) each = static_cast<double>(Sigmoid{}.value(static_cast<float>(each)));
    };
    Sheet sheet(data.height, data.width, 2 * images_across);
    for (std::size_t s = 0; s < count; ++s) {
        for (std::size_t i = 0; i < machine.num_visible; ++i) {
            const std::size_t at = s * machine.num_visible + i;
            const double value = data.test.bytes.empty() ? data.test.floats[at] : data.test.bytes[at];
            visible[i * rbm_lanes + s] = value * data.scale;
        }
        sheet.put(s, [&](std::size_t i) { return visible[i * rbm_lanes + s]; });
    }
    rbm_fields(machine.by_hidden, machine.hidden_bias, visible.data(), hidden.data());
    probabilities(hidden);
    rbm_fields(machine.by_visible, machine.visible_bias, hidden.data(), visible.data());
    probabilities(visible);
    for (std::size_t s = 0; s < count; ++s) {
        sheet.put(images_across + s, [&](std::size_t i) { return visible[i * rbm_lanes + s]; });
    }
    sheet.write(path, grey());
}

}  // namespace

void write_rbm_pictures(const RbmPictures& files, const Network& network, const DataSet& data, std::uint64_t seed,
                        int threads) {
    if (data.height == 1 || data.channels != 1) return;
    const RbmParameters machine = rbm_parameters(network);
    draw_receptive_fields(files.receptive_fields, machine, data);
    draw_reconstructions(files.reconstructions, machine, data);
    AnnealingOptions options{100, 200, seed, base_biases(pixel_statistics(data).mean, data.train.count()), threads};
    const std::vector<float> samples = sample_machine(machine, options, 100);
    Sheet sheet(data.height, data.width, options.chains);
    for (std::size_t s = 0; s < options.chains; ++s) {
        sheet.put(s, [&](std::size_t i) { return samples[s * machine.num_visible + i]; });
    }
    sheet.write(files.samples, grey());
}

}  // namespace espalier
