#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "espalier/error.hpp"
#include "host/commands/command.hpp"
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
        export_safetensors(network, files[0], meaning);
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
    if (arguments.json) {
        std::cout << json_text(nlohmann::ordered_json{{"network", arguments.network},
                                                      {"format", arguments.format},
                                                      {"files", names}})
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
                     "safetensors (CSR parts, one file), scipy (an .npz a layer) or npy (dense)")
        ->check(CLI::IsMember({"safetensors", "scipy", "npy"}))
        ->required();
    command->add_option("-o,--out", arguments->out, "file, or folder for scipy and npy (default: beside the network)");
    command->add_flag("--json", arguments->json, "the files as one JSON object");
    command->callback([arguments, &action] { action = [arguments] { return export_network(*arguments); }; });
}

}  // namespace espalier
