// What a run would need, without running it: edges, memory, disk. The data set is read to learn its
// size.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/backend.hpp"
#include "espalier/experiment.hpp"

namespace espalier {

struct MemoryEstimate {
    struct LayerLine {
        std::string shape;  // "784 x 512"
        bool sparse = false;
        std::uint64_t edges = 0;
        double density = 0;
        std::uint64_t bytes = 0;  // weights, topology, optimizer memory
    };
    std::vector<LayerLine> layers;
    std::uint64_t parameters = 0;
    std::uint64_t data_bytes = 0;
    std::uint64_t activation_bytes = 0;
    std::uint64_t birth_bytes = 0;      // of a birth that looks at the data, before anything is trained
    std::uint64_t evolution_bytes = 0;  // at the peak of an evolution
    std::uint64_t network_bytes = 0;    // one copy at rest: while loading and saving
    std::uint64_t disk_bytes = 0;       // the run folder at its largest
    std::uint64_t program_bytes = 0;    // what the process holds before it reads anything
    std::uint64_t peak_bytes = 0;
    std::uint64_t gpu_bytes = 0;         // of a GPU's own memory at the peak, with the two below
    std::uint64_t gpu_in_use_bytes = 0;  // before the run: CUDA's context, this backend's own, other programs
    std::uint64_t gpu_graph_bytes = 0;   // of the recorded steps
};

/// Refuses (UserError) layers and batches beyond what a backend counts, before the network is drawn.
void expect_within_limits(const Experiment& experiment, const Backend& backend);

/// Throws UserError: usage where the experiment cannot be, data where the data set is missing.
/// `keep`: checkpoints the run would keep.
MemoryEstimate estimate_memory(const Experiment& experiment, int keep);
/// On that backend, whose device is asked what it holds.
MemoryEstimate estimate_memory(const Experiment& experiment, Backend& backend, int keep = 0);

std::string estimate_table(const MemoryEstimate& estimate);
std::string estimate_json(const MemoryEstimate& estimate);

}  // namespace espalier
