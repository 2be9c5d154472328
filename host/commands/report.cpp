#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "espalier/error.hpp"
#include "host/commands/command.hpp"
#include "host/system/utf8.hpp"
#include "host/report/report.hpp"

namespace espalier {
namespace {

struct ReportArguments {
    std::vector<std::string> runs;
    std::string out = "report.html";
    bool json = false;
};

int report(const ReportArguments& arguments) {
    for (const std::string& run : arguments.runs) {
        std::error_code unreadable;
        if (std::filesystem::exists(run, unreadable)) continue;
        throw UserError(ExitCode::data, "there is no run folder at " + run + "; no report is written");
    }
    const std::vector<std::string> left_out =
        write_report({arguments.runs.begin(), arguments.runs.end()}, arguments.out);
    for (const std::string& sentence : left_out) std::cerr << "espalier: left out: " << sentence << '\n';
    const std::size_t reported = arguments.runs.size() - left_out.size();
    if (arguments.json) {
        std::cout << json_text(nlohmann::ordered_json{
                         {"report", arguments.out}, {"runs", reported}, {"left_out", left_out}})
                  << '\n';
    } else {
        std::cout << arguments.out << ": " << reported << (reported == 1 ? " run\n" : " runs\n");
    }
    return 0;
}

}  // namespace

void add_report_command(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("report", "one page of curves, maps and numbers about one or several runs");
    const auto arguments = std::make_shared<ReportArguments>();
    command->add_option("run", arguments->runs, "run folders, compared side by side")->required();
    command->add_option("-o,--out", arguments->out, "page to write; figures and data go into a folder beside it")
        ->capture_default_str();
    command->add_flag("--json", arguments->json, "what was written as one JSON object");
    command->callback([arguments, &action] { action = [arguments] { return report(*arguments); }; });
}

}  // namespace espalier
