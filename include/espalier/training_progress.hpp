// How far a training run has come: what a checkpoint holds besides the network, and what a trainer goes on from.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/backend.hpp"
#include "espalier/topology.hpp"
#include "espalier/epoch_record.hpp"

namespace espalier {

/// With the experiment, the data and the network, all that decides what follows.
struct TrainingProgress {
    std::uint32_t epoch = 0;  // epochs done
    std::uint32_t step = 0;   // steps done of the one begun, 0: none is begun
    // of the epoch begun, meaningless otherwise:
    Metrics metrics;
    EpochRecord record;
    std::vector<Degrees> before;  // of the sparse layers, at its start
};

}  // namespace espalier
