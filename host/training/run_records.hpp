// The records of a run: the files that grow with it, and its progress bar.
#pragma once

#include <chrono>

#include "host/run/provenance.hpp"
#include "host/run/recorder.hpp"
#include "host/run/topology_records.hpp"
#include "host/system/progress.hpp"
#include "host/training/run_start.hpp"

namespace espalier {

/// Part two of a run.
struct RunRecords {
    /// New files, or those of an interrupted run cut back to the checkpoint it goes on from. Says what is trained on
    /// what. Throws UserError as Recorder and TopologyRecords do.
    RunRecords(const Experiment& experiment, const RunPlace& place, RunStart& start);

    RecordPlan plan;
    Recorder recorder;
    TopologyRecords topology;
    Progress progress;
    Provenance provenance;
    /// What a network is computed with, once `backend` has it.
    void note_machine(const Backend& backend);
    std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();
};

}  // namespace espalier
