#include "host/run/run_reader.hpp"

#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>

#include "espalier/error.hpp"
#include "espalier/network_file.hpp"
#include "espalier/number_text.hpp"
#include "host/options/config_text.hpp"
#include "host/options/option_table.hpp"
#include "host/run/count_file.hpp"
#include "host/run/run_layout.hpp"
#include "host/run/topology_records.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& file, const std::string& why) {
    throw UserError(ExitCode::data, file.string() + ": " + why);
}

std::string read_text(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (!file) refuse(path, fs::exists(path) ? "cannot be read" : "is missing; a run folder has one");
    text << file.rdbuf();
    return text.str();
}

using Columns = std::map<std::string, std::vector<double>>;

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
    return parts;
}

double read_number(const std::string& text, const fs::path& path, std::size_t line) {
    const auto value = number_from<double>(text);
    if (!value) refuse(path, "line " + std::to_string(line) + ": '" + text + "' is not a number");
    return *value;
}

Experiment read_config(const fs::path& path, const std::string& text) {
    Experiment experiment;
    try {
        experiment = recorded_experiment(parse_config(text, path.string()), path.string());
    } catch (const UserError& error) {
        throw UserError(ExitCode::data, std::string(error.what()) + " (was the run made by another version?)");
    }
    if (text.empty()) refuse(path, "is empty; the run was cut off while it was created");
    return experiment;
}

/// A file of numbers by column. Throws where one of the `needed` columns is missing or a line is not whole.
Columns read_columns(const fs::path& path, const std::vector<std::string>& needed) {
    const std::string text = read_text(path);
    const std::vector<std::string> lines = split(text, '\n');
    if (lines.empty()) refuse(path, "is empty; expected a line of column names");
    const std::vector<std::string> names = split(lines[0], ',');
    Columns columns;
    for (const std::string& name : names) columns[name];
    for (const std::string& name : needed) {
        if (!columns.contains(name)) refuse(path, "has no column '" + name + "'; it was written by another version");
    }
    for (std::size_t l = 1; l < lines.size(); ++l) {
        const std::vector<std::string> cells = split(lines[l], ',');
        if (cells.size() != names.size() || (l + 1 == lines.size() && text.back() != '\n')) {
            refuse(path, "line " + std::to_string(l + 1) + " is cut off (" + std::to_string(cells.size()) + " of " +
                             std::to_string(names.size()) + " columns); remove that line to report the others");
        }
        for (std::size_t c = 0; c < names.size(); ++c) {
            columns[names[c]].push_back(read_number(cells[c], path, l + 1));
        }
    }
    return columns;
}

Columns read_history(const fs::path& path) {
    Columns history = read_columns(path, {"epoch", "train_loss", "test_loss"});
    for (const char* name : {"train_accuracy", "test_accuracy"}) {  // a regression has R^2 instead
        if (history.contains(name) || history.contains("test_r2")) continue;
        refuse(path, std::string("has no column '") + name + "'; it was written by another version");
    }
    if (history["epoch"].empty()) refuse(path, "holds no finished epoch yet");
    return history;
}

/// Runs of versions before these files have none.
Columns read_optional(const fs::path& path, const std::vector<std::string>& needed) {
    return fs::exists(path) ? read_columns(path, needed) : Columns{};
}

/// `more_rows`: RBMs of version 0.1 also have some of their visible biases and chains.
std::vector<WeightRecord> read_weights(const fs::path& folder, std::size_t layers, bool more_rows) {
    const fs::path bins = folder / run_layout::weight_borders;
    if (!fs::exists(bins)) return {};
    const NpyArray borders = read_npy(bins);
    if (borders.type != NpyType::f4 || borders.shape.size() != 2 || borders.shape[0] < layers ||
        (borders.shape[0] > layers && !more_rows) || borders.shape[1] < 2) {
        refuse(bins, "expected the borders of the bins of " + std::to_string(layers) + " layers as float32");
    }
    const auto item = [](const NpyArray& array, std::size_t place, auto number) {
        std::memcpy(&number, array.data.data() + place * sizeof number, sizeof number);
        return number;
    };
    const std::size_t num_bins = borders.shape[1] - 1;
    std::vector<WeightRecord> records(layers);
    for (std::size_t l = 0; l < layers; ++l) {
        for (std::size_t b = 0; b <= num_bins; ++b) {
            records[l].borders.push_back(item(borders, l * (num_bins + 1) + b, float{}));
        }
        const fs::path path = folder / run_layout::weight_counts(l);
        const NpyArray counts = read_npy(path);
        if (!holds_counts(counts.type) || counts.shape.size() != 2 || counts.shape[1] != num_bins) {
            refuse(path, "expected counts [records][" + std::to_string(num_bins) + "] as weights-bins.npy says");
        }
        for (std::size_t r = 0; r < counts.shape[0]; ++r) {
            records[l].counts.emplace_back();
            for (std::size_t b = 0; b < num_bins; ++b) {
                records[l].counts.back().push_back(static_cast<std::uint32_t>(count_at(counts, r * num_bins + b)));
            }
        }
    }
    return records;
}

