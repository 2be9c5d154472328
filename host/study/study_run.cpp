#include "host/study/study_run.hpp"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <list>
#include <memory>
#include <optional>

#include "espalier/error.hpp"
#include "host/backends.hpp"
#include "host/formats/output_file.hpp"
#include "host/report/live_server.hpp"
#include "host/report/report.hpp"
#include "host/run/checkpoint_folder.hpp"
#include "host/run/provenance.hpp"
#include "host/run/run_layout.hpp"
#include "host/run/run_results.hpp"
#include "host/study/claim.hpp"
#include "host/study/study_devices.hpp"
#include "host/study/study_parts.hpp"
#include "host/study/study_worker.hpp"
#include "host/system/progress.hpp"
#include "host/system/signals.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

/// Those that runs may have; none is asked for where all run on the CPU.
std::vector<int> gpus_for(const std::vector<StudyCell>& cells) {
    const bool on_cpu =
        std::all_of(cells.begin(), cells.end(), [](const StudyCell& cell) { return cell.experiment.backend == "cpu"; });
    return on_cpu ? std::vector<int>{} : cuda_devices();
}

class Runner {
public:
    Runner(const Study& study, const StudyPlace& place)
        : folder_(place.folder),
          title_(study.name),
          devices_(study.cells, place.jobs, gpus_for(study.cells)),
          overwrite_(place.overwrite),
          wait_(place.wait),
          form_(place.progress) {
        if (place.live) {
            const ReportHeading heading{"Study " + study.name, study.summary, command_line()};
            std::vector<fs::path> folders;
            for (const StudyCell& cell : study.cells) folders.push_back(cell_folder(folder_, cell));
            live_.emplace([folders, heading] { return page_so_far(folders, heading); });
        }
        for (const StudyCell& cell : study.cells) {
            const bool finished = is_finished(cell_folder(folder_, cell), cell, place.overwrite);
            (finished ? finished_ : waiting_).push_back(&cell);
        }
        // The longest first, so that none is left over at the end when the others' places are empty.
        std::stable_sort(waiting_.begin(), waiting_.end(), [](const StudyCell* a, const StudyCell* b) {
            return work(a->experiment) > work(b->experiment);
        });
        total_ = waiting_.size();
        for (const StudyCell* cell : waiting_) epochs_ += cell->experiment.epochs;
    }

    StudyProgress run() {
        StudyProgress result;
        if (total_ == 0) return result;
        watch_signals();
        make_folder();
        Progress progress(title_, 1, form_);
        progress.say("study " + title_ + ": " + std::to_string(total_) + " runs, " + std::to_string(devices_.jobs()) +
                     " at once" + gpus_text() +
                     (finished_.empty() ? "" : ", " + std::to_string(finished_.size()) + " were finished before"));
        if (live_) progress.say("live at " + live_->address());
        while (!workers_.empty() || !waiting_.empty() || wait_for_others(progress)) {
            result.stopped = stop_signal() != 0;
            if (result.stopped) stop();
            while (start(progress)) {
            }
            wait();
            progress.whole(done(), begun_);
            tell();
            for (auto worker = workers_.begin(); worker != workers_.end();) {
                const bool ended = worker->process().ended();
                if (ended) finish(*worker, result, progress);
                worker = ended ? workers_.erase(worker) : std::next(worker);
            }
            if (!result.stopped) look_at_others(progress, false);
        }
        result.elsewhere = elsewhere_.size();
        if (live_) live_->end(place_text());
        return result;
    }

private:
    [[nodiscard]] std::string place_text() const {
        return std::to_string(num_done_) + " of " + std::to_string(total_) + " runs";
    }

    /// Where runs are shared out between several.
    [[nodiscard]] std::string gpus_text() const {
        std::string text;
        for (const int device : devices_.used()) text += (text.empty() ? "" : ", ") + std::to_string(device);
        return devices_.used().size() > 1 ? " on GPUs " + text : "";
    }

    /// There is more to show if a run finished an epoch.
    void tell() {
        if (!live_ || done() == told_) return;
        told_ = done();
        char text[80];
        std::snprintf(text, sizeof text, "%s, %.0f %% of the epochs", place_text().c_str(), 100 * told_);
        live_->progress(text);
    }

    /// Whether an interrupted run of this very cell left checkpoints.
    [[nodiscard]] bool can_go_on(const fs::path& run, const StudyCell& cell) const {
        if (overwrite_ || list_checkpoints(run).empty()) return false;
        const auto found = experiment_in(run);
        return found.has_value() && difference(*found, cell.experiment).empty();
    }

    void make_folder() const {
        std::error_code fault;
        fs::create_directories(cell_folder(folder_, *waiting_.front()).parent_path(), fault);
        if (fault) throw_unwritable(folder_, fault.value());
    }

    void stop() {
        waiting_.clear();
        elsewhere_.clear();
        for (Worker& worker : workers_) {
            if (!worker.given_up) worker.process().ask_to_end();
            worker.given_up = true;
        }
    }

    [[nodiscard]] fs::path claim_of(const StudyCell& cell) const { return cell_folder(folder_, cell).string() + ".claim"; }

    void count(const StudyCell& cell, const std::string& remark, Progress& progress) {
        epochs_done_ += cell.experiment.epochs;
        progress.say(std::to_string(++num_done_) + "/" + std::to_string(total_) + "  " + cell.name + remark);
    }

