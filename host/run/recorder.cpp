#include "host/run/recorder.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <system_error>

#include "espalier/error.hpp"
#include "host/run/checkpoint_folder.hpp"
#include "host/formats/npy.hpp"
#include "host/formats/heat_map.hpp"
#include "host/formats/output_file.hpp"
#include "host/run/run_lock.hpp"
#include "host/run/topology_records.hpp"

namespace espalier {

namespace fs = std::filesystem;

namespace {

constexpr const char* csv_name = "history.csv";
constexpr const char* jsonl_name = "history.jsonl";

/// File of the degrees of one side of a layer (from 0).
std::string degrees_name(std::size_t layer, bool inputs) {
    if (layer == 0 && inputs) return "connections.npy";
    return "degrees-layer" + std::to_string(layer + 1) + (inputs ? "-inputs" : "-outputs") + ".npy";
}

/// True for the names this program gives to files in a run folder: the only ones it ever removes.
bool is_own_file(const fs::path& path) {
    std::string name = path.filename().string();
    if (is_temporary(path)) name.erase(name.rfind(".tmp-"));
    for (const char* known : {"config.toml", "history.csv", "history.jsonl", "connections.npy", "connections-first.png",
                              "connections-last.png", "network.safetensors", "pixels.npy", "report.html",
                              "results.json", "receptive-fields.png", "reconstructions.png", "samples.png"}) {
        if (name == known) return true;
    }
    if (is_topology_record(name)) return true;
    if (name == RunLock::name) return true;
    const std::string head = "degrees-layer";
    if (!name.starts_with(head)) return false;
    const auto dash = name.find_first_not_of("0123456789", head.size());
    if (dash == std::string::npos || dash == head.size()) return false;
    return name.substr(dash) == "-inputs.npy" || name.substr(dash) == "-outputs.npy";
}

void remove_own_files(const fs::path& folder) {
    remove_checkpoints(folder);
    std::vector<fs::path> own;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (!entry.is_directory() && is_own_file(entry.path()) && entry.path().filename() != RunLock::name) {
            own.push_back(entry.path());
        }
    }
    for (const auto& path : own) fs::remove(path);
}

/// What killed writers left.
void remove_unfinished_records(const fs::path& folder) {
    std::vector<fs::path> left;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (is_temporary(entry.path()) && is_own_file(entry.path())) left.push_back(entry.path());
    }
    for (const auto& path : left) fs::remove(path);
}

/// Refuses to write into a folder that holds somebody's files and is no run folder.
void expect_run_folder(const fs::path& folder) {
    if (fs::exists(folder / "config.toml")) return;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (is_own_file(entry.path())) continue;
        if (entry.path().filename() == checkpoints_name && entry.is_directory()) continue;
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

/// One side of a sparse layer: its degrees before and after every evolution, [records][2][neurons].
class DegreeFile {
public:
    /// Goes on with the first `bytes` bytes of a file, or begins one.
    DegreeFile(const fs::path& path, Index neurons, Index largest_degree, std::optional<std::uint64_t> bytes)
        : narrow_(largest_degree <= std::numeric_limits<std::uint16_t>::max()),
          neurons_(neurons),
          file_(path, narrow_ ? NpyType::u2 : NpyType::u4, {2, neurons}, bytes) {}

    [[nodiscard]] NpyAppender& file() { return file_; }

    void append(const std::vector<EdgeIndex>& before, const std::vector<EdgeIndex>& after) {
        expects(before.size() == neurons_ && after.size() == neurons_, "one degree per neuron");
        if (narrow_) {
            append_as<std::uint16_t>(before, after);
        } else {
            append_as<std::uint32_t>(before, after);
        }
    }

private:
    template <class Item>
    void append_as(const std::vector<EdgeIndex>& before, const std::vector<EdgeIndex>& after) {
        std::vector<Item> row;
        row.reserve(2 * std::size_t{neurons_});
        for (const auto* side : {&before, &after}) {
            for (const EdgeIndex degree : *side) row.push_back(static_cast<Item>(degree));
        }
        file_.append(row.data());
    }

    bool narrow_;
    Index neurons_;
    NpyAppender file_;
};

}  // namespace

