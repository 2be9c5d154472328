#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>

#include "espalier/error.hpp"
#include "espalier/backends.hpp"
#include "host/bench/crossover.hpp"
#include "host/bench/crossover_report.hpp"
#include "host/commands/command.hpp"
#include "host/commands/validators.hpp"
#include "host/formats/output_file.hpp"
#include "host/run/fresh_folder.hpp"
#include "host/system/progress.hpp"
#include "host/system/signals.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

struct BenchArguments {
    bool quick = false;
    std::vector<Index> widths, batches;
    std::vector<double> sparsities;
    double seconds = 0;
    int threads = 1;
    std::string backend = "cpu";
    int device = 0;
    std::string out;
    bool overwrite = false;
    bool json = false;
};

BenchGrid grid_of(const BenchArguments& arguments) {
    BenchGrid grid = arguments.quick ? quick_grid() : full_grid();
    if (!arguments.widths.empty()) grid.widths = arguments.widths;
    if (!arguments.batches.empty()) grid.batches = arguments.batches;
    if (!arguments.sparsities.empty()) grid.sparsities = arguments.sparsities;
    if (arguments.seconds > 0) grid.seconds = arguments.seconds;
    return grid;
}

/// The folder to write to, made now, so that a long run does not end in "cannot write".
fs::path make_folder(const BenchArguments& arguments) {
    const fs::path folder = arguments.out;
    if (fs::exists(folder) && !arguments.overwrite) {
        throw UserError(ExitCode::usage, folder.string() + " exists; give --overwrite or another --out");
    }
    std::error_code fault;
    fs::create_directories(folder, fault);
    if (fault) throw_unwritable(folder, fault.value());
    return folder;
}

void write(const fs::path& path, const std::string& text) {
    write_atomically(path, [&](OutputFile& file) { file.write(text.data(), text.size()); });
}

BenchResults measured(const BenchArguments& arguments, const BenchGrid& grid) {
    CudaOptions options;
    options.device = arguments.device;
    const auto backend = make_backend(arguments.backend, arguments.threads, nullptr, options);
    Progress bar("bench", 1);
    const BenchProgress progress = [&](std::size_t done, std::size_t all, const std::string& what) {
        bar.within(1, static_cast<double>(done) / static_cast<double>(all));
        if (done % grid.sparsities.size() == 0) bar.say(what + " and more");
        return stop_signal() == 0;
    };
    if (backend->name() == "cpu") return run_crossover(*backend, arguments.threads, grid, progress);
    options.tf32 = 1;
    const auto tf32 = make_backend(arguments.backend, arguments.threads, nullptr, options);
    const auto in_a_row = [&](bool as_tf32, Index samples) {
        CudaOptions wide = options;
        wide.tf32 = as_tf32 ? 1 : 0;
        wide.samples_in_a_row = static_cast<int>(samples);
        return make_backend(arguments.backend, arguments.threads, nullptr, wide);
    };
    return run_gpu_crossover({*backend, *tf32, in_a_row}, grid, progress);
}

int bench(const BenchArguments& arguments) {
    const BenchGrid grid = grid_of(arguments);
    std::optional<FreshFolder> fresh;
    const fs::path folder = arguments.out.empty() ? fresh.emplace("runs", "bench").path() : make_folder(arguments);
    watch_signals();
    const BenchResults results = measured(arguments, grid);
    const std::string json = crossover_json(results);
    write(folder / "bench.json", json);
    write(folder / "bench.md", crossover_markdown(results));
    write(folder / "bench.csv", crossover_csv(results));
    write(folder / "bench.html", crossover_page(results));
    std::cout << (arguments.json ? json : crossover_markdown(results));
    if (!arguments.json) std::cout << "\npage: " << (folder / "bench.html").string() << '\n';
    return static_cast<int>(results.stopped ? ExitCode::stopped : ExitCode::ok);
}

}  // namespace

void add_bench_command(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("bench", "sparse beside dense on this machine: from which sparsity it pays");
    const auto arguments = std::make_shared<BenchArguments>();
    command->add_flag("--quick", arguments->quick, "a few shapes, under two minutes; else all of them");
    command->add_option("--widths", arguments->widths, "neurons of the square layers")
        ->delimiter(',')
        ->check(within(1U, 1U << 16));
    command->add_option("--batches", arguments->batches, "samples a step")
        ->delimiter(',')
        ->check(within(1U, 1U << 16));
    command->add_option("--sparsities", arguments->sparsities, "fractions of missing edges, in [0, 1), ascending")
        ->delimiter(',')
        ->check(within(0.0, 0.999999));
    command->add_option("--seconds", arguments->seconds, "time per point, at least")->check(CLI::PositiveNumber);
    command->add_option("--threads", arguments->threads, "threads for sparse and dense alike")
        ->capture_default_str()
        ->check(within(1, 1024));
    command->add_option("--backend", arguments->backend, "cpu, beside OpenBLAS, or cuda, beside cuBLAS and cuSPARSE")
        ->capture_default_str()
        ->check(one_of({"cpu", "cuda"}));
    command->add_option("--device", arguments->device, "which GPU, as espalier doctor numbers them")
        ->capture_default_str()
        ->check(within(0, 1023));
    command->add_option("-o,--out", arguments->out, "folder for bench.html, bench.md, bench.json (default: a new one)");
    command->add_flag("--overwrite", arguments->overwrite, "write into a folder that exists");
    command->add_flag("--json", arguments->json, "the results as JSON on stdout");
    command->callback([arguments, &action] { action = [arguments] { return bench(*arguments); }; });
}

}  // namespace espalier
