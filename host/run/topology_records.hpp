// What a run folder holds of its edges and weights, epoch by epoch:
//   edges.csv            a line per recorded epoch and sparse layer: edges, born and lost in that epoch, mean age,
//                        share of the first edges still there, share of the cells that ever held an edge
//   survival.csv         per layer and age: edges that faced another epoch, edges gone after it (a life table)
//   weights-layer<n>.npy [records][bins] counts of weights, the first record before training
//   weights-bins.npy     [layers][bins + 1] their borders; the outer bins also hold what lies beyond
// Every epoch is looked at; files hold those that is_recorded() picks.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "espalier/layer.hpp"
#include "host/run/epoch_record.hpp"
#include "host/topology/edge_lifetimes.hpp"

namespace espalier {

/// Whether an epoch (from 1) is recorded when every `every`-th is: the first, the multiples of `every`, the last.
constexpr bool is_recorded(std::uint32_t epoch, std::uint32_t every, std::uint32_t epochs) {
    return epoch == 1 || epoch % every == 0 || epoch == epochs;
}

/// The recorded ones of the first `done` epochs.
std::vector<std::uint32_t> recorded_epochs(std::uint32_t done, std::uint32_t every, std::uint32_t epochs);

/// Edges of larger layers are not followed: a bit per cell is all that may cost.
constexpr Cell max_cells_followed = Cell{1} << 24;

/// Memory that following a layer's edges takes, 0 for one that is not followed.
std::uint64_t following_bytes(Index num_inputs, Index num_outputs, Cell num_edges);

constexpr std::size_t weight_bins = 128;

/// The lifetimes of a layer's edges so far, and the topology they were last observed at.
struct LayerLifetimes {
    Topology last;
    LifetimeState lifetimes;
};
/// Per layer; nothing for those that are not followed.
using AllLifetimes = std::vector<std::optional<LayerLifetimes>>;

/// What the recorder must know to lay these files out.
struct RecordPlan {
    std::uint32_t every = 1;
    std::uint32_t epochs = 0;
};

class TopologyRecords {
public:
    /// Creates the files in a run folder; `network` is the one to be trained. With `recorded`, goes on with the files
    /// of a run instead: cut back to what a checkpoint recorded, with the lifetimes it held. Throws UserError: io, or
    /// checkpoint for what does not belong together.
    TopologyRecords(const std::filesystem::path& folder, const Network& network, const RecordPlan& plan,
                    const std::optional<RecordedBytes>& recorded = {}, AllLifetimes lifetimes = {});
    ~TopologyRecords();

    /// Waits until all that was recorded is on the disk; adds the sizes of the files that grow.
    void sync(RecordedBytes& bytes);
    /// What a checkpoint must hold to go on.
    [[nodiscard]] AllLifetimes lifetimes() const;

    /// Looks at the network at the end of an epoch (from 1, none left out). Throws UserError (io).
    void epoch(std::uint32_t epoch, const Network& network);
    /// Writes survival.csv as far as it has come.
    void finish();

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace espalier
