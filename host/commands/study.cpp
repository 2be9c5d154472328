#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>

#include "espalier/error.hpp"
#include "host/commands/command.hpp"
#include "host/commands/validators.hpp"
#include "host/commands/experiment_options.hpp"
#include "host/formats/output_file.hpp"
#include "host/report/report.hpp"
#include "host/run/provenance.hpp"
#include "host/study/study_results.hpp"
#include "host/system/signals.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

struct StudyArguments {
    std::string study;
    std::string out;
    OptionTexts given;
    int jobs = 0;
    bool overwrite = false;
    bool live = false;
    bool json = false;
    bool list_studies = false;
    bool dry_run = false;
    ProgressForm progress = ProgressForm::automatic;
    std::string update;
};

void print_studies() {
    std::size_t width = 0;
    for (const StudyFile& file : study_files()) width = std::max(width, file.name.size());
    for (const StudyFile& file : study_files()) {
        std::cout << file.name << std::string(width + 2 - file.name.size(), ' ') << file.summary << '\n';
    }
}

void print_cells(const Study& study) {
    for (const StudyCell& cell : study.cells) {
        std::cout << cell.name << "  " << cell.experiment.epochs << " epochs\n";
    }
}

void write_text(const fs::path& path, const std::string& text) {
    write_atomically(path, [&](OutputFile& file) { file.append(text); });
}

void update_document(const fs::path& path) {
    std::ifstream stream(path, std::ios::binary);
    std::ostringstream text;
    if (!stream || !(text << stream.rdbuf())) {
        throw UserError(ExitCode::usage, path.string() + ": cannot be read; --update takes a Markdown file");
    }
    const std::string made = with_tables(text.str(), path.parent_path());
    if (made != text.str()) write_text(path, made);
}

int run_study(const StudyArguments& arguments) {
    if (!arguments.update.empty()) {
        update_document(arguments.update);
        return 0;
    }
    if (arguments.list_studies) {
        print_studies();
        return 0;
    }
    if (arguments.study.empty()) {
        throw UserError(ExitCode::usage,
                        "a study to run is missing; espalier study --list-studies shows those shipped");
    }
    const Study study = read_study(find_study(arguments.study), arguments.given);
    if (arguments.dry_run) {
        print_cells(study);
        return 0;
    }
    const StudyPlace place{arguments.out.empty() ? fs::path("studies") / study.name : fs::path(arguments.out),
                            arguments.jobs, arguments.overwrite, arguments.progress, arguments.live};
    const StudyProgress progress = run_cells(study, place);
    if (progress.stopped) {
        std::cerr << "espalier: stopped; the same command goes on where it stopped\n";
        return static_cast<int>(ExitCode::stopped);
    }
    const StudyResults results = collect_results(study, place, progress);
    const Table table = study_table(results);
    const std::string json = study_json(results);
    write_text(place.folder / "study.json", json);
    write_text(place.folder / "study.csv", csv(table));
    write_text(place.folder / "runs.csv", csv(cells_table(results)));
    write_text(place.folder / "study.md", study_text(results));
    const ReportHeading heading{"Study " + study.name, study.summary, command_line()};
    std::vector<fs::path> runs;
    for (std::size_t r = 0; r < study.rows.size(); ++r) {
        for (const StudyCell& cell : study.cells) {
            const bool failed = progress.failures.contains(cell.name);
            if (cell.row == r && !failed) runs.push_back(cell_folder(place.folder, cell));
        }
    }
    if (!runs.empty()) {
        for (const std::string& sentence : write_report(runs, place.folder / "report.html", heading)) {
            std::cerr << "espalier: left out of the report: " << sentence << '\n';
        }
    }
    if (arguments.json) {
        std::cout << json << std::flush;
    } else {
        std::cout << study_text(results) << '\n' << (place.folder / "report.html").string() << '\n' << std::flush;
    }
    for (const auto& [cell, why] : progress.failures) std::cerr << "espalier: " << cell << " failed: " << why << '\n';
    return progress.failed_code;
}

}  // namespace

void add_study_command(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("study", "train a grid of options over several seeds and compare");
    const auto arguments = std::make_shared<StudyArguments>();
    command->add_option("study", arguments->study, "name of a shipped study, or a study file")->group("Study");
    command->add_flag("--list-studies", arguments->list_studies, "print the shipped studies and end")->group("Study");
    command
        ->add_option_function<std::string>(
            "--seeds", [given = &arguments->given](const std::string& text) { (*given)["seeds"] = text; },
            "runs of every row, each with a seed of its own (default: as the study says)")
        ->type_name("")
        ->group("Study");
    command->add_option("--jobs", arguments->jobs, "runs at once (default: one per core, on GPUs one each)")
        ->check(within(1, 4096).description(""))
        ->type_name("")
        ->group("Study");
    command->add_option("--out", arguments->out, "folder of the runs and the results (default: studies/NAME)")
        ->type_name("")
        ->group("Study");
    command->add_flag("--overwrite", arguments->overwrite, "replace finished runs of other settings in --out")
        ->group("Study");
    command
        ->add_flag("--live", arguments->live,
                   "serve the report on 127.0.0.1 while it runs, updating itself; its address is printed")
        ->group("Study");
    command->add_flag("--json", arguments->json, "results as one JSON object on stdout")->group("Study");
    command->add_flag("--dry-run", arguments->dry_run, "print the runs and end")->group("Study");
    command
        ->add_option("--update", arguments->update,
                     "make the tables of a Markdown file anew from the results files it names, and end")
        ->type_name("")
        ->group("Study");
    add_progress_option(*command, arguments->progress, "Study");
    command->footer("Every option of train takes the place of the study's own; '[a, b]' makes an axis of it.");
    add_experiment_options(*command, arguments->given);
    command->callback([arguments, &action] {
        watch_signals();  // before main receives them
        action = [arguments] { return run_study(*arguments); };
    });
}

}  // namespace espalier
