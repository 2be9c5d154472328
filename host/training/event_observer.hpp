// A run as TensorBoard shows it: scalars of every epoch, histograms of the weights and the map of connections of the epochs
// on record, in an event file of the run folder.
#pragma once

#include "host/formats/event_file.hpp"
#include "host/run/topology_records.hpp"
#include "espalier/trainer.hpp"

namespace espalier {

class EventObserver final : public TrainObserver {
public:
    /// `last_epoch`: of the checkpoint that a run goes on from; nothing for a new one.
    EventObserver(const std::filesystem::path& folder, const RecordPlan& plan, std::optional<std::uint32_t> last_epoch);
    void on_degrees(std::uint32_t epoch, std::size_t layer, const Degrees& before, const Degrees& after) override;
    void on_epoch_end(EpochEnd& end) override;

private:
    void scalars(const EpochRecord& record);

    RecordPlan plan_;
    std::vector<EdgeIndex> connections_;  // of layer 1's inputs, at the epoch's end
    EventFile file_;
};

}  // namespace espalier
