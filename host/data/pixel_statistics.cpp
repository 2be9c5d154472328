#include "host/data/pixel_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "espalier/error.hpp"
#include "espalier/dataset.hpp"
#include "host/formats/npy.hpp"

namespace espalier {
namespace {


PixelMap summed(const std::vector<double>& values, const ImageShape& shape) {
    PixelMap map{shape.height, shape.width, std::vector<double>(std::size_t{shape.height} * shape.width, 0.0)};
    for (std::size_t i = 0; i < values.size(); ++i) map.values[i % map.values.size()] += values[i];
    return map;
}

/// Sums of bytes and of their squares are exact in integers.
void add_bytes(const std::vector<std::uint8_t>& bytes, std::vector<std::uint64_t>& sums,
               std::vector<std::uint64_t>& squares) {
    const std::size_t features = sums.size();
    for (std::size_t row = 0; row < bytes.size(); row += features) {
        for (std::size_t f = 0; f < features; ++f) {
            const std::uint32_t value = bytes[row + f];
            sums[f] += value;
            squares[f] += value * value;
        }
    }
}

}  // namespace

PixelMap PixelStatistics::mean_map() const { return summed(mean, shape); }
PixelMap PixelStatistics::variance_map() const { return summed(variance, shape); }

PixelStatistics pixel_statistics(const DataSet& data) {
    const std::size_t features = data.features();
    const double count = data.train.count();
    expects(features > 0 && count > 0, "a data set with samples");
    PixelStatistics statistics{{data.height, data.width, data.channels},
                               std::vector<double>(features, 0.0),
                               std::vector<double>(features, 0.0)};
    if (!data.train.bytes.empty()) {
        std::vector<std::uint64_t> sums(features, 0), squares(features, 0);
        add_bytes(data.train.bytes, sums, squares);
        for (std::size_t f = 0; f < features; ++f) {
            const double mean = static_cast<double>(sums[f]) / count;
            statistics.mean[f] = mean * data.scale;
            statistics.variance[f] =
                std::max(0.0, static_cast<double>(squares[f]) / count - mean * mean) * data.scale * data.scale;
        }
        return statistics;
    }
    // Welford's method: the squares of floats far from 0 would cancel.
    for (std::size_t i = 0; i < data.train.floats.size(); ++i) {
        const std::size_t f = i % features;
        const double value = data.train.floats[i] * data.scale;
        const double from_mean = value - statistics.mean[f];
        statistics.mean[f] += from_mean / static_cast<double>(i / features + 1);
        statistics.variance[f] += from_mean * (value - statistics.mean[f]);
    }
    for (double& variance : statistics.variance) variance /= count;
    return statistics;
}

void write_pixel_statistics(const std::filesystem::path& path, const PixelStatistics& statistics) {
    std::vector<float> items(statistics.mean.begin(), statistics.mean.end());
    items.insert(items.end(), statistics.variance.begin(), statistics.variance.end());
    const ImageShape& shape = statistics.shape;
    write_npy(path, NpyType::f4, {2, shape.channels, shape.height, shape.width}, items.data());
}

PixelStatistics read_pixel_statistics(const std::filesystem::path& path) {
    const NpyArray array = read_npy(path);
    const auto too_long = [](std::uint64_t side) { return side == 0 || side > std::numeric_limits<Index>::max(); };
    if (array.type != NpyType::f4 || array.shape.size() != 4 || array.shape[0] != 2 ||
        std::any_of(array.shape.begin(), array.shape.end(), too_long)) {
        throw UserError(ExitCode::data,
                        path.string() + ": expected float32 means and variances [2][channels][height][width]");
    }
    std::vector<float> items(array.count());
    std::memcpy(items.data(), array.data.data(), array.data.size());
    PixelStatistics statistics;
    statistics.shape = {static_cast<Index>(array.shape[2]), static_cast<Index>(array.shape[3]),
                        static_cast<Index>(array.shape[1])};
    const auto half = items.begin() + static_cast<std::ptrdiff_t>(items.size() / 2);
    statistics.mean.assign(items.begin(), half);
    statistics.variance.assign(half, items.end());
    return statistics;
}

}  // namespace espalier
