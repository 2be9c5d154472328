// espalier help [COMMAND...]: the same as --help, where people look for it first.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "espalier/error.hpp"
#include "host/commands/command.hpp"
#include "host/system/did_you_mean.hpp"

namespace espalier {
namespace {

/// The subcommand of that name. Throws UserError (usage) naming those there are.
const CLI::App& subcommand_of(const CLI::App& app, const std::string& name) {
    std::vector<std::string> names;
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
        if (command->get_name() == name) return *command;
        if (command->get_group() != hidden_commands) names.push_back(command->get_name());
    }
    std::string listed;
    for (const std::string& each : names) listed += (listed.empty() ? "" : ", ") + each;
    const std::string guess = did_you_mean(name, names);
    throw UserError(ExitCode::usage, "there is no command '" + name + "'" +
                                         (!guess.empty() || listed.empty() ? guess : "; there are " + listed));
}

}  // namespace

void add_help_command(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("help", "what a command does and all its options");
    const auto words = std::make_shared<std::vector<std::string>>();
    command->add_option("command", *words, "command, and its own command if it has some: data fetch");
    command->callback([words, &app, &action] {
        action = [words, &app] {
            const CLI::App* place = &app;
            std::string before;
            for (const std::string& word : *words) {
                before += (before.empty() ? "" : " ") + place->get_name();
                place = &subcommand_of(*place, word);
            }
            std::cout << place->get_formatter()->make_help(place, before.empty() ? place->get_name()
                                                                                 : before + " " + place->get_name(),
                                                           CLI::AppFormatMode::Normal);
            return 0;
        };
    });
}

}  // namespace espalier
