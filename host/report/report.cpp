#include "host/report/report.hpp"

#include <fstream>
#include <set>
#include <system_error>

#include "espalier/error.hpp"
#include "host/formats/output_file.hpp"
#include "host/report/page.hpp"
#include "host/run/run_layout.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

/// `name` with everything but letters, digits, dots and hyphens replaced.
std::string slug_of(const std::string& name) {
    std::string slug;
    for (const char letter : name) {
        const bool plain = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                           (letter >= '0' && letter <= '9') || letter == '.' || letter == '-';
        slug += plain ? letter : '_';
    }
    return slug;
}

/// Runs of one name are told apart by their order.
void name_apart(std::vector<ReportedRun>& runs) {
    std::set<std::string> names, slugs;
    for (ReportedRun& run : runs) {
        const std::string name = run.folder.name;
        for (int n = 2; !names.insert(run.folder.name).second; ++n)
            run.folder.name = name + " (" + std::to_string(n) + ")";
        const std::string slug = slug_of(run.folder.name);
        run.slug = slug;
        for (int n = 2; !slugs.insert(run.slug).second; ++n) run.slug = slug + "-" + std::to_string(n);
    }
}

std::string shape_text(const ImageShape& shape) {
    return std::to_string(shape.height) + " x " + std::to_string(shape.width) +
           (shape.channels == 1 ? "" : " x " + std::to_string(shape.channels));
}

/// Sentence about a run whose maps cannot stand beside the first one's; empty if they can.
std::string shape_fault(const RunFolder& run, const RunFolder& first) {
    if (run.image == first.image) return {};
    const fs::path file = run.path / (run.image_known ? run_layout::pixels : run_layout::config);
    return file.string() + ": images of " + shape_text(run.image) + ", but those of " + first.path.string() + " are " +
           shape_text(first.image) + "; a report compares runs of one image shape, make it one of its own";
}

void write_file(const fs::path& path, const std::string& bytes) {
    OutputFile file(path);
    file.write(bytes.data(), bytes.size());
    file.close();
}

/// Removes what an older report of this name left: exactly the files its index lists.
void remove_old_figures(const fs::path& folder) {
    std::ifstream index(folder / "index.csv");
    std::string line;
    std::getline(index, line);  // column names
    while (std::getline(index, line)) {
        const fs::path name = line.substr(0, line.find(','));
        std::error_code ignored;
        if (!name.empty() && name == name.filename()) fs::remove(folder / name, ignored);
    }
}

void write_figures(const fs::path& folder, const std::vector<FigureFile>& figures) {
    std::error_code fault;
    fs::create_directories(folder, fault);
    if (fault) throw_unwritable(folder, fault.value());
    remove_old_figures(folder);
    std::string index = "file,title\n";
    for (const FigureFile& figure : figures) {
        write_file(folder / figure.name, figure.bytes);
        index += csv_cell(figure.name) + "," + csv_cell(figure.title) + "\n";
    }
    write_file(folder / "index.csv", index);
}

struct ReadRuns {
    std::vector<ReportedRun> runs;
    std::vector<std::string> left_out;
};

ReadRuns read_runs(const std::vector<fs::path>& paths) {
    ReadRuns read;
    for (const fs::path& path : paths) {
        try {
            ReportedRun run;
            run.folder = read_run_folder(path);
            const std::string fault = read.runs.empty() ? "" : shape_fault(run.folder, read.runs.front().folder);
            if (fault.empty()) {
                read.runs.push_back(std::move(run));
            } else {
                read.left_out.push_back(fault);
            }
        } catch (const UserError& error) {
            read.left_out.emplace_back(error.what());
        }
    }
    name_apart(read.runs);
    return read;
}

/// The addresses of the runs' own reports as seen from a page in `folder`; empty where there is none.
std::vector<std::string> own_pages(Runs runs, const fs::path& folder) {
    std::vector<std::string> pages;
    for (const ReportedRun& run : runs) {
        std::error_code fault;
        const fs::path page = run.folder.path / run_layout::report;
        const fs::path address = fs::exists(page, fault) ? fs::proximate(page, folder.empty() ? "." : folder, fault) : "";
        pages.push_back(fault ? "" : address.generic_string());
    }
    return pages;
}

}  // namespace

std::vector<std::string> write_report(const std::vector<fs::path>& paths, const fs::path& out,
                                      const ReportHeading& heading) {
    ReadRuns read = read_runs(paths);
    if (read.runs.empty()) {
        std::string all = "no run to report";
        for (const std::string& sentence : read.left_out) all += "\n  " + sentence;
        throw UserError(ExitCode::data, all);
    }
    for (ReportedRun& run : read.runs) compute_statistics(run, read.runs.size() == 1);
    const std::string folder = out.stem().string() + "-figures";
    const Report report =
        make_report(read.runs, heading, {folder, own_pages(read.runs, out.parent_path()), read.left_out});
    write_figures(out.parent_path() / folder, report.figures);
    write_atomically(out, [&](OutputFile& file) { file.write(report.page.data(), report.page.size()); });
    return read.left_out;
}

std::string page_so_far(const std::vector<fs::path>& paths, const ReportHeading& heading) {
    ReadRuns read = read_runs(paths);
    if (read.runs.empty()) return {};
    for (ReportedRun& run : read.runs) compute_statistics(run, false);
    return make_report(read.runs, heading, {"", {}, {}}).page;
}

}  // namespace espalier
