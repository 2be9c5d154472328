// A made-up run written by the recorder itself: SparseNet-like layers whose first one drifts towards (or away from) the
// image's centre, losses that fall, and optionally the data's pixel statistics and a network file.
#pragma once

#include <filesystem>
#include <string>

#include "espalier/topology_statistics.hpp"

namespace espalier {

struct RecordedRunOptions {
    std::uint32_t epochs = 6;
    ImageShape image{12, 12, 1};
    std::string more_config = "";  // lines added to config.toml
    std::uint64_t seed = 1;
    double drift = 0.5;  // share of the edges that end in the centre, beyond chance; negative: in the margin
    Index outputs = 40;
    EdgeIndex num_edges = 900;  // of the first layer
    bool pixels = true;
    bool network = true;
    bool lifetimes = false;       // with records of edges and weights
    std::uint32_t every = 1;      // epochs between records
    double samples_an_epoch = 0;  // that its speed tells
};

/// Writes the folder; returns its path.
std::filesystem::path record_run(const std::filesystem::path& folder, const RecordedRunOptions& options);

/// The first layer's degrees that record_run() writes for a moment (0: birth).
std::vector<EdgeIndex> recorded_degrees(const RecordedRunOptions& options, std::uint32_t moment);

}  // namespace espalier
