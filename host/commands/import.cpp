#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "espalier/network_file.hpp"
#include "host/commands/command.hpp"

namespace espalier {

void add_import_command(CLI::App& app, Action& action) {
    struct Arguments {
        std::string from, to;
    };
    const auto arguments = std::make_shared<Arguments>();
    CLI::App* command = app.add_subcommand("import", "take a network file that another program has rewritten");
    command->add_option("file", arguments->from, "a network file, say one saved again by the safetensors library")->required();
    command->add_option("out", arguments->to, "the network file to write, with a checksum of its own")->required();
    command->callback([arguments, &action] {
        action = [arguments] {
            NetworkMetadata metadata;
            const Network network = load_rewritten_network(arguments->from, &metadata);
            save_network(arguments->to, network, metadata);
            std::cout << arguments->to << '\n';
            return 0;
        };
    });
}

}  // namespace espalier
