#include "host/recorder.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

#include "espalier/error.hpp"
#include "espalier/rule.hpp"
#include "host/data/npy.hpp"
#include "host/heat_map.hpp"
#include "host/output_file.hpp"
#include "host/topology_records.hpp"

namespace espalier {

namespace fs = std::filesystem;

namespace {

/// Calls `visit(name, value)` for every column of the history, in order.
template <class Visitor>
void for_each_column(const EpochRecord& record, Visitor&& visit) {
    visit("epoch", record.epoch);
    visit("train_loss", record.train_loss);
    visit("train_accuracy", record.train_accuracy);
    visit("test_loss", record.test_loss);
    visit("test_accuracy", record.test_accuracy);
    visit("test_confidence", record.test_confidence);
    visit("test_wrong_confidence", record.test_wrong_confidence);
    visit("train_seconds", record.train_seconds);
    visit("test_seconds", record.test_seconds);
    visit("evolution_seconds", record.evolution_seconds);
    visit("images_per_second", record.images_per_second);
    visit("edges", record.edges);
    visit("replaced_positive", record.replaced_positive);
    visit("replaced_negative", record.replaced_negative);
    visit("learning_rate", record.learning_rate);
    visit("weight_decay", record.weight_decay);
    visit("zeta", record.zeta);
}

std::string csv_header() {
    std::string line;
    for_each_column({},
                    [&](const char* name, auto /*value*/) { line += (line.empty() ? "" : ",") + std::string(name); });
    return line + "\n";
}

std::string csv_line(const EpochRecord& record) {
    std::string line;
    for_each_column(record,
                    [&](const char* /*name*/, auto value) { line += (line.empty() ? "" : ",") + number_text(value); });
    return line + "\n";
}

/// JSON has no NaN and no infinity: null, and "nonfinite": true says that null is not for want of a value.
std::string json_line(const EpochRecord& record) {
    nlohmann::ordered_json line;
    bool nonfinite = false;
    for_each_column(record, [&](const char* name, auto value) {
        line[name] = value;
        if constexpr (std::is_floating_point_v<decltype(value)>) {
            if (std::isfinite(value)) return;
            line[name] = nullptr;
            nonfinite = true;
        }
    });
    if (nonfinite) line["nonfinite"] = true;
    return line.dump() + "\n";
}

/// File of the degrees of one side of a layer (from 0).
std::string degrees_name(std::size_t layer, bool inputs) {
    if (layer == 0 && inputs) return "connections.npy";
    return "degrees-layer" + std::to_string(layer + 1) + (inputs ? "-inputs" : "-outputs") + ".npy";
}

/// True for the names this program gives to files in a run folder: the only ones it ever removes.
bool is_own_file(const fs::path& path) {
    std::string name = path.filename().string();
    if (is_temporary(path)) name.erase(name.rfind(".tmp-"));
    for (const char* known :
         {"config.toml", "history.csv", "history.jsonl", "connections.npy", "connections-first.png",
          "connections-last.png", "network.safetensors", "pixels.npy", "report.html", "results.json"}) {
        if (name == known) return true;
    }
    if (is_topology_record(name)) return true;
    const std::string head = "degrees-layer";
    if (!name.starts_with(head)) return false;
    const auto dash = name.find_first_not_of("0123456789", head.size());
    if (dash == std::string::npos || dash == head.size()) return false;
    return name.substr(dash) == "-inputs.npy" || name.substr(dash) == "-outputs.npy";
}

void remove_own_files(const fs::path& folder) {
    std::vector<fs::path> own;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (!entry.is_directory() && is_own_file(entry.path())) own.push_back(entry.path());
    }
    for (const auto& path : own) fs::remove(path);
}

/// Refuses to write into a folder that holds somebody's files and is no run folder.
void expect_run_folder(const fs::path& folder) {
    if (fs::exists(folder / "config.toml")) return;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (is_own_file(entry.path())) continue;
        throw UserError(ExitCode::usage, folder.string() + " is not a run folder: it has no config.toml but holds " +
                                             entry.path().filename().string() +
                                             ", which --overwrite will not touch; choose another --out");
    }
}

