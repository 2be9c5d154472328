// A run folder read back: what the recorder wrote, checked against itself. Whatever is missing, cut off or of another
// version is a UserError naming file and reason; a run still in progress (no network file yet) reads fine.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "espalier/experiment.hpp"
#include "espalier/layer.hpp"
#include "espalier/topology_statistics.hpp"
#include "host/data/pixel_statistics.hpp"
#include "host/formats/npy.hpp"

namespace espalier {

/// Degrees of one side of a sparse layer at every recorded moment: 0 is the new network, m > 0 comes after record m's
/// evolution. (What a record holds as "before" equals the moment before it.)
class DegreeRecord {
public:
    /// Reads [records][2][neurons]. Throws UserError (data) with file, expected and found.
    DegreeRecord(const std::filesystem::path& path, std::size_t layer, bool inputs, Index neurons);

    [[nodiscard]] std::uint64_t records() const { return array_.shape[0]; }
    [[nodiscard]] std::uint64_t moments() const { return records() == 0 ? 0 : records() + 1; }
    [[nodiscard]] std::vector<EdgeIndex> at(std::uint64_t moment) const;

    std::size_t layer;  // from 1
    bool inputs;        // else outputs
    Index neurons;

private:
    NpyArray array_;
};

/// Histograms of a layer's weights: before training, then after every recorded epoch.
struct WeightRecord {
    std::vector<double> borders;                     // [bins + 1]
    std::vector<std::vector<std::uint32_t>> counts;  // [records][bins]
};

struct RunFolder {
    std::filesystem::path path;
    std::string name;  // of the folder
    std::string config;
    Experiment experiment;
    std::map<std::string, std::vector<double>> history;    // by column, one value an epoch
    std::vector<std::uint32_t> recorded;                   // the epochs whose topology is on record
    std::vector<DegreeRecord> degrees;                     // empty without sparse layers
    std::map<std::string, std::vector<double>> edges;      // edges.csv by column; empty where there is none
    std::map<std::string, std::vector<double>> lifetimes;  // survival.csv by column; empty until the run has ended
    std::vector<WeightRecord> weights;                     // per layer; empty where there are none
    ImageShape image;
    bool image_known = false;               // else guessed from the number of inputs
    std::optional<PixelStatistics> pixels;  // of the data
    std::optional<Network> network;
    std::vector<std::string> remarks;  // what is not there yet

    [[nodiscard]] std::size_t epochs() const { return history.at("epoch").size(); }
    [[nodiscard]] double last(const std::string& column) const { return history.at(column).back(); }
    /// Whether it learned real-valued targets: its history has R^2 where others have accuracies.
    [[nodiscard]] bool is_regression() const { return history.contains("test_r2"); }
    /// Edges per input of layer 1, or null if that layer is dense.
    [[nodiscard]] const DegreeRecord* connections() const;
    /// The map of connections per pixel at a moment.
    [[nodiscard]] PixelMap map_at(std::uint64_t moment) const;
    /// The epoch a moment follows; 0 for the new network.
    [[nodiscard]] double epoch_of(std::uint64_t moment) const;
};

/// Throws UserError (data, or checkpoint for the network file).
RunFolder read_run_folder(const std::filesystem::path& path);

}  // namespace espalier
