// Subcommands: each is one file host/commands/<name>.cpp that adds itself to the command line and, when chosen, leaves
// its work in `action` (run by main, which alone prints errors and maps them to exit codes).
#pragma once

#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace espalier {

using Action = std::function<int()>;

/// The group of commands that no help, completion or manual shows.
inline constexpr const char* hidden_commands = "";

/// What `action` returns, or the exit code of what it throws, of which `tell` gets the sentence for the user.
int code_of(const Action& action, const std::function<void(const std::string&)>& tell);

void add_train_command(CLI::App& app, Action& action);
void add_evaluate_command(CLI::App& app, Action& action);
void add_predict_command(CLI::App& app, Action& action);
void add_inspect_command(CLI::App& app, Action& action);
void add_import_command(CLI::App& app, Action& action);
void add_export_command(CLI::App& app, Action& action);
void add_report_command(CLI::App& app, Action& action);
void add_study_command(CLI::App& app, Action& action);
void add_train_together_command(CLI::App& app, Action& action);
void add_bench_command(CLI::App& app, Action& action);
void add_data_command(CLI::App& app, Action& action);
void add_doctor_command(CLI::App& app, Action& action);
void add_help_command(CLI::App& app, Action& action);
/// completion and man; the last to be added, since they print what there is.
void add_completion_commands(CLI::App& app, Action& action);

}  // namespace espalier
