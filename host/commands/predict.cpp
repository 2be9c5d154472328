#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "espalier/error.hpp"
#include "espalier/backends.hpp"
#include "host/commands/command.hpp"
#include "espalier/saved_network.hpp"
#include "host/options/option_table.hpp"
#include "host/data/catalog.hpp"
#include "host/data/own_data.hpp"
#include "host/formats/npy.hpp"
#include "host/formats/output_file.hpp"
#include "espalier/predictions.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

struct PredictArguments {
    std::string network;
    std::string data;
    std::string out;
    OptionTexts overrides;
    bool json = false;
};

/// "x.csv" as "csv:x.csv": a file's form is told by its name, what it holds by its content.
std::string described(const std::string& data) {
    std::error_code unreadable;
    if (is_own_data(data) || find_known(data) != nullptr) return data;
    fs::path path = data;
    if (path.extension() == ".gz") path = path.stem();
    const std::string ending = path.extension().string();
    const std::string name = path.filename().string();
    if (ending == ".npy") return "npy:" + data;
    if (ending == ".npz") return "npz:" + data;
    if (name.find("-ubyte") != std::string::npos || ending == ".idx") return "idx:" + data;
    for (const char* table : {".csv", ".tsv", ".txt", ".data", ".dat"}) {
        if (ending == table) return "csv:" + data;
    }
    if (fs::exists(data, unreadable)) {
        throw UserError(ExitCode::usage, "'" + data + "': say which form it has: csv:" + data + ", npy:" + data +
                                             ", npz:" + data + " or idx:" + data);
    }
    return data;  // a mistyped data set's name, which is answered with the nearest
}

/// Quoted where it must be.
std::string csv_text(const std::string& text) {
    if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
    std::string quoted = "\"";
    for (const char each : text) quoted += each == '"' ? "\"\"" : std::string(1, each);
    return quoted + "\"";
}

/// The shortest text that reads back, always with a point or an exponent.
template <class Real>
std::string csv_real(Real value) {
    char text[32];
    const auto [end, fault] = std::to_chars(text, text + sizeof text, value);
    std::string written(text, end);
    if (written.find_first_of(".e") == std::string::npos) written += ".0";
    return written;
}

std::string class_name(const DataSet& data, std::int32_t number) {
    const auto place = static_cast<std::size_t>(number);
    return place < data.class_names.size() ? data.class_names[place] : std::to_string(number);
}

/// A header, then a line a sample: its number from 0, its label if it has one, the class, the probabilities.
template <class Write>
void write_csv(const Predictions& predictions, const DataSet& data, Write&& write) {
    if (data.targets() > 0) {
        write_values(predictions, data, write);
        return;
    }
    std::string line = data.labelled ? "sample,label,class" : "sample,class";
    for (Index c = 0; c < predictions.outputs; ++c) {
        line += "," + csv_text("probability_" + class_name(data, static_cast<std::int32_t>(c)));
    }
    write(line + "\n");
    for (std::size_t s = 0; s < predictions.classes.size(); ++s) {
        line = std::to_string(s) + ",";
        if (data.labelled) line += csv_text(class_name(data, data.test.labels[s])) + ",";
        line += csv_text(class_name(data, predictions.classes[s]));
        for (Index c = 0; c < predictions.outputs; ++c) {
            line += "," + csv_real(predictions.probabilities[s * predictions.outputs + c]);
        }
        write(line + "\n");
    }
}

/// Of a regression: a header, then a line a sample, its number from 0, its targets if it has them, the values.
template <class Write>
void write_values(const Predictions& predictions, const DataSet& data, Write&& write) {
    const bool known = !data.test.targets.empty();
    std::string line = "sample";
    for (const std::string& name : data.target_names) line += known ? "," + csv_text(name) : "";
    for (const std::string& name : data.target_names) line += "," + csv_text("predicted_" + name);
    write(line + "\n");
    const std::size_t targets = data.targets();
    for (std::size_t s = 0; s < data.test.count(); ++s) {
        line = std::to_string(s);
        for (std::size_t t = 0; t < targets && known; ++t) line += "," + csv_real(data.test.targets[s * targets + t]);
        for (std::size_t t = 0; t < targets; ++t) line += "," + csv_real(predictions.values[s * targets + t]);
        write(line + "\n");
    }
}

