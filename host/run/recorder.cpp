#include "host/run/recorder.hpp"

#include <algorithm>
#include <fstream>
#include <optional>
#include <system_error>

#include "espalier/error.hpp"
#include "host/formats/heat_map.hpp"
#include "host/formats/npy.hpp"
#include "host/formats/output_file.hpp"
#include "host/run/checkpoint_folder.hpp"
#include "host/run/count_file.hpp"
#include "host/run/run_layout.hpp"
#include "host/run/run_lock.hpp"

namespace espalier {

namespace fs = std::filesystem;

namespace {

void remove_own_files(const fs::path& folder) {
    remove_checkpoints(folder);
    std::vector<fs::path> own;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (!entry.is_directory() && run_layout::is_run_file(entry.path()) &&
            entry.path().filename() != run_layout::lock) {
            own.push_back(entry.path());
        }
    }
    for (const auto& path : own) fs::remove(path);
}

/// What killed writers left.
void remove_unfinished_records(const fs::path& folder) {
    std::vector<fs::path> left;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (is_temporary(entry.path()) && run_layout::is_run_file(entry.path())) left.push_back(entry.path());
    }
    for (const auto& path : left) fs::remove(path);
}

/// Refuses to write into a folder that holds somebody's files and is no run folder.
void expect_run_folder(const fs::path& folder) {
    if (fs::exists(folder / run_layout::config)) return;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (run_layout::is_run_file(entry.path())) continue;
        if (entry.path().filename() == run_layout::checkpoints && entry.is_directory()) continue;
        throw UserError(ExitCode::usage, folder.string() + " is not a run folder: it has no config.toml but holds " +
                                             entry.path().filename().string() +
                                             ", which --overwrite will not touch; choose another --out");
    }
}

/// The run folder, held against other processes. While the first files of a new run are written: removes what it made
/// unless keep() is called.
class RunFolderGuard {
public:
    /// Creates the folder and its missing parents, or clears an old run out of it; holds the folder of a run that
    /// `goes_on` as it is.
    RunFolderGuard(const fs::path& folder, bool overwrite, bool goes_on) : folder_(folder), kept_(goes_on) {
        try {
            if (goes_on) {
                lock_.emplace(folder);
                remove_unfinished_records(folder);
            } else if (fs::exists(folder)) {
                reuse(overwrite);
            } else {
                create();
                lock_.emplace(folder);
            }
        } catch (const fs::filesystem_error& failed) {
            if (!kept_) remove_made();
            throw_unwritable(folder, failed.code().value());
        } catch (...) {
            if (!kept_) remove_made();
            throw;
        }
    }
    RunFolderGuard(const RunFolderGuard&) = delete;
    RunFolderGuard& operator=(const RunFolderGuard&) = delete;
    ~RunFolderGuard() {
        if (!kept_) remove_made();
    }
    void keep() { kept_ = true; }

private:
    void reuse(bool overwrite) {
        if (!overwrite) {
            throw UserError(ExitCode::usage, folder_.string() +
                                                 " exists; pass --resume auto to go on with the run in it, --overwrite "
                                                 "to replace that run, or choose another folder with --out");
        }
        if (!fs::is_directory(folder_)) {
            throw UserError(ExitCode::usage, folder_.string() + " is not a folder; choose another --out");
        }
        expect_run_folder(folder_);
        lock_.emplace(folder_);
        remove_own_files(folder_);
    }
    void create() {
        std::vector<fs::path> missing;
        for (fs::path at = fs::absolute(folder_).lexically_normal(); !fs::exists(at); at = at.parent_path()) {
            if (at.has_filename()) missing.push_back(at);
        }
        for (auto at = missing.rbegin(); at != missing.rend(); ++at) {
            fs::create_directory(*at);
            made_.push_back(*at);
        }
    }
    void remove_made() noexcept {
        try {
            if (lock_.has_value()) remove_own_files(folder_);
        } catch (...) {  // the error that led here is the one to report
        }
        lock_.reset();
        std::error_code ignored;
        for (auto at = made_.rbegin(); at != made_.rend(); ++at) fs::remove(*at, ignored);
    }

    fs::path folder_;
    std::vector<fs::path> made_;
    std::optional<RunLock> lock_;
    bool kept_ = false;
};

}  // namespace