    /// Of the cells that other processes had: those that are finished are done, those that were let go wait for us. Looks
    /// every few seconds, for the folder may lie on a busy server.
    void look_at_others(Progress& progress, bool at_once) {
        const auto now = std::chrono::steady_clock::now();
        if (!at_once && now - looked_ < std::chrono::seconds(5)) return;
        looked_ = now;
        for (Worker& worker : workers_) {
            if (worker.given_up || !worker.lost()) continue;
            worker.given_up = true;  // it was held up for longer than claims last
            worker.process().ask_to_end();
        }
        for (auto cell = elsewhere_.begin(); cell != elsewhere_.end();) {
            const bool finished = is_finished(cell_folder(folder_, **cell), **cell, overwrite_);
            const bool is_free = !finished && !is_claimed(claim_of(**cell));
            if (finished) count(**cell, "  by another process", progress);
            if (is_free) waiting_.push_back(*cell);
            cell = finished || is_free ? elsewhere_.erase(cell) : std::next(cell);
        }
    }

    /// When there is nothing left to do here: whether to stay because of what others still do.
    bool wait_for_others(Progress& progress) {
        if (elsewhere_.empty()) return false;
        look_at_others(progress, !wait_);
        return !waiting_.empty() || (wait_ && !elsewhere_.empty());
    }

    /// The devices of the cells at work, one for each.
    [[nodiscard]] std::vector<int> busy() const {
        std::vector<int> devices;
        for (const Worker& worker : workers_) devices.insert(devices.end(), worker.cells().size(), worker.device());
        return devices;
    }

    /// False if no waiting run has a place now.
    bool start(Progress& progress) {
        const std::vector<int> taken = busy();
        if (static_cast<int>(taken.size()) >= devices_.jobs()) return false;
        const auto turn = devices_.next(waiting_, taken);
        if (!turn) return false;
        std::vector<CellAtWork> cells;
        take(turn->cell, cells, progress);
        const int room = turn->device == any_device ? 1 : devices_.room_on(turn->device, taken);
        for (std::size_t w = 0; w < waiting_.size() && !cells.empty() && static_cast<int>(cells.size()) < room;) {
            const bool goes = go_together(cells.front().cell->experiment, waiting_[w]->experiment);
            if (goes) {
                take(w, cells, progress);
            } else {
                ++w;
            }
        }
        if (cells.size() > 1) {
            progress.say(std::to_string(cells.size()) + " runs from " + cells.front().cell->name +
                         " on take their steps together on GPU " + std::to_string(turn->device));
        }
        if (!cells.empty()) workers_.emplace_back(folder_, std::move(cells), turn->device);
        return true;
    }

    /// A waiting cell goes to `cells` if there is something to do and no other process does it.
    void take(std::size_t number, std::vector<CellAtWork>& cells, Progress& progress) {
        const StudyCell& cell = *waiting_[number];
        waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(number));
        const fs::path run = cell_folder(folder_, cell);
        auto claim = Claim::take(claim_of(cell));
        if (claim == nullptr) {
            elsewhere_.push_back(&cell);
        } else if (is_finished(run, cell, overwrite_)) {
            count(cell, "  by another process", progress);
        } else {
            cells.emplace_back(cell, std::move(claim), can_go_on(run, cell));
        }
    }

    /// Until a worker says something, but not for ever: the bar lives.
    void wait() {
        std::vector<pollfd> files;
        for (Worker& worker : workers_) files.push_back({worker.process().output(), POLLIN, 0});
        if (poll(files.data(), files.size(), 500) <= 0) return;
        auto file = files.begin();
        for (Worker& worker : workers_) {
            if ((file++)->revents != 0) worker.read();
        }
    }

    void finish(Worker& worker, StudyProgress& result, Progress& progress) {
        const int code = worker.process().code();
        for (const CellAtWork& each : worker.cells()) finish(worker, each, each.code.value_or(code), result, progress);
    }

    void finish(const Worker& worker, const CellAtWork& at_work, int code, StudyProgress& result, Progress& progress) {
        const StudyCell& cell = *at_work.cell;
        const bool good = code == 0 && fs::exists(cell_folder(folder_, cell) / run_layout::results);
        if (!good && stop_signal() != 0) return;
        if (!good && worker.given_up) {
            elsewhere_.push_back(&cell);
            return;
        }
        epochs_begun_ += at_work.begun * cell.experiment.epochs;
        if (good) {
            count(cell, "  " + duration_text(worker.seconds()), progress);
            return;
        }
        const std::string why = "exit code " + std::to_string(code) + (at_work.last.empty() ? "" : ": " + at_work.last);
        count(cell, " FAILED, " + why, progress);
        result.failures[cell.name] = why;
        if (result.failed_code == 0) result.failed_code = code == 0 ? static_cast<int>(ExitCode::io) : code;
    }

    /// Of the whole study; also what of it earlier processes had done of the cells at work.
    [[nodiscard]] double done() {
        double epochs = epochs_done_;
        double begun = epochs_begun_;
        for (const Worker& worker : workers_) {
            for (const CellAtWork& each : worker.cells()) {
                epochs += each.part * each.cell->experiment.epochs;
                begun += each.begun * each.cell->experiment.epochs;
            }
        }
        begun_ = begun / epochs_;
        return epochs / epochs_;
    }

    fs::path folder_;
    std::string title_;
    StudyDevices devices_;
    bool overwrite_;
    bool wait_;
    ProgressForm form_;
    std::vector<const StudyCell*> waiting_, finished_;
    std::vector<const StudyCell*> elsewhere_;  // that other processes have
    std::chrono::steady_clock::time_point looked_ = std::chrono::steady_clock::now();
    std::list<Worker> workers_;
    std::size_t total_ = 0, num_done_ = 0;
    double epochs_ = 0, epochs_done_ = 0, epochs_begun_ = 0, begun_ = 0, told_ = 0;
    std::optional<LiveServer> live_;
};

}  // namespace

StudyProgress run_cells(const Study& study, const StudyPlace& place) { return Runner(study, place).run(); }

}  // namespace espalier