/// The run folder while its first files are written: removes what it made unless keep() is called.
class NewFolder {
public:
    /// Creates the folder and its missing parents, or clears an old run out of it.
    NewFolder(const fs::path& folder, bool overwrite) : folder_(folder) {
        try {
            if (fs::exists(folder)) {
                reuse(overwrite);
            } else {
                create();
            }
        } catch (const fs::filesystem_error& failed) {
            remove_made();
            throw_unwritable(folder, failed.code().value());
        }
    }
    NewFolder(const NewFolder&) = delete;
    NewFolder& operator=(const NewFolder&) = delete;
    ~NewFolder() {
        if (!kept_) remove_made();
    }
    void keep() { kept_ = true; }

private:
    void reuse(bool overwrite) {
        if (!overwrite) {
            throw UserError(ExitCode::usage, folder_.string() +
                                                 " exists; pass --overwrite to replace the run in it, or choose "
                                                 "another folder with --out");
        }
        if (!fs::is_directory(folder_)) {
            throw UserError(ExitCode::usage, folder_.string() + " is not a folder; choose another --out");
        }
        expect_run_folder(folder_);
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
            remove_own_files(folder_);
        } catch (...) {  // the error that led here is the one to report
        }
        std::error_code ignored;
        for (auto at = made_.rbegin(); at != made_.rend(); ++at) fs::remove(*at, ignored);
    }

    fs::path folder_;
    std::vector<fs::path> made_;
    bool kept_ = false;
};

/// One side of a sparse layer: its degrees before and after every evolution, [records][2][neurons].
class DegreeFile {
public:
    DegreeFile(const fs::path& path, Index neurons, Index largest_degree)
        : narrow_(largest_degree <= std::numeric_limits<std::uint16_t>::max()),
          neurons_(neurons),
          file_(path, narrow_ ? NpyType::u2 : NpyType::u4, {2, neurons}) {}

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

class Recorder::Files {
public:
    Files(const fs::path& folder, bool overwrite, const std::string& config_text,
          const std::vector<RecordedLayer>& layers)
        : folder_(folder), made_(folder, overwrite) {
        write_atomically(folder / "config.toml",
                         [&](OutputFile& file) { file.write(config_text.data(), config_text.size()); });
        csv_.emplace(folder / "history.csv");
        csv_->append(csv_header());
        jsonl_.emplace(folder / "history.jsonl");
        for (std::size_t l = 0; l < layers.size(); ++l) {
            inputs_.emplace_back();
            outputs_.emplace_back();
            if (!layers[l].sparse) continue;
            inputs_[l].emplace(folder / degrees_name(l, true), layers[l].num_inputs, layers[l].num_outputs);
            outputs_[l].emplace(folder / degrees_name(l, false), layers[l].num_outputs, layers[l].num_inputs);
        }
        made_.keep();
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
    fs::path folder_;
    NewFolder made_;
    std::optional<OutputFile> csv_, jsonl_;
    std::vector<std::optional<DegreeFile>> inputs_, outputs_;  // per layer, empty for dense ones
    std::vector<EdgeIndex> first_, last_;                      // connections per input of layer 1
};

Recorder::Recorder(const fs::path& folder, bool overwrite, const std::string& config_text,
                   std::vector<RecordedLayer> layers)
    : files_(std::make_unique<Files>(folder, overwrite, config_text, layers)) {}

Recorder::~Recorder() = default;

void Recorder::epoch(const EpochRecord& record) { files_->epoch(record); }

void Recorder::degrees(std::size_t layer, const Degrees& before, const Degrees& after) {
    files_->degrees(layer, before, after);
}

void Recorder::heat_maps(Index height, Index width, Index channels) { files_->heat_maps(height, width, channels); }

const fs::path& Recorder::folder() const { return files_->folder(); }

}  // namespace espalier
