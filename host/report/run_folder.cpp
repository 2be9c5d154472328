#include "host/report/run_folder.hpp"

#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>

#include "espalier/error.hpp"
#include "host/network_file.hpp"
#include "host/option_table.hpp"

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

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
    return parts;
}

double read_number(const std::string& text, const fs::path& path, std::size_t line) {
    double value = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (fault != std::errc{} || end != text.data() + text.size()) {
        refuse(path, "line " + std::to_string(line) + ": '" + text + "' is not a number");
    }
    return value;
}

Experiment read_config(const fs::path& path, const std::string& text) {
    Experiment experiment;
    try {
        apply(parse_config(text, path.string()), path.string(), experiment);
    } catch (const UserError& error) {
        throw UserError(ExitCode::data, std::string(error.what()) + " (was the run made by another version?)");
    }
    if (text.empty()) refuse(path, "is empty; the run was cut off while it was created");
    return experiment;
}

std::map<std::string, std::vector<double>> read_history(const fs::path& path) {
    const std::string text = read_text(path);
    const std::vector<std::string> lines = split(text, '\n');
    if (lines.empty()) refuse(path, "is empty; expected a line of column names");
    const std::vector<std::string> names = split(lines[0], ',');
    std::map<std::string, std::vector<double>> history;
    for (const std::string& name : names) history[name];
    for (const char* needed : {"epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy"}) {
        if (!history.contains(needed)) {
            refuse(path, "has no column '" + std::string(needed) + "'; it was written by another version");
        }
    }
    for (std::size_t l = 1; l < lines.size(); ++l) {
        const std::vector<std::string> cells = split(lines[l], ',');
        if (cells.size() != names.size() || (l + 1 == lines.size() && text.back() != '\n')) {
            refuse(path, "line " + std::to_string(l + 1) + " is cut off (" + std::to_string(cells.size()) + " of " +
                             std::to_string(names.size()) + " columns); remove that line to report the others");
        }
        for (std::size_t c = 0; c < names.size(); ++c) {
            history[names[c]].push_back(read_number(cells[c], path, l + 1));
        }
    }
    if (history["epoch"].empty()) refuse(path, "holds no finished epoch yet");
    return history;
}

/// Whether a layer (from 0) of the experiment is sparse.
bool is_sparse(const Experiment& experiment, std::size_t layer) {
    const bool last = layer + 2 == experiment.layers.size();
    return experiment.topology != TopologyKind::dense && !(last && experiment.dense_output);
}

std::vector<DegreeRecord> read_degrees(const fs::path& folder, const Experiment& experiment, std::size_t epochs) {
    std::vector<DegreeRecord> records;
    for (std::size_t l = 0; l + 1 < experiment.layers.size(); ++l) {
        if (!is_sparse(experiment, l)) continue;
        const std::string head = "degrees-layer" + std::to_string(l + 1);
        const fs::path inputs = folder / (l == 0 ? "connections.npy" : head + "-inputs.npy");
        const fs::path outputs = folder / (head + "-outputs.npy");
        for (const fs::path& path : {inputs, outputs}) {
            const bool of_inputs = path == inputs;
            if (!fs::exists(path)) refuse(path, "is missing; layer " + std::to_string(l + 1) + " is sparse");
            records.emplace_back(path, l + 1, of_inputs, experiment.layers[of_inputs ? l : l + 1]);
            // Degrees are written before the epoch's line: one record more is a run caught in between.
            if (records.back().records() != epochs && records.back().records() != epochs + 1) {
                refuse(path, "holds " + std::to_string(records.back().records()) + " records, but history.csv " +
                                 std::to_string(epochs) + " epochs");
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
    if (!fs::exists(run.path / "pixels.npy")) return;
    run.pixels = read_pixel_statistics(run.path);
    if (run.pixels->shape.inputs() != run.experiment.layers.front()) {
        refuse(run.path / "pixels.npy", "describes " + std::to_string(run.pixels->shape.inputs()) +
                                            " pixels, but the network has " +
                                            std::to_string(run.experiment.layers.front()) + " inputs");
    }
    run.image = run.pixels->shape;
    run.image_known = true;
}

}  // namespace

DegreeRecord::DegreeRecord(const fs::path& path, std::size_t layer_, bool inputs_, Index neurons_)
    : layer(layer_), inputs(inputs_), neurons(neurons_), array_(read_npy(path)) {
    const bool whole_numbers = array_.type == NpyType::u2 || array_.type == NpyType::u4;
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
    const std::size_t size = item_size(array_.type);
    std::vector<EdgeIndex> degrees(neurons);
    for (std::size_t n = 0; n < neurons; ++n) {
        const std::uint8_t* item = array_.data.data() + (row * neurons + n) * size;
        EdgeIndex value = 0;
        for (std::size_t b = size; b-- > 0;) value = static_cast<EdgeIndex>(value << 8 | item[b]);
        degrees[n] = value;
    }
    return degrees;
}

const DegreeRecord* RunFolder::connections() const {
    return !degrees.empty() && degrees.front().layer == 1 ? &degrees.front() : nullptr;
}

PixelMap RunFolder::map_at(std::uint64_t moment) const { return pixel_map(connections()->at(moment), image); }

double RunFolder::epoch_of(std::uint64_t moment) const {
    if (moment == 0) return 0;
    const auto& epoch = history.at("epoch");
    return moment <= epoch.size() ? epoch[moment - 1] : epoch.back() + 1;
}

RunFolder read_run_folder(const fs::path& path) {
    RunFolder run;
    run.path = path;
    run.name = fs::absolute(path).lexically_normal().filename().string();
    if (run.name.empty()) run.name = fs::absolute(path).lexically_normal().parent_path().filename().string();
    if (!fs::exists(path)) refuse(path, "there is no such run folder");
    if (!fs::is_directory(path)) refuse(path, "is a file; a run folder is expected");
    run.config = read_text(path / "config.toml");
    run.experiment = read_config(path / "config.toml", run.config);
    run.history = read_history(path / "history.csv");
    run.degrees = read_degrees(path, run.experiment, run.epochs());
    read_image(run);
    if (run.degrees.empty()) run.remarks.push_back("has no sparse layer: no topology to show");
    const fs::path network = path / "network.safetensors";
    if (fs::exists(network)) {
        run.network = load_network(network);
    } else {
        run.remarks.push_back("has no network.safetensors yet: no weight histograms (is it still running?)");
    }
    return run;
}

}  // namespace espalier
