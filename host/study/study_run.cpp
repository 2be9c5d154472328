#include "host/study/study_run.hpp"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <list>
#include <memory>
#include <optional>
#include <sstream>
#include <thread>

#include "espalier/error.hpp"
#include "host/backends.hpp"
#include "host/run/checkpoint_folder.hpp"
#include "host/options/config_text.hpp"
#include "host/formats/output_file.hpp"
#include "host/report/live_server.hpp"
#include "host/report/report.hpp"
#include "host/run/provenance.hpp"
#include "host/system/processors.hpp"
#include "host/system/progress.hpp"
#include "host/run/run_layout.hpp"
#include "host/run/run_lock.hpp"
#include "host/run/run_results.hpp"
#include "host/system/signals.hpp"
#include "host/system/child_process.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

/// One per core; of runs that share a GPU one at a time, for in turns they would only wait for each other.
int default_jobs(const std::vector<StudyCell>& cells) {
    const bool on_gpu = std::any_of(cells.begin(), cells.end(), [](const StudyCell& cell) {
        const std::string& backend = cell.experiment.backend;
        return backend == "cuda" || (backend == "auto" && num_cuda_devices() > 0);
    });
    return on_gpu ? 1 : usable_processors();
}

/// The experiment that a run folder's config.toml describes; null if there is none that reads.
std::optional<Experiment> experiment_in(const fs::path& folder) {
    std::ifstream stream(folder / run_layout::config, std::ios::binary);
    std::ostringstream text;
    if (!stream || !(text << stream.rdbuf())) return std::nullopt;
    try {
        return recorded_experiment(parse_config(text.str(), run_layout::config), run_layout::config);
    } catch (const UserError&) {
        return std::nullopt;
    }
}

/// What two experiments differ in, "epochs 20 instead of 155"; empty if in nothing but the machine.
std::string difference(const Experiment& found, const Experiment& wanted) {
    if (found.seed != wanted.seed) return "seed " + std::to_string(found.seed);
    const OptionTexts theirs = experiment_texts(found);
    for (const auto& [name, text] : experiment_texts(wanted)) {
        if (theirs.at(name) != text) return name + " " + theirs.at(name) + " instead of " + text;
    }
    return {};
}

bool is_finished(const fs::path& folder, const StudyCell& cell, bool overwrite) {
    if (!fs::exists(folder / run_layout::results)) return false;
    const auto found = experiment_in(folder);
    const std::string other = found ? difference(*found, cell.experiment) : "a config.toml that does not read";
    if (other.empty()) return true;
    if (overwrite) return false;
    throw UserError(ExitCode::usage, folder.string() + " holds a finished run with other settings (" + other +
                                         "); choose another folder with --out, or pass --overwrite to replace it");
}

/// A cell at work.
struct Worker {
    Worker(const StudyCell& its_cell, std::unique_ptr<ChildProcess> its_process)
        : cell(&its_cell), process(std::move(its_process)) {}

    const StudyCell* cell;
    std::unique_ptr<ChildProcess> process;
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
          jobs_(place.jobs > 0 ? place.jobs : default_jobs(study.cells)),
          overwrite_(place.overwrite),
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
        total_ = waiting_.size();
        for (const StudyCell* cell : waiting_) epochs_ += cell->experiment.epochs;
    }

    StudyProgress run() {
        StudyProgress result;
        if (total_ == 0) return result;
        watch_signals();
        make_folder();
        const RunLock lock(folder_);  // two studies at once would train the same cells
        Progress progress(title_, 1, form_);
        progress.say("study " + title_ + ": " + std::to_string(total_) + " runs, " + std::to_string(jobs_) +
                     " at once" +
                     (finished_.empty() ? "" : ", " + std::to_string(finished_.size()) + " were finished before"));
        if (live_) progress.say("live at " + live_->address());
        bool asked = false;
        while (!waiting_.empty() || !workers_.empty()) {
            result.stopped = stop_signal() != 0;
            if (result.stopped) waiting_.clear();
            if (result.stopped && !asked) {
                for (Worker& worker : workers_) worker.process->ask_to_end();
                asked = true;
            }
            while (!waiting_.empty() && static_cast<int>(workers_.size()) < jobs_) start();
            wait();
            progress.whole(done(), begun_);
            tell();
            for (auto worker = workers_.begin(); worker != workers_.end();) {
                const bool ended = worker->process->ended();
                if (ended) finish(*worker, result, progress);
                worker = ended ? workers_.erase(worker) : std::next(worker);
            }
        }
        if (live_) live_->end(place_text());
        return result;
    }

private:
    [[nodiscard]] std::string place_text() const {
        return std::to_string(num_done_) + " of " + std::to_string(total_) + " runs";
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

    void start() {
        const StudyCell& cell = *waiting_.front();
        waiting_.erase(waiting_.begin());
        const fs::path run = cell_folder(folder_, cell);
        const fs::path config = run.string() + ".toml";
        const std::string text = config_text(cell.experiment);
        write_atomically(config, [&](OutputFile& file) { file.append(text); });
        std::vector<std::string> words{this_program(), "train",      "--config", config.string(),
                                       "--out",        run.string(), "--json",   "--progress",    "lines"};
        if (can_go_on(run, cell)) {
            words.insert(words.end(), {"--resume", "auto"});
        } else {
            words.emplace_back("--overwrite");
        }
        workers_.emplace_back(cell, std::make_unique<ChildProcess>(words));
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
        epochs_done_ += cell.experiment.epochs;
        epochs_begun_ += worker.begun * cell.experiment.epochs;
        ++num_done_;
        const std::string place = std::to_string(num_done_) + "/" + std::to_string(total_) + "  " + cell.name;
        if (good) {
            progress.say(place + "  " + duration_text(seconds.count()));
            return;
        }
        const std::string why = "exit code " + std::to_string(code) + (worker.last.empty() ? "" : ": " + worker.last);
        progress.say(place + " FAILED, " + why);
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
    int jobs_;
    bool overwrite_;
    ProgressForm form_;
    std::vector<const StudyCell*> waiting_, finished_;
    std::list<Worker> workers_;
    std::size_t total_ = 0, num_done_ = 0;
    double epochs_ = 0, epochs_done_ = 0, epochs_begun_ = 0, begun_ = 0, told_ = 0;
    std::optional<LiveServer> live_;
};

}  // namespace

fs::path cell_folder(const fs::path& study_folder, const StudyCell& cell) { return study_folder / "runs" / cell.name; }

StudyProgress run_cells(const Study& study, const StudyPlace& place) { return Runner(study, place).run(); }

}  // namespace espalier
