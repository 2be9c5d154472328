#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "espalier/error.hpp"
#include "host/commands/command.hpp"
#include "host/data/catalog.hpp"
#include "espalier/dataset.hpp"
#include "host/data/fetch.hpp"
#include "host/system/utf8.hpp"

namespace espalier {
namespace {

struct DataArguments {
    std::string name;
    std::string data_dir;
    bool json = false;
};

int list(const DataArguments& arguments) {
    auto sets = nlohmann::json::array();
    std::size_t width = 0;
    for (const KnownSet& set : catalog()) width = std::max(width, set.name.size());
    for (const KnownSet& set : catalog()) {
        const bool built_in = set.format == DataFormat::synthetic;
        const auto found = built_in ? std::nullopt : locate(set, arguments.data_dir);
        const bool present = built_in || found.has_value();
        const std::string place = built_in ? "built in" : found ? found->folder.string() : "";
        sets.push_back({{"name", set.name}, {"summary", set.summary}, {"present", present}, {"folder", place}});
        if (!present) sets.back()["fetch"] = "espalier data fetch " + set.name;
        if (!arguments.json) {
            const std::string margin(width + 2, ' ');
            std::cout << set.name << std::string(width + 2 - set.name.size(), ' ') << set.summary << '\n'
                      << margin << (present ? place : "missing. " + remedy(set, arguments.data_dir)) << '\n';
        }
    }
    if (arguments.json) {
        std::cout << json_text(nlohmann::json{{"datasets", sets}}, 2) << '\n';
    } else {
        std::cout << "\nYour own: csv:TRAIN,TEST[,label=first|last|COLUMN|NAME][,header=yes|no], "
                     "npy:TRAIN_X,TRAIN_Y,TEST_X,TEST_Y,\nidx: alike, npz:FILE; or, with --split 0.2, csv:FILE, npy:X,Y "
                     "(docs/data-forms.md)\n";
    }
    return 0;
}

/// A set that has files. Throws UserError (usage) for the built-in one.
const KnownSet& set_with_files(const std::string& name) {
    const KnownSet& set = known_set(name);
    if (set.files.empty()) throw UserError(ExitCode::usage, name + " is built in: it has no files");
    return set;
}

int fetch(const DataArguments& arguments) {
    const KnownSet& set = set_with_files(arguments.name);
    const auto folder = fetch_folder(set, arguments.data_dir);
    fetch_dataset(set, folder);
    std::cout << set.name << ": " << folder.string() << '\n';
    return 0;
}

int verify(const DataArguments& arguments) {
    const KnownSet& set = set_with_files(arguments.name);
    const auto found = locate(set, arguments.data_dir);
    if (!found) refuse_missing(set, arguments.data_dir);
    const auto files = verify_files(set, *found);
    auto rows = nlohmann::json::array();
    for (const VerifiedFile& file : files) {
        const std::string verdict = !file.fault.empty()     ? "corrupt"
                                    : file.expected.empty() ? "readable"  // nothing published to compare with
                                                            : "ok";
        rows.push_back({{"path", file.path.string()},
                        {"sha256", file.digest},
                        {"expected", file.expected},
                        {"verdict", verdict},
                        {"fault", file.fault}});
        if (!arguments.json) {
            std::cout << file.path.string() << '\n'
                      << "  SHA-256  " << (file.digest.empty() ? "(unreadable)" : file.digest) << '\n'
                      << "  expected " << (file.expected.empty() ? "(none is published)" : file.expected) << '\n'
                      << "  " << verdict << (file.fault.empty() ? "" : ": " + file.fault) << '\n';
        }
    }
    if (arguments.json) std::cout << json_text(nlohmann::json{{"name", set.name}, {"files", rows}}, 2) << '\n';
    std::cout << std::flush;
    const auto corrupt =
        std::count_if(files.begin(), files.end(), [](const auto& file) { return !file.fault.empty(); });
    if (corrupt > 0) {
        throw UserError(ExitCode::data, set.name + ": " + std::to_string(corrupt) + " of " +
                                            std::to_string(files.size()) + " files in " + found->folder.string() +
                                            " are corrupt. " + remedy(set, arguments.data_dir));
    }
    return 0;
}

using Verb = int (*)(const DataArguments&);

void add_verb(CLI::App& data, Action& action, const char* name, const char* description, const char* folder_help,
              bool takes_name, Verb verb) {
    CLI::App* command = data.add_subcommand(name, description);
    const auto arguments = std::make_shared<DataArguments>();
    if (takes_name) command->add_option("NAME", arguments->name, "a data set (espalier data list)")->required();
    command->add_option("--data-dir", arguments->data_dir, folder_help);
    if (verb != fetch) command->add_flag("--json", arguments->json, "one JSON object on stdout");
    command->callback([arguments, verb, &action] { action = [arguments, verb] { return verb(*arguments); }; });
}

}  // namespace

void add_data_command(CLI::App& app, Action& action) {
    CLI::App* data = app.add_subcommand("data", "list, fetch and verify data sets");
    data->require_subcommand(1);
    add_verb(*data, action, "list", "the known data sets and where they are", "look in this folder only", false, list);
    add_verb(*data, action, "fetch", "download a data set, verified", "folder to put it below (default: the cache)",
             true, fetch);
    add_verb(*data, action, "verify", "compare a data set's files with the published SHA-256",
             "look in this folder only", true, verify);
}

}  // namespace espalier