class Recorder::Impl {
public:
    Impl(const fs::path& folder, bool overwrite, const std::string& config_text,
         const std::vector<RecordedLayer>& layers, const std::optional<RecordedBytes>& recorded,
         const EpochRecord& like)
        : folder_(folder), guard_(folder, overwrite, recorded.has_value()) {
        const auto bytes = [&](const std::string& name) { return bytes_to_keep(recorded, name); };
        write_atomically(folder / run_layout::config,
                         [&](OutputFile& file) { file.write(config_text.data(), config_text.size()); });
        csv_.emplace(OutputFile::growing(folder / run_layout::history_csv, bytes(run_layout::history_csv)));
        if (recorded.has_value()) {
            std::ifstream names(folder / run_layout::history_csv);
            std::getline(names, header_);
        } else {
            header_ = csv_header(like);
            csv_->append(header_);
        }
        jsonl_.emplace(OutputFile::growing(folder / run_layout::history_jsonl, bytes(run_layout::history_jsonl)));
        for (std::size_t l = 0; l < layers.size(); ++l) {
            inputs_.emplace_back();
            outputs_.emplace_back();
            if (!layers[l].sparse) continue;
            const std::string in = run_layout::degrees(l, true), out = run_layout::degrees(l, false);
            const Index ins = layers[l].num_inputs, outs = layers[l].num_outputs;
            inputs_[l].emplace(folder / in, std::vector<std::uint64_t>{2, ins}, outs, bytes(in));
            outputs_[l].emplace(folder / out, std::vector<std::uint64_t>{2, outs}, ins, bytes(out));
        }
        if (recorded.has_value()) read_connections();
        guard_.keep();
    }

    RecordedBytes sync() {
        csv_->sync();
        jsonl_->sync();
        RecordedBytes bytes{{run_layout::history_csv, csv_->size()}, {run_layout::history_jsonl, jsonl_->size()}};
        for (std::size_t l = 0; l < inputs_.size(); ++l) {
            for (const bool inputs : {true, false}) {
                auto& degrees = inputs ? inputs_[l] : outputs_[l];
                if (!degrees.has_value()) continue;
                degrees->file().sync();
                bytes[run_layout::degrees(l, inputs)] = degrees->file().bytes();
            }
        }
        return bytes;
    }

    void epoch(const EpochRecord& record) {
        csv_->append(csv_line(record, header_));
        jsonl_->append(json_line(record));
    }

    void degrees(std::size_t layer, const Degrees& before, const Degrees& after) {
        expects(layer < inputs_.size() && inputs_[layer].has_value(), "degrees of a sparse layer");
        inputs_[layer]->append({before.inputs, after.inputs});
        outputs_[layer]->append({before.outputs, after.outputs});
        if (layer != 0) return;
        if (first_.empty()) first_ = before.inputs;
        last_ = after.inputs;
    }

    void heat_maps(Index height, Index width, Index channels) const {
        if (first_.empty()) return;
        expects(first_.size() == std::size_t{height} * width * channels, "an image with a pixel for every input");
        const auto first = sum_over_channels(first_, channels);
        const auto last = sum_over_channels(last_, channels);
        const std::uint64_t highest =
            std::max(*std::max_element(first.begin(), first.end()), *std::max_element(last.begin(), last.end()));
        for (const auto& [name, counts] :
             {std::pair{run_layout::connections_first, &first}, {run_layout::connections_last, &last}}) {
            const std::string bytes = framed_heat_map(*counts, height, width, highest);
            write_atomically(folder_ / name, [&](OutputFile& file) { file.append(bytes); });
        }
    }

    [[nodiscard]] const fs::path& folder() const { return folder_; }

private:
    /// The first and the last moment recorded so far.
    void read_connections() {
        if (inputs_.empty() || !inputs_[0].has_value() || inputs_[0]->file().rows() == 0) return;
        const NpyArray array = read_npy(inputs_[0]->file().path());
        const std::size_t neurons = array.shape.at(2);
        const auto row = [&](std::size_t number) {
            std::vector<EdgeIndex> degrees(neurons, 0);
            for (std::size_t n = 0; n < neurons; ++n) {
                degrees[n] = static_cast<EdgeIndex>(count_at(array, number * neurons + n));
            }
            return degrees;
        };
        first_ = row(0);
        last_ = row(2 * array.shape.at(0) - 1);
    }

    fs::path folder_;
    RunFolderGuard guard_;
    std::optional<OutputFile> csv_, jsonl_;
    std::string header_;                                       // of csv_
    std::vector<std::optional<CountFile>> inputs_, outputs_;  // per layer, empty for dense ones
    std::vector<EdgeIndex> first_, last_;                      // connections per input of layer 1
};

Recorder::Recorder(const fs::path& folder, bool overwrite, const std::string& config_text,
                   const std::vector<RecordedLayer>& layers, const std::optional<RecordedBytes>& recorded,
                   const EpochRecord& like)
    : impl_(std::make_unique<Impl>(folder, overwrite, config_text, layers, recorded, like)) {}

Recorder::~Recorder() = default;

RecordedBytes Recorder::sync() { return impl_->sync(); }

void Recorder::epoch(const EpochRecord& record) { impl_->epoch(record); }

void Recorder::degrees(std::size_t layer, const Degrees& before, const Degrees& after) {
    impl_->degrees(layer, before, after);
}

void Recorder::heat_maps(Index height, Index width, Index channels) { impl_->heat_maps(height, width, channels); }

const fs::path& Recorder::folder() const { return impl_->folder(); }

}  // namespace espalier
