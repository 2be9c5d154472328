// The run folder: config.toml (resolved options), history.csv and history.jsonl (a line per epoch), connections.npy
// (edges per input of layer 1, before and after every evolution), degrees-layer<n>-<inputs|outputs>.npy (the same for
// every other side), heat maps as .png, network.safetensors. Files grow by appending and read correctly at any moment.
// One process at a time: the folder is locked (run_lock.hpp) as long as its recorder lives.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "espalier/topology.hpp"
#include "host/run/epoch_record.hpp"

namespace espalier {

/// What the recorder must know of the network to lay out its arrays.
struct RecordedLayer {
    Index num_inputs = 0, num_outputs = 0;
    bool sparse = false;
};

class Recorder {
public:
    /// Creates the folder and its first files, all or nothing. An existing folder is taken only with `overwrite`: then
    /// the files of the old run are removed and no others, and a folder that holds other files and no config.toml is
    /// refused. With `recorded`, goes on with the run in the folder instead: its files are cut back to that. Throws
    /// UserError: usage for what is refused or if another process writes there, io with path and reason for what cannot
    /// be written or is shorter than recorded, checkpoint for a file that was not recorded. `like` has the optional
    /// figures that records will have.
    Recorder(const std::filesystem::path& folder, bool overwrite, const std::string& config_text,
             const std::vector<RecordedLayer>& layers, const std::optional<RecordedBytes>& recorded = {},
             const EpochRecord& like = {});
    ~Recorder();

    /// Waits until all that was recorded is on the disk; returns how much that is.
    RecordedBytes sync();

    /// Appends one line to history.csv and history.jsonl. Numbers read back exactly; NaN and infinity are null in JSON,
    /// with "nonfinite": true in that line.
    void epoch(const EpochRecord& record);
    /// Appends the degrees of sparse layer `layer` (from 0) around one evolution: a row [2][neurons] in each of the two
    /// arrays [records][2][neurons], signed (count_file.hpp).
    void degrees(std::size_t layer, const Degrees& before, const Degrees& after);
    /// Writes heat maps of connections per input pixel (height x width, viridis, one colour scale) of the first and the
    /// last recorded moment: connections-first.png, connections-last.png.
    void heat_maps(Index height, Index width, Index channels);

    [[nodiscard]] const std::filesystem::path& folder() const;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace espalier