/// Writes the answers; returns the files, none for stdout.
std::vector<std::string> write_answers(const PredictArguments& arguments, const Predictions& predictions,
                                       const DataSet& data) {
    if (arguments.out.empty()) {
        if (!arguments.json) write_csv(predictions, data, [](const std::string& line) { std::cout << line; });
        return {};
    }
    const fs::path out = arguments.out;
    if (out.extension() == ".npy" && data.targets() > 0) {
        write_npy(out, NpyType::f8, {data.test.count(), data.targets()}, predictions.values.data());
        return {out.string()};
    }
    if (out.extension() == ".npy") {
        fs::path classes = out;
        classes.replace_filename(out.stem().string() + "-class.npy");
        write_npy(out, NpyType::f4, {predictions.classes.size(), predictions.outputs},
                  predictions.probabilities.data());
        write_npy(classes, NpyType::i4, {predictions.classes.size()}, predictions.classes.data());
        return {out.string(), classes.string()};
    }
    write_atomically(out, [&](OutputFile& file) {
        write_csv(predictions, data, [&](const std::string& line) { file.append(line); });
    });
    return {out.string()};
}

int predict_data(const PredictArguments& arguments) {
    const fs::path out = arguments.out;
    if (!out.empty() && out.extension() != ".npy" && out.extension() != ".csv") {
        throw UserError(ExitCode::usage, "out: '" + arguments.out + "' ends in neither .csv nor .npy");
    }
    OptionTexts overrides = arguments.overrides;
    overrides["dataset"] = described(arguments.data);
    const SavedNetwork saved = open_network(arguments.network, overrides);
    if (saved.experiment.model == ModelKind::rbm) {
        throw UserError(ExitCode::usage, saved.file + " is a restricted Boltzmann machine, which has no classes to "
                                                      "predict; espalier evaluate scores it");
    }
    const DataSet data = load_data_for(saved, false);
    const auto backend = make_backend(saved.experiment);
    const Predictions predictions = predict(*backend, saved.experiment, saved.network, data, data.test);
    const std::vector<std::string> files = write_answers(arguments, predictions, data);
    if (arguments.json) {
        nlohmann::ordered_json object{{"network", arguments.network}, {"dataset", data.name},
                                      {"samples", data.test.count()}, {"files", files}};
        if (files.empty() && data.targets() > 0) {
            auto& values = object["values"] = nlohmann::ordered_json::array();
            for (auto at = predictions.values.begin(); at != predictions.values.end(); at += data.targets()) {
                values.push_back(std::vector<double>(at, at + data.targets()));
            }
        } else if (files.empty()) {
            auto& answers = object["classes"] = nlohmann::ordered_json::array();
            for (const std::int32_t each : predictions.classes) answers.push_back(class_name(data, each));
        }
        std::cout << object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
    } else {
        for (const std::string& file : files) std::cout << file << '\n';
    }
    return 0;
}

}  // namespace

void add_predict_command(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("predict", "classes and probabilities of samples, or their values, by a saved network");
    const auto arguments = std::make_shared<PredictArguments>();
    command->add_option("network", arguments->network, "a run folder, its network.safetensors or a checkpoint")
        ->required();
    command
        ->add_option("data", arguments->data,
                     "FILE.csv, FILE.npy, FILE.npz, with labels or without, or a data set as --dataset takes it, of "
                     "which the test samples are taken")
        ->required();
    command->add_option("-o,--out", arguments->out,
                        "FILE.csv, or FILE.npy for the probabilities (and FILE-class.npy) or values; default: CSV on stdout");
    for (const std::string name : {"data-dir", "test-samples", "targets", "backend", "device", "threads"}) {
        const auto& table = experiment_options();
        const auto option =
            std::find_if(table.begin(), table.end(), [&](const ExperimentOption& each) { return each.name == name; });
        command->add_option_function<std::string>(
            "--" + name, [arguments, name](const std::string& text) { arguments->overrides[name] = text; },
            option->help);
    }
    command->add_flag("--json", arguments->json, "what was written, or the classes or values, as one JSON object");
    command->callback([arguments, &action] { action = [arguments] { return predict_data(*arguments); }; });
}

}  // namespace espalier
