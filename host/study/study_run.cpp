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
#include "host/options/config_text.hpp"
#include "host/report/live_server.hpp"
#include "host/report/report.hpp"
#include "host/run/checkpoint_folder.hpp"
#include "host/run/provenance.hpp"
#include "host/run/run_layout.hpp"
#include "host/run/run_results.hpp"
#include "host/study/claim.hpp"
#include "host/study/study_devices.hpp"
#include "host/study/study_parts.hpp"
#include "host/system/child_process.hpp"
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

/// A cell at work.
struct Worker {
    Worker(const StudyCell& its_cell, int its_device, std::unique_ptr<Claim> its_claim,
           std::unique_ptr<ChildProcess> its_process)
        : cell(&its_cell), device(its_device), claim(std::move(its_claim)), process(std::move(its_process)) {}

    const StudyCell* cell;
    int device;
    std::unique_ptr<Claim> claim;  // let go after the process ended
    std::unique_ptr<ChildProcess> process;
    bool given_up = false;  // another process took the cell over
    std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
    double part = 0;   // of its epochs
    double begun = 0;  // of them, before this process
    std::string last;  // line that says something

    void read() {
        for (const std::string& line : process->lines()) {
            unsigned epoch = 0;
            unsigned epochs = 0;
            const bool counts = std::sscanf(line.c_str(), "epoch %u/%u ", &epoch, &epochs) == 2;
            // a network to start from is trained first and counts its own
            if (counts && epochs == cell->experiment.epochs) {
                if (part == 0) begun = (epoch - 1.0) / epochs;
                part = static_cast<double>(epoch) / epochs;
            }
            if (!counts && !line.empty()) last = line;
        }
    }
};

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
            while (static_cast<int>(workers_.size()) < devices_.jobs() && start(progress)) {
            }
            wait();
            progress.whole(done(), begun_);
            tell();
            for (auto worker = workers_.begin(); worker != workers_.end();) {
                const bool ended = worker->process->ended();
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
            if (!worker.given_up) worker.process->ask_to_end();
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
            if (worker.given_up || !worker.claim->lost()) continue;
            worker.given_up = true;  // it was held up for longer than claims last
            worker.process->ask_to_end();
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

    /// False if no waiting run has a place now.
    bool start(Progress& progress) {
        std::vector<int> busy;
        for (const Worker& worker : workers_) busy.push_back(worker.device);
        const auto turn = devices_.next(waiting_, busy);
        if (!turn) return false;
        const StudyCell& cell = *waiting_[turn->cell];
        waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(turn->cell));
        const fs::path run = cell_folder(folder_, cell);
        auto claim = Claim::take(claim_of(cell));
        if (claim == nullptr) {
            elsewhere_.push_back(&cell);
            return true;
        }
        if (is_finished(run, cell, overwrite_)) {
            count(cell, "  by another process", progress);
            return true;
        }
        const fs::path config = run.string() + ".toml";
        const std::string text = config_text(cell.experiment);
        write_atomically(config, [&](OutputFile& file) { file.append(text); });
        std::vector<std::string> words{this_program(), "train",      "--config", config.string(),
                                       "--out",        run.string(), "--json",   "--progress",    "lines",
                                       "--ranks",      "off"};
        if (can_go_on(run, cell)) {
            words.insert(words.end(), {"--resume", "auto"});
        } else {
            words.emplace_back("--overwrite");
        }
        if (turn->device != any_device) words.insert(words.end(), {"--device", std::to_string(turn->device)});
        workers_.emplace_back(cell, turn->device, std::move(claim), std::make_unique<ChildProcess>(words));
        return true;
    }

    /// Until a worker says something, but not for ever: the bar lives.
    void wait() {
        std::vector<pollfd> files;
        for (const Worker& worker : workers_) files.push_back({worker.process->output(), POLLIN, 0});
        if (poll(files.data(), files.size(), 500) <= 0) return;
        auto file = files.begin();
        for (Worker& worker : workers_) {
            if ((file++)->revents != 0) worker.read();
        }
    }

    void finish(Worker& worker, StudyProgress& result, Progress& progress) {
        const StudyCell& cell = *worker.cell;
        const int code = worker.process->code();
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - worker.start;
        const bool good = code == 0 && fs::exists(cell_folder(folder_, cell) / run_layout::results);
        if (!good && stop_signal() != 0) return;
        if (!good && worker.given_up) {
            elsewhere_.push_back(&cell);
            return;
        }
        epochs_begun_ += worker.begun * cell.experiment.epochs;
        if (good) {
            count(cell, "  " + duration_text(seconds.count()), progress);
            return;
        }
        const std::string why = "exit code " + std::to_string(code) + (worker.last.empty() ? "" : ": " + worker.last);
        count(cell, " FAILED, " + why, progress);
        result.failures[cell.name] = why;
        if (result.failed_code == 0) result.failed_code = code == 0 ? static_cast<int>(ExitCode::io) : code;
    }

    /// Of the whole study; also what of it earlier processes had done of the cells at work.
    [[nodiscard]] double done() {
        double epochs = epochs_done_;
        double begun = epochs_begun_;
        for (const Worker& worker : workers_) {
            epochs += worker.part * worker.cell->experiment.epochs;
            begun += worker.begun * worker.cell->experiment.epochs;
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
