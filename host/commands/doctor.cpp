#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "espalier/error.hpp"
#include "espalier/machine_report.hpp"
#include "host/backends.hpp"
#include "host/bench/dense_rival.hpp"
#include "host/commands/command.hpp"
#include "host/commands/doctor_ranks.hpp"
#include "host/data/catalog.hpp"
#include "espalier/version.hpp"
#include "host/ranks/open_ranks.hpp"
#include "host/ranks/rank_job.hpp"
#include "host/system/processors.hpp"
#include "host/system/utf8.hpp"

namespace espalier {
namespace {

/// The value of the first line "name : value" of a file under /proc; empty if there is none.
std::string proc_value(const char* path, const std::string& name) {
    std::ifstream stream(path);
    for (std::string line; std::getline(stream, line);) {
        if (!line.starts_with(name)) continue;
        const auto colon = line.find(':');
        const auto start = colon == std::string::npos ? colon : line.find_first_not_of(" \t", colon + 1);
        if (start != std::string::npos) return line.substr(start);
    }
    return {};
}

/// KiB, as /proc/meminfo counts.
std::uint64_t memory_kib(const std::string& name) {
    const std::string value = proc_value("/proc/meminfo", name);
    return value.empty() ? 0 : std::stoull(value);
}

nlohmann::ordered_json examine_cuda() {
    nlohmann::ordered_json found;
    const CudaModule module = find_cuda_module(module_folders());
    found["module"] =
        module.path.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(module.path.string());
    const auto report = nlohmann::ordered_json::parse(describe_cuda(true), nullptr, false);
    if (report.is_object()) found.update(report);
    std::string reason;
    const auto backend = try_cuda_backend(reason);
    found["usable"] = backend != nullptr;
    if (backend != nullptr) {
        found["device"] = backend->describe();
    } else {
        found["reason"] = reason;
    }
    return found;
}

nlohmann::ordered_json examine_data() {
    nlohmann::ordered_json sets = nlohmann::ordered_json::array();
    for (const KnownSet& set : catalog()) {
        const bool built_in = set.format == DataFormat::synthetic;
        const auto files = built_in ? std::nullopt : locate(set, "");
        sets.push_back({{"name", set.name},
                        {"present", built_in || files.has_value()},
                        {"place", built_in ? "built in"
                                  : files  ? files->folder.string()
                                           : ""},
                        {"remedy", built_in || files ? "" : remedy(set, "")}});
    }
    return sets;
}

nlohmann::ordered_json examine_dense_library() {
    const DenseLibraryReport report = dense_library_report();
    if (!report.usable) return {{"opens", false}, {"description", report.description}};
    return {{"opens", true},
            {"library", report.library},
            {"kernels", report.kernels},
            {"description", report.description},
            {"threads", report.threads}};
}

/// Where a run without --out goes and whether it could.
nlohmann::ordered_json examine_runs() {
    namespace fs = std::filesystem;
    const fs::path runs = fs::absolute("runs");
    const fs::path tested = fs::exists(runs) ? runs : runs.parent_path();
    return {{"folder", runs.string()}, {"writable", ::access(tested.c_str(), W_OK | X_OK) == 0}};
}

nlohmann::ordered_json examine(Ranks* ranks) {
    nlohmann::ordered_json report;
    const std::string model = proc_value("/proc/cpuinfo", "model name");
    report["version"] = version();
    report["cpu"] = {{"model", model.empty() ? "unknown" : model},
                     {"backend", make_backend("cpu", 0)->describe()},
                     {"cores", std::max<std::size_t>(1, allowed_cpus().size())},
                     {"threads", default_threads()},
                     {"cache_kib", {caches().first >> 10, caches().second >> 10}}};
    report["dense"] = examine_dense_library();
    report["memory"] = {{"total_gib", static_cast<double>(memory_kib("MemTotal")) / (1 << 20)},
                        {"available_gib", static_cast<double>(memory_kib("MemAvailable")) / (1 << 20)}};
    report["cuda"] = examine_cuda();
    report["ranks"] = examine_ranks(ranks);
    report["datasets"] = examine_data();
    report["runs"] = examine_runs();
    return report;
}

/// Every GPU with its memory and what keeps it from being used; what the module was built for; missing libraries.
void print_devices(const nlohmann::ordered_json& cuda, std::ostream& out) {
    const char* const margin = "         ";
    if (!cuda.contains("architectures")) return;
    for (const auto& device : cuda["devices"]) {
        char memory[32];
        std::snprintf(memory, sizeof memory, "%.1f GiB", device["memory_bytes"].get<double>() / (1 << 30));
        const std::string fault = device.value("fault", "");
        out << margin << "device " << device["device"] << ": " << device["name"].get<std::string>()
                  << ", compute capability " << device["compute_capability"].get<std::string>() << ", " << memory
                  << (fault.empty() ? ", runs the code for " + device["code"].get<std::string>()
                                    : "; not usable: " + fault)
                  << '\n';
    }
    out << margin << "module for compute capabilities " << cuda["architectures"].get<std::string>()
        << ", built with CUDA " << cuda["toolkit"].get<std::string>()
        << (cuda["driver"].is_null() ? "" : ", driver for CUDA " + cuda["driver"].get<std::string>()) << '\n';
    for (const auto& [library, fault] : cuda["libraries"].items()) {
        if (!fault.get<std::string>().empty()) out << margin << fault.get<std::string>() << '\n';
    }
}

void print_report(const nlohmann::ordered_json& report, std::ostream& out) {
    const auto text = [](const nlohmann::ordered_json& value) { return value.get<std::string>(); };
    const auto gib = [](const nlohmann::ordered_json& value) {
        char written[32];
        std::snprintf(written, sizeof written, "%.1f GiB", value.get<double>());
        return std::string(written);
    };
    out << text(report["version"]) << '\n';
    out << "CPU      " << text(report["cpu"]["model"]) << ", " << report["cpu"]["cores"] << " cores allowed\n";
    out << "         " << text(report["cpu"]["backend"]) << "; a core's caches: " << report["cpu"]["cache_kib"][0] << " + "
        << report["cpu"]["cache_kib"][1] << " KiB\n";
    out << "dense    " << text(report["dense"]["description"]) << '\n';
    out << "memory   " << gib(report["memory"]["available_gib"]) << " of " << gib(report["memory"]["total_gib"])
              << " available\n";
    const auto& cuda = report["cuda"];
    out << "CUDA     " << (cuda["usable"] ? text(cuda["device"]) : "not used: " + text(cuda["reason"])) << '\n';
    print_devices(cuda, out);
    print_ranks(report["ranks"], out);
    std::size_t width = 0;
    for (const auto& set : report["datasets"]) width = std::max(width, text(set["name"]).size());
    const char* head = "data     ";
    for (const auto& set : report["datasets"]) {
        const std::string name = text(set["name"]);
        out << head << name << std::string(width + 2 - name.size(), ' ')
                  << (set["present"] ? text(set["place"]) : "missing. " + text(set["remedy"])) << '\n';
        head = "         ";
    }
    out << "runs     " << text(report["runs"]["folder"])
              << (report["runs"]["writable"] ? "" : ", which cannot be written: give --out") << '\n';
}

std::string report_text(bool json, Ranks* ranks) {
    const auto report = examine(ranks);
    if (json) return json_text(report, 2) + "\n";
    std::ostringstream text;
    print_report(report, text);
    return text.str();
}

/// One report for all the processes that a launcher started.
int doctor(bool json) {
    std::unique_ptr<Ranks> ranks;
    std::string fault;
    try {
        ranks = open_ranks({}, module_folders());
    } catch (const UserError& error) {  // that too is what doctor is asked for
        fault = error.what();
    }
    const auto work = [&] {
        const std::string text = report_text(json, ranks.get());
        if (ranks == nullptr || ranks->place().rank == 0) std::cout << text;
        return 0;
    };
    if (!fault.empty()) std::cerr << "espalier: " << fault << '\n';
    return ranks == nullptr ? work() : run_rank_job(*ranks, work);
}

}  // namespace

std::string machine_report(bool json) { return report_text(json, nullptr); }

void add_doctor_command(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("doctor", "what this machine has: CPU, memory, CUDA module, data sets");
    const auto json = std::make_shared<bool>(false);
    command->add_flag("--json", *json, "as one JSON object");
    command->callback([json, &action] {
        action = [json] { return doctor(*json); };
    });
}

}  // namespace espalier
