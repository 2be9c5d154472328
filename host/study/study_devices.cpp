#include "host/study/study_devices.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "host/system/processors.hpp"

namespace espalier {

bool StudyDevices::on_gpu(const Experiment& experiment) const {
    return experiment.backend == "cuda" || (experiment.backend == "auto" && !gpus_.empty());
}

StudyDevices::StudyDevices(const std::vector<StudyCell>& cells, int jobs, std::vector<int> gpus)
    : gpus_(std::move(gpus)) {
    std::set<int> used;
    bool any_on_gpu = false;
    for (const StudyCell& cell : cells) {
        if (!on_gpu(cell.experiment)) continue;
        any_on_gpu = true;
        if (cell.experiment.device != any_device) {
            used.insert(cell.experiment.device);
        } else {
            used.insert(gpus_.begin(), gpus_.end());
        }
    }
    used_.assign(used.begin(), used.end());
    const int places = any_on_gpu ? std::max(1, static_cast<int>(used_.size())) : usable_processors();
    jobs_ = jobs > 0 ? jobs : places;
    if (jobs > 0) most_ = jobs;
}

std::optional<StudyDevices::Turn> StudyDevices::next(const std::vector<const StudyCell*>& waiting,
                                                     const std::vector<int>& busy) const {
    const auto runs_on = [&](int device) { return std::count(busy.begin(), busy.end(), device); };
    for (std::size_t i = 0; i < waiting.size(); ++i) {
        const Experiment& experiment = waiting[i]->experiment;
        if (!on_gpu(experiment)) return Turn{i, any_device};
        int device = experiment.device;
        if (device == any_device) {
            if (gpus_.empty()) return Turn{i, any_device};  // it says itself what is wrong
            device =
                *std::min_element(gpus_.begin(), gpus_.end(), [&](int a, int b) { return runs_on(a) < runs_on(b); });
        }
        if (runs_on(device) < most_) return Turn{i, device};
    }
    return std::nullopt;
}

int StudyDevices::room_on(int device, const std::vector<int>& busy) const {
    const auto devices = std::max<std::ptrdiff_t>(1, static_cast<std::ptrdiff_t>(used_.size()));
    const auto on_each = std::min(most_, (jobs_ + devices - 1) / devices);
    const auto room = std::min(on_each - std::count(busy.begin(), busy.end(), device),
                               jobs_ - static_cast<std::ptrdiff_t>(busy.size()));
    return static_cast<int>(std::max<std::ptrdiff_t>(1, room));
}

}  // namespace espalier
