// Which GPU each run of a study has: runs that name none take whichever is free. One run at a time on each, for in
// turns they would only wait for each other; on the CPU one per core.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "host/study/study_file.hpp"

namespace espalier {

class StudyDevices {
public:
    /// `jobs`: runs at once, which may then share a GPU; 0: as above. `gpus`: the numbers of those that runs without
    /// one of their own may have.
    StudyDevices(const std::vector<StudyCell>& cells, int jobs, std::vector<int> gpus);

    [[nodiscard]] int jobs() const { return jobs_; }
    /// Of the machine's GPUs, those that runs will have.
    [[nodiscard]] const std::vector<int>& used() const { return used_; }

    struct Turn {
        std::size_t cell = 0;     // place in `waiting`
        int device = any_device;  // any_device: the run has none
    };
    /// The first of the waiting cells that has a place now; null if none has. `busy`: the devices of the runs at work.
    [[nodiscard]] std::optional<Turn> next(const std::vector<const StudyCell*>& waiting,
                                           const std::vector<int>& busy) const;
    /// How many runs a device that has a place takes at once: its part of all, those at work left out; at least one.
    [[nodiscard]] int room_on(int device, const std::vector<int>& busy) const;

private:
    [[nodiscard]] bool on_gpu(const Experiment& experiment) const;

    std::vector<int> gpus_;
    std::vector<int> used_;  // ascending
    int jobs_ = 0;
    std::ptrdiff_t most_ = 1;  // runs at once on one GPU
};

}  // namespace espalier
