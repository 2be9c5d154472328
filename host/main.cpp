#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iostream>
#include <string>
#include <system_error>
#include <vector>

#include "espalier/error.hpp"
#include "host/commands/command.hpp"
#include "host/system/did_you_mean.hpp"
#include "host/system/signals.hpp"
#include "espalier/version.hpp"
#include "host/system/standard_streams.hpp"

namespace {

using namespace espalier;

int fail(ExitCode code, const std::string& message) {
    std::cerr << "espalier: " << message << '\n';
    return static_cast<int>(code);
}

/// Options and subcommands one could have meant at this place of the command line.
std::vector<std::string> names_of(const CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::Option* option : app.get_options()) {
        for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
        if (command->get_group() != hidden_commands) names.push_back(command->get_name());
    }
    return names;
}

std::string explain_extras(const CLI::App& app) {
    const CLI::App* place = &app;
    while (!place->get_subcommands().empty()) place = place->get_subcommands().front();
    const std::string extra =
        place->remaining(true).empty() ? app.remaining(true).front() : place->remaining(true).front();
    const std::string name = extra.substr(0, extra.find('='));
    const std::string kind = extra.starts_with("-") ? "unknown option '" : "unexpected word '";
    return kind + name + "'" + did_you_mean(name, names_of(*place)) + " (" + app.get_name() +
           (place == &app ? "" : " " + place->get_name()) + " --help lists what there is)";
}

/// The command line as CLI11 takes it, last word first, with '-' for '_' in the names of options.
std::vector<std::string> words_backwards(int argc, char** argv) {
    std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
    for (std::string& word : words) {
        if (!word.starts_with("--")) continue;
        const auto end = word.begin() + static_cast<std::ptrdiff_t>(std::min(word.find('='), word.size()));
        std::replace(word.begin(), end, '_', '-');
    }
    std::reverse(words.begin(), words.end());
    return words;
}

int run(int argc, char** argv) {
    CLI::App app{"Espalier trains intrinsically sparse neural networks: they train, prune and regrow.", "espalier"};
    app.set_version_flag("--version", version());
    app.require_subcommand(1);
    app.get_formatter()->column_width(34);
    Action action;
    add_train_command(app, action);
    add_evaluate_command(app, action);
    add_predict_command(app, action);
    add_study_command(app, action);
    add_train_together_command(app, action);
    add_inspect_command(app, action);
    add_import_command(app, action);
    add_export_command(app, action);
    add_report_command(app, action);
    add_bench_command(app, action);
    add_data_command(app, action);
    add_doctor_command(app, action);
    add_help_command(app, action);
    add_completion_commands(app, action);
    try {
        app.parse(words_backwards(argc, argv));
        receive_signals();
        return action();
    } catch (const CLI::Success& success) {  // --help, --version
        return app.exit(success);
    } catch (const CLI::ExtrasError&) {
        return fail(ExitCode::usage, explain_extras(app));
    } catch (const CLI::RequiredError& error) {
        if (app.get_subcommands().empty() && !app.remaining().empty()) {
            return fail(ExitCode::usage, explain_extras(app));
        }
        return fail(ExitCode::usage, error.what() + std::string("; espalier --help lists what there is"));
    } catch (const CLI::Error& error) {
        return fail(ExitCode::usage, error.what());
    }
}

}  // namespace

int main(int argc, char** argv) {
    open_standard_streams();
    ignore_write_signals();
    const int code = code_of([&] { return run(argc, argv); },
                             [](const std::string& sentence) { std::cerr << sentence << '\n'; });
    const int error = flush_stdout();
    if (code != 0 || error == 0) return code;
    if (error == EPIPE) return static_cast<int>(ExitCode::io);  // the reader has what it wanted: no news to anybody
    return fail(ExitCode::io, "cannot write to standard output: " + std::generic_category().message(error));
}
