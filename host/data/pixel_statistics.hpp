// What a data set looks like pixel by pixel: mean and variance of every feature over the training samples. A run folder
// keeps them as pixels.npy [2][channels][height][width] (means, variances), so that a report can set learned topology
// beside the data, and knows the image's shape, without the data set.
#pragma once

#include <filesystem>
#include <vector>

#include "espalier/topology_statistics.hpp"

namespace espalier {

struct DataSet;

struct PixelStatistics {
    ImageShape shape;
    std::vector<double> mean, variance;  // [channels][height][width], of the values scaled but not normalised

    /// Summed over the channels; the variance of a colour pixel is the sum of its channels' variances.
    [[nodiscard]] PixelMap mean_map() const;
    [[nodiscard]] PixelMap variance_map() const;
};

/// Over all training samples; population variance.
PixelStatistics pixel_statistics(const DataSet& data);

/// Writes such a file. Throws UserError (io).
void write_pixel_statistics(const std::filesystem::path& path, const PixelStatistics& statistics);

/// Reads it back. Throws UserError (data) with file, expected and found.
PixelStatistics read_pixel_statistics(const std::filesystem::path& path);

}  // namespace espalier
