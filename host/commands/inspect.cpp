#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "espalier/topology.hpp"
#include "host/commands/command.hpp"
#include "espalier/data_meaning.hpp"
#include "host/data/labels.hpp"
#include "host/formats/npy.hpp"
#include "espalier/network_file.hpp"
#include "host/formats/safetensors.hpp"
#include "host/run/checkpoint_folder.hpp"
#include "host/system/utf8.hpp"

namespace espalier {
namespace {

using Json = nlohmann::ordered_json;

struct InspectArguments {
    std::string file;
    bool json = false;
};

Json spread_of(std::vector<EdgeIndex> degrees) {
    std::sort(degrees.begin(), degrees.end());
    double sum = 0;
    for (const EdgeIndex degree : degrees) sum += degree;
    return {{"least", degrees.front()},
            {"median", degrees[degrees.size() / 2]},
            {"mean", sum / static_cast<double>(degrees.size())},
            {"most", degrees.back()},
            {"unconnected", std::count(degrees.begin(), degrees.end(), EdgeIndex{0})}};
}

Json describe_layer(const Layer& layer) {
    const double cells = static_cast<double>(layer.num_inputs) * layer.num_outputs;
    Json described{{"inputs", layer.num_inputs},
                   {"outputs", layer.num_outputs},
                   {"activation", rule_text(layer.activation)},
                   {"sparse", layer.is_sparse()},
                   {"edges", layer.weights.size()},
                   {"sparsity", 1 - static_cast<double>(layer.weights.size()) / cells},
                   {"optimizer_states", layer.weight_state.size()}};
    const auto zeros = std::count(layer.weights.begin(), layer.weights.end(), 0.0F);
    described["zero_weights"] = zeros;
    if (!layer.is_sparse()) return described;
    const Degrees both = degrees(*layer.topology);
    described["input_degrees"] = spread_of(both.inputs);
    described["output_degrees"] = spread_of(both.outputs);
    return described;
}

Json describe_network(const std::string& path) {
    const SafetensorsFile file(path);
    const bool has_checksum = file.has_checksum();
    NetworkMetadata metadata;
    const Network network = load_network(path, &metadata);  // verifies the checksum
    const bool is_checkpoint = metadata.contains("checkpoint");
    Json described{{"file", path},
                   {"what", is_checkpoint ? "checkpoint" : "network"},
                   {"checksum", has_checksum ? "verified" : "none"}};
    for (const char* key : {"epoch", "step", "epochs", "seed", "dataset", "dataset_digest", "backend", "machine",
                            "test_loss", "program"}) {
        if (const auto found = metadata.find(key); found != metadata.end()) described[key] = found->second;
    }
    if (const auto meaning = metadata.find(meaning_key); meaning != metadata.end()) {
        described[meaning_key] = Json::parse(meaning_json(parse_meaning(meaning->second, path)));
    }
    std::uint64_t edges = 0;
    Json layers = Json::array();
    for (const Layer& layer : network.layers) {
        if (layer.is_sparse()) edges += layer.weights.size();
        layers.push_back(describe_layer(layer));
    }
    described["sparse_edges"] = edges;
    described["layers"] = layers;
    if (network.model.empty()) return described;
    described["model"] = network.model;
    described["arrays"] = Json::object();
    for (const NamedArray& array : network.arrays) {
        described["arrays"][array.name] = {{"shape", array.shape}, {"optimizer_states", array.state.size()}};
    }
    return described;
}

Json describe_array(const std::string& path) {
    const NpyArray array = read_npy(path);
    const char* const names[] = {"b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8", "text"};
    return {{"file", path},
            {"what", "array"},
            {"type", names[static_cast<std::size_t>(array.type)]},
            {"shape", array.shape},
            {"sha256", array.digest}};
}

bool is_array(const std::string& path) {
    char start[6] = {};
    std::ifstream(path, std::ios::binary).read(start, sizeof start);
    return std::string(start, sizeof start) == "\x93NUMPY";
}

std::string spread_text(const Json& spread) {
    char text[96];
    std::snprintf(text, sizeof text, "%llu to %llu, mean %.2f, %llu of 0", spread["least"].get<unsigned long long>(),
                  spread["most"].get<unsigned long long>(), spread["mean"].get<double>(),
                  spread["unconnected"].get<unsigned long long>());
    return text;
}

void print_description(const Json& described) {
    for (const auto& [key, value] : described.items()) {
        if (key == "layers" || key == meaning_key) continue;
        std::cout << key << std::string(key.size() < 16 ? 16 - key.size() : 1, ' ')
                  << (value.is_string() ? value.get<std::string>() : value.dump()) << '\n';
    }
    if (described.contains(meaning_key)) {
        const Json& meaning = described[meaning_key];
        if (meaning.contains("targets")) {
            std::cout << "targets         " << meaning["targets"].dump() << ", mean " << meaning["target_mean"].dump()
                      << ", deviation " << meaning["target_deviation"].dump() << '\n';
        } else {
            std::cout << "classes         " << list_classes(meaning["classes"].get<std::vector<std::string>>(), 12) << '\n';
        }
    }
    if (!described.contains("layers")) return;
    int number = 0;
    for (const Json& layer : described["layers"]) {
        char line[160];
        std::snprintf(line, sizeof line,
                      "layer %d  %llu x %llu  %s  %llu edges  sparsity %.4f  %llu optimizer states  ", ++number,
                      layer["inputs"].get<unsigned long long>(), layer["outputs"].get<unsigned long long>(),
                      layer["sparse"].get<bool>() ? "sparse" : "dense", layer["edges"].get<unsigned long long>(),
                      layer["sparsity"].get<double>(), layer["optimizer_states"].get<unsigned long long>());
        std::cout << line << layer["activation"].get<std::string>() << '\n';
        if (!layer["sparse"].get<bool>()) continue;
        std::cout << "  edges per input   " << spread_text(layer["input_degrees"]) << '\n'
                  << "  edges per output  " << spread_text(layer["output_degrees"]) << '\n';
    }
}

int inspect(const InspectArguments& arguments) {
    const std::string file = network_of(arguments.file).string();
    const Json described = is_array(file) ? describe_array(file) : describe_network(file);
    if (arguments.json) {
        std::cout << json_text(described) << '\n';
    } else {
        print_description(described);
    }
    return 0;
}

}  // namespace

void add_inspect_command(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("inspect", "say what a file holds: layers, sparsity, degrees, checksum");
    const auto arguments = std::make_shared<InspectArguments>();
    command->add_option("file", arguments->file, "network, checkpoint, run folder or .npy file")->required();
    command->add_flag("--json", arguments->json, "one JSON object");
    command->callback([arguments, &action] { action = [arguments] { return inspect(*arguments); }; });
}

}  // namespace espalier