std::vector<DegreeRecord> read_degrees(const fs::path& folder, const Experiment& experiment, std::size_t epochs) {
    const auto recorded_after = [&](std::size_t done) {
        return recorded_epochs(static_cast<std::uint32_t>(done), experiment.record_every, experiment.epochs).size();
    };
    const std::size_t expected = recorded_after(epochs);
    std::vector<DegreeRecord> records;
    for (std::size_t l = 0; l + 1 < experiment.layers.size(); ++l) {
        if (!is_sparse_layer(experiment, l)) continue;
        for (const bool of_inputs : {true, false}) {
            const fs::path path = folder / run_layout::degrees(l, of_inputs);
            if (!fs::exists(path)) refuse(path, "is missing; layer " + std::to_string(l + 1) + " is sparse");
            records.emplace_back(path, l + 1, of_inputs, experiment.layers[of_inputs ? l : l + 1]);
            // Degrees are written before the epoch's line: one record more is a run caught in between.
            if (records.back().records() != expected && records.back().records() != recorded_after(epochs + 1)) {
                refuse(path, "holds " + std::to_string(records.back().records()) + " records, but history.csv " +
                                 std::to_string(epochs) + " epochs" +
                                 (experiment.record_every == 1
                                      ? ""
                                      : ", of which " + std::to_string(expected) + " are to be recorded"));
            }
        }
    }
    return records;
}

/// The usual shape of that many inputs: CIFAR's colour images, a grey square, or a plain row.
ImageShape guessed_shape(const Experiment& experiment) {
    const Index inputs = experiment.layers.front();
    const auto side = static_cast<Index>(std::lround(std::sqrt(static_cast<double>(inputs))));
    if (experiment.dataset.starts_with("cifar") && inputs == 3072) return {32, 32, 3};
    return side * side == inputs ? ImageShape{side, side, 1} : ImageShape{1, inputs, 1};
}

void read_image(RunFolder& run) {
    run.image = guessed_shape(run.experiment);
    if (!fs::exists(run.path / run_layout::pixels)) return;
    run.pixels = read_pixel_statistics(run.path / run_layout::pixels);
    if (run.pixels->shape.inputs() != run.experiment.layers.front()) {
        refuse(run.path / run_layout::pixels, "describes " + std::to_string(run.pixels->shape.inputs()) +
                                                  " pixels, but the network has " +
                                                  std::to_string(run.experiment.layers.front()) + " inputs");
    }
    run.image = run.pixels->shape;
    run.image_known = true;
}

}  // namespace

DegreeRecord::DegreeRecord(const fs::path& path, std::size_t layer_, bool inputs_, Index neurons_)
    : layer(layer_), inputs(inputs_), neurons(neurons_), array_(read_npy(path)) {
    const bool whole_numbers = holds_counts(array_.type);
    if (!whole_numbers || array_.shape.size() != 3 || array_.shape[1] != 2 || array_.shape[2] != neurons) {
        std::string shape;
        for (const std::uint64_t side : array_.shape) shape += (shape.empty() ? "" : " x ") + std::to_string(side);
        refuse(path, "expected degrees [records][2][" + std::to_string(neurons) + "] as config.toml says, found " +
                         shape + (whole_numbers ? "" : " of another type"));
    }
}

std::vector<EdgeIndex> DegreeRecord::at(std::uint64_t moment) const {
    expects(moment < moments(), "a recorded moment");
    const std::size_t row = moment == 0 ? 0 : 2 * moment - 1;
    std::vector<EdgeIndex> degrees(neurons);
    for (std::size_t n = 0; n < neurons; ++n) degrees[n] = static_cast<EdgeIndex>(count_at(array_, row * neurons + n));
    return degrees;
}

const DegreeRecord* RunFolder::connections() const {
    return !degrees.empty() && degrees.front().layer == 1 ? &degrees.front() : nullptr;
}

PixelMap RunFolder::map_at(std::uint64_t moment) const { return pixel_map(connections()->at(moment), image); }

double RunFolder::epoch_of(std::uint64_t moment) const {
    if (moment == 0) return 0;
    return moment <= recorded.size() ? recorded[moment - 1] : static_cast<double>(epochs() + 1);
}

RunFolder read_run_folder(const fs::path& path) {
    RunFolder run;
    run.path = path;
    run.name = fs::absolute(path).lexically_normal().filename().string();
    if (run.name.empty()) run.name = fs::absolute(path).lexically_normal().parent_path().filename().string();
    if (!fs::exists(path)) refuse(path, "there is no such run folder");
    if (!fs::is_directory(path)) refuse(path, "is a file; a run folder is expected");
    run.config = read_text(path / run_layout::config);
    run.experiment = read_config(path / run_layout::config, run.config);
    run.history = read_history(path / run_layout::history_csv);
    run.recorded =
        recorded_epochs(static_cast<std::uint32_t>(run.epochs()), run.experiment.record_every, run.experiment.epochs);
    run.degrees = read_degrees(path, run.experiment, run.epochs());
    run.edges = read_optional(path / run_layout::edges, {"epoch", "layer", "mean_age", "from_birth", "ever_active"});
    run.lifetimes = read_optional(path / run_layout::survival, {"layer", "age", "at_risk", "lost"});
    const std::size_t layers = run.experiment.layers.size() - 1;
    run.weights = read_weights(path, layers, run.experiment.model == ModelKind::rbm);
    read_image(run);
    if (run.degrees.empty()) run.remarks.push_back("has no sparse layer: no topology to show");
    const fs::path network = path / run_layout::network;
    if (fs::exists(network)) {
        run.network = load_network(network);
    } else {
        run.remarks.push_back("has no network.safetensors yet: no weight histograms (is it still running?)");
    }
    return run;
}

}  // namespace espalier
