// The run folder: config.toml (resolved options), history.csv and history.jsonl (a line per epoch), connections.npy
// (edges per input of layer 1, before and after every evolution), degrees-layer<n>-<inputs|outputs>.npy (the same for
// every other side), heat maps as .png, network.safetensors. Files grow by appending and read correctly at any moment.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "espalier/topology.hpp"

namespace espalier {

struct EpochRecord {
    std::uint32_t epoch = 0;                    // from 1
    double train_loss = 0, train_accuracy = 0;  // running, while training; accuracies as fractions
    double test_loss = 0, test_accuracy = 0;
    double test_confidence = 0, test_wrong_confidence = 0;  // mean confidence of all and of the wrong test predictions
    double train_seconds = 0, test_seconds = 0, evolution_seconds = 0;
    double images_per_second = 0;
    std::uint64_t edges = 0;  // sparse layers, after evolution
    std::uint64_t replaced_positive = 0, replaced_negative = 0;
    double learning_rate = 0, weight_decay = 0, zeta = 0;  // at the epoch's start
};

/// What the recorder must know of the network to lay out its arrays.
struct RecordedLayer {
    Index num_inputs = 0, num_outputs = 0;
    bool sparse = false;
};

class Recorder {
public:
    /// Creates the folder and its first files, all or nothing. An existing folder is taken only with `overwrite`: then
    /// the files of the old run are removed and no others, and a folder that holds other files and no config.toml is
    /// refused. Throws UserError: usage for what is refused, io with path and reason for what cannot be written.
    Recorder(const std::filesystem::path& folder, bool overwrite, const std::string& config_text,
             std::vector<RecordedLayer> layers);
    ~Recorder();

    /// Appends one line to history.csv and history.jsonl. Numbers read back exactly; NaN and infinity are null in JSON,
    /// with "nonfinite": true in that line.
    void epoch(const EpochRecord& record);
    /// Appends the degrees of sparse layer `layer` (from 0) around one evolution: a row [2][neurons] in each of the two
    /// arrays [records][2][neurons], u2 where every possible degree fits, else u4.
    void degrees(std::size_t layer, const Degrees& before, const Degrees& after);
    /// Writes heat maps of connections per input pixel (height x width, viridis, one colour scale) of the first and the
    /// last recorded moment: connections-first.png, connections-last.png.
    void heat_maps(Index height, Index width, Index channels);

    [[nodiscard]] const std::filesystem::path& folder() const;

private:
    class Files;
    std::unique_ptr<Files> files_;
};

}  // namespace espalier
