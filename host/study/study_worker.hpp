// A process of a study at work: on one cell, or on several that take their steps together on a GPU.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/study/claim.hpp"
#include "host/study/study_file.hpp"
#include "host/system/child_process.hpp"

namespace espalier {

/// Whether networks of two runs have one shape, and what a GPU does in a step of theirs differs in numbers alone: seeds,
/// schedules, how edges are pruned and grown and how many there are. Then companions (backend.hpp) launch it once for both.
bool go_together(const Experiment& one, const Experiment& other);

struct CellAtWork {
    CellAtWork(const StudyCell& its_cell, std::unique_ptr<Claim> its_claim, bool its_checkpoints)
        : cell(&its_cell), claim(std::move(its_claim)), has_checkpoints(its_checkpoints) {}

    const StudyCell* cell;
    std::unique_ptr<Claim> claim;  // let go after the process ended
    bool has_checkpoints;          // to go on from
    double part = 0;               // of its epochs
    double begun = 0;              // of them, before this process
    std::string last;              // line that says something
    std::optional<int> code;       // its own, where the process has several
};

class Worker {
public:
    /// Starts the process: cells of `study_folder` on GPU `device`. Throws UserError (io, device).
    Worker(const std::filesystem::path& study_folder, std::vector<CellAtWork> cells, int device);

    [[nodiscard]] const std::vector<CellAtWork>& cells() const { return cells_; }
    [[nodiscard]] int device() const { return device_; }
    [[nodiscard]] ChildProcess& process() { return process_; }
    /// Since it started.
    [[nodiscard]] double seconds() const;
    /// Whether another process took a cell of it over.
    [[nodiscard]] bool lost() const;
    /// Notes what the process said. Waits for it to say something.
    void read();

    bool given_up = false;  // it was asked to end

private:
    [[nodiscard]] static std::vector<std::string> words(const std::filesystem::path& study_folder,
                                                        const std::vector<CellAtWork>& cells, int device);

    std::vector<CellAtWork> cells_;
    int device_;
    ChildProcess process_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace espalier
