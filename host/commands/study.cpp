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
#include "host/study/claim.hpp"
#include "host/study/study_parts.hpp"
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
    bool wait = false;
    std::string shard;
    std::vector<std::string> collect;
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

/// The finished runs of a study as tables, files and one page. Several processes may end at once: one writes.
void write_results(const Study& study, const StudyPlace& place, const StudyProgress& progress, bool as_json) {
    const StudyResults results = collect_results(study, place, progress);
    const std::string json = study_json(results);
    const fs::path page = place.folder / "report.html";
    if (const auto claim = Claim::take(place.folder / "study.claim")) {
        write_text(place.folder / "study.json", json);
        write_text(place.folder / "study.csv", csv(study_table(results)));
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
        const auto left_out = runs.empty() ? std::vector<std::string>{} : write_report(runs, page, heading);
        for (const std::string& sentence : left_out) std::cerr << "espalier: left out of the report: " << sentence << '\n';
    }
    if (as_json) {
        std::cout << json << std::flush;
    } else {
        std::cout << study_text(results) << '\n' << page.string() << '\n' << std::flush;
    }
}

std::string runs_text(std::size_t count) { return std::to_string(count) + (count == 1 ? " run" : " runs"); }

/// Brings shards together. Throws UserError (data) naming what none of the folders has.
int collect(const Study& study, const StudyPlace& place, const StudyArguments& arguments) {
    const std::vector<fs::path> folders(arguments.collect.begin(), arguments.collect.end());
    for (const fs::path& folder : folders) {
        if (!fs::is_directory(folder)) throw UserError(ExitCode::data, folder.string() + ": no such folder to collect from");
    }
    const std::vector<std::string> missing = collect_cells(study, folders, place.folder);
    if (!missing.empty()) {
        throw UserError(ExitCode::data, runs_text(missing.size()) + " of " + std::to_string(study.cells.size()) +
                                            " are in none of the folders, " + missing.front() + " first");
    }
    write_results(study, place, {}, arguments.json);
    return 0;
}

int run_cells_here(const Study& study, const StudyPlace& place, const StudyArguments& arguments) {
    const StudyProgress progress = run_cells(study, place);
    if (progress.stopped) {
        std::cerr << "espalier: stopped; the same command goes on where it stopped\n";
        return static_cast<int>(ExitCode::stopped);
    }
    if (progress.elsewhere > 0) {
        std::cerr << "espalier: other processes still have " << runs_text(progress.elsewhere)
                  << "; the last to end writes the tables (--wait waits for it)\n";
    } else if (!arguments.shard.empty()) {
        std::cerr << "espalier: part " << arguments.shard << " is done; espalier study " << arguments.study
                  << " --collect " << place.folder.string() << " ... --out FOLDER joins the parts\n";
    } else {
        write_results(study, place, progress, arguments.json);
    }
    for (const auto& [cell, why] : progress.failures) std::cerr << "espalier: " << cell << " failed: " << why << '\n';
    return progress.failed_code;
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
    Study study = read_study(find_study(arguments.study), arguments.given);
    if (!arguments.shard.empty()) keep_shard(study, read_shard(arguments.shard));
    if (arguments.dry_run) {
        print_cells(study);
        return 0;
    }
    const StudyPlace place{arguments.out.empty() ? fs::path("studies") / study.name : fs::path(arguments.out),
                           arguments.jobs, arguments.overwrite, arguments.progress, arguments.live, arguments.wait};
    return arguments.collect.empty() ? run_cells_here(study, place, arguments) : collect(study, place, arguments);
}

void add_parts_options(CLI::App& command, StudyArguments& arguments) {
    command.add_flag("--wait", arguments.wait, "end only when the runs that other processes have are done too")
        ->group("Study");
    CLI::Option* shard =
        command.add_option("--shard", arguments.shard, "run the part K/N of the study's runs only, e.g. 3/16")
            ->type_name("")
            ->group("Study");
    command.add_option("--collect", arguments.collect, "folders of parts, joined in --out with tables and report")
        ->excludes(shard)
        ->type_name("")
        ->group("Study");
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
    add_parts_options(*command, *arguments);
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