class Recorder::Impl {
public:
    Impl(const fs::path& folder, bool overwrite, const std::string& config_text,
         const std::vector<RecordedLayer>& layers, const std::optional<RecordedBytes>& recorded)
        : folder_(folder), guard_(folder, overwrite, recorded.has_value()) {
        const auto bytes = [&](const std::string& name) { return bytes_to_keep(recorded, name); };
        write_atomically(folder / "config.toml",
                         [&](OutputFile& file) { file.write(config_text.data(), config_text.size()); });
        csv_.emplace(OutputFile::growing(folder / csv_name, bytes(csv_name)));
        if (!recorded.has_value()) csv_->append(csv_header());
        jsonl_.emplace(OutputFile::growing(folder / jsonl_name, bytes(jsonl_name)));
        for (std::size_t l = 0; l < layers.size(); ++l) {
            inputs_.emplace_back();
            outputs_.emplace_back();
            if (!layers[l].sparse) continue;
            const std::string in = degrees_name(l, true), out = degrees_name(l, false);
            inputs_[l].emplace(folder / in, layers[l].num_inputs, layers[l].num_outputs, bytes(in));
            outputs_[l].emplace(folder / out, layers[l].num_outputs, layers[l].num_inputs, bytes(out));
        }
        if (recorded.has_value()) read_connections();
        guard_.keep();
    }

    RecordedBytes sync() {
        csv_->sync();
        jsonl_->sync();
        RecordedBytes bytes{{csv_name, csv_->size()}, {jsonl_name, jsonl_->size()}};
        for (std::size_t l = 0; l < inputs_.size(); ++l) {
            for (const bool inputs : {true, false}) {
                auto& degrees = inputs ? inputs_[l] : outputs_[l];
                if (!degrees.has_value()) continue;
                degrees->file().sync();
                bytes[degrees_name(l, inputs)] = degrees->file().bytes();
            }
        }
        return bytes;
    }

    void epoch(const EpochRecord& record) {
        csv_->append(csv_line(record));
        jsonl_->append(json_line(record));
    }

    void degrees(std::size_t layer, const Degrees& before, const Degrees& after) {
        expects(layer < inputs_.size() && inputs_[layer].has_value(), "degrees of a sparse layer");
        inputs_[layer]->append(before.inputs, after.inputs);
        outputs_[layer]->append(before.outputs, after.outputs);
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
        const Index zoom = fitting_zoom(height, width);
        write_png(folder_ / "connections-first.png", heat_map(first, height, width, highest, zoom), viridis());
        write_png(folder_ / "connections-last.png", heat_map(last, height, width, highest, zoom), viridis());
    }

    [[nodiscard]] const fs::path& folder() const { return folder_; }

private:
    /// The first and the last moment recorded so far.
    void read_connections() {
        if (inputs_.empty() || !inputs_[0].has_value() || inputs_[0]->file().rows() == 0) return;
        const NpyArray array = read_npy(inputs_[0]->file().path());
        const std::size_t neurons = array.shape.at(2);
        const std::size_t item = item_size(array.type);
        const auto row = [&](std::size_t number) {
            std::vector<EdgeIndex> degrees(neurons, 0);
            for (std::size_t n = 0; n < neurons; ++n) {
                std::memcpy(&degrees[n], array.data.data() + (number * neurons + n) * item, item);
            }
            return degrees;
        };
        first_ = row(0);
        last_ = row(2 * array.shape.at(0) - 1);
    }

    fs::path folder_;
    RunFolderGuard guard_;
    std::optional<OutputFile> csv_, jsonl_;
    std::vector<std::optional<DegreeFile>> inputs_, outputs_;  // per layer, empty for dense ones
    std::vector<EdgeIndex> first_, last_;                      // connections per input of layer 1
};

Recorder::Recorder(const fs::path& folder, bool overwrite, const std::string& config_text,
                   const std::vector<RecordedLayer>& layers, const std::optional<RecordedBytes>& recorded)
    : impl_(std::make_unique<Impl>(folder, overwrite, config_text, layers, recorded)) {}

Recorder::~Recorder() = default;

RecordedBytes Recorder::sync() { return impl_->sync(); }

void Recorder::epoch(const EpochRecord& record) { impl_->epoch(record); }

void Recorder::degrees(std::size_t layer, const Degrees& before, const Degrees& after) {
    impl_->degrees(layer, before, after);
}

void Recorder::heat_maps(Index height, Index width, Index channels) { impl_->heat_maps(height, width, channels); }

const fs::path& Recorder::folder() const { return impl_->folder(); }

}  // namespace espalier
