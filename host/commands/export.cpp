#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "espalier/error.hpp"
#include "host/commands/command.hpp"
#include "host/commands/validators.hpp"
#include "espalier/data_meaning.hpp"
#include "host/formats/network_export.hpp"
#include "espalier/network_file.hpp"
#include "host/run/checkpoint_folder.hpp"
#include "host/system/utf8.hpp"
#include "host/formats/output_file.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

struct ExportArguments {
    std::string network;
    std::string format;
    std::string out;
    bool json = false;
};

/// Edges that weigh exactly 0: no array of weights tells them from cells without an edge.
nlohmann::ordered_json zero_weights(const Network& network) {
    nlohmann::ordered_json zeros = nlohmann::ordered_json::array();
    for (const Layer& layer : network.layers) {
        zeros.push_back(layer.is_sparse() ? std::count(layer.weights.begin(), layer.weights.end(), 0.0F) : 0);
    }
    return zeros;
}

void say_zero_weights(const Network& network, const nlohmann::ordered_json& zeros) {
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
        if (zeros[l] == 0) continue;
        std::cerr << "note: " << zeros[l] << " of the " << network.layers[l].weights.size() << " edges of layer "
                  << l + 1 << " weigh exactly 0; layer" << l + 1 << "-mask.npy says which cells hold an edge\n";
    }
}

int export_network(const ExportArguments& arguments) {
    const fs::path source = network_of(arguments.network);
    NetworkMetadata metadata;
    const Network network = load_network(source, &metadata);
    const std::string& meaning = metadata[meaning_key];
    const fs::path given = arguments.out;
    const fs::path stem = fs::path(source).replace_extension();
    std::vector<fs::path> files;
    if (arguments.format == "safetensors") {
        files = {given.empty() ? fs::path(stem.string() + "-export.safetensors") : given};
        std::error_code none;
        if (fs::equivalent(files[0], source, none)) {
            throw UserError(ExitCode::usage, files[0].string() + " is the network itself; choose another --out");
        }
        export_safetensors(network, files[0], metadata);
    } else if (arguments.format == "scipy") {
        files = export_scipy(network, given.empty() ? fs::path(stem.string() + "-scipy") : given);
    } else {
        files = export_npy(network, given.empty() ? fs::path(stem.string() + "-npy") : given);
    }
    if (arguments.format != "safetensors" && !meaning.empty()) {
        // mean, deviation and scale of the inputs, names of the outputs: without them the arrays mean nothing
        files.push_back(files.front().parent_path() / "data.json");
        write_atomically(files.back(), [&](OutputFile& file) { file.append(meaning + "\n"); });
    }
    nlohmann::ordered_json names = nlohmann::ordered_json::array();
    for (const fs::path& file : files) {
        names.push_back(file.string());
        if (!arguments.json) std::cout << file.string() << '\n';
    }
    const nlohmann::ordered_json zeros = zero_weights(network);
    if (arguments.format == "npy") say_zero_weights(network, zeros);
    if (arguments.json) {
        std::cout << json_text(nlohmann::ordered_json{{"network", arguments.network},
                                                      {"format", arguments.format},
                                                      {"files", names},
                                                      {"zero_weights", zeros}})
                  << '\n';
    }
    return 0;
}

}  // namespace

void add_export_command(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("export", "write a network for PyTorch, SciPy or NumPy");
    const auto arguments = std::make_shared<ExportArguments>();
    command->add_option("network", arguments->network, "network file, checkpoint or run folder")
        ->required();
    command
        ->add_option("--format", arguments->format,
                     "safetensors (CSR parts, one file), scipy (an .npz a layer) or npy (dense, with masks)")
        ->check(one_of({"safetensors", "scipy", "npy"}))
        ->required();
    command->add_option("-o,--out", arguments->out, "file, or folder for scipy and npy (default: beside the network)");
    command->add_flag("--json", arguments->json, "the files as one JSON object");
    command->callback([arguments, &action] { action = [arguments] { return export_network(*arguments); }; });
}

}  // namespace espalier
