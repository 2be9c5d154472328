#include "host/ranks/open_ranks.hpp"

#include <dlfcn.h>
#include <sched.h>

#include <cstring>
#include <functional>

#include "espalier/error.hpp"
#include "espalier/number_text.hpp"
#include "host/backends.hpp"
#include "host/ranks/launcher.hpp"
#include "host/system/process_name.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

struct Module {
    fs::path path;  // empty: not found
    MakeRanks entry = nullptr;
    std::string fault;
};

Module open_module(const std::string& name, const std::vector<fs::path>& folders) {
    Module module;
    module.path = find_ranks_module(name, folders);
    if (module.path.empty()) return module;
    void* handle = dlopen(fs::absolute(module.path).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
        const char* why = dlerror();
        module.fault = why != nullptr ? why : "it does not open";
        return module;
    }
    module.entry = reinterpret_cast<MakeRanks>(dlsym(handle, ranks_module_entry));
    if (module.entry == nullptr) module.fault = module.path.string() + " does not export " + ranks_module_entry;
    return module;
}

std::unique_ptr<Ranks> join_by_cuda_module(const RanksWanted& wanted, const std::vector<fs::path>& folders,
                                           std::string& fault) {
    const CudaModule module = find_cuda_module(folders);
    fault = module.fault;
    if (module.entry == nullptr) return nullptr;
    if (module.join == nullptr) {
        fault = module.path.string() + " does not export " + nccl_ranks_entry;
        return nullptr;
    }
    char reason[1024] = {};
    std::unique_ptr<Ranks> ranks(module.join(ranks_interface, wanted.timeout_s, reason, sizeof reason));
    if (ranks == nullptr) fault = reason;
    return ranks;
}

std::unique_ptr<Ranks> join(const Launch& launch, const RanksWanted& wanted, const std::vector<fs::path>& folders) {
    std::string faults = launch.fault;
    if (launch.by_nccl) {
        if (auto ranks = join_by_cuda_module(wanted, folders, faults)) return ranks;
    }
    for (const std::string& name : launch.modules) {
        const Module module = open_module(name, folders);
        std::string fault = module.path.empty() ? "there is no " + name + ", which is built where MPI is installed"
                                                : module.fault;
        if (module.entry != nullptr) {
            char reason[256] = {};
            if (std::unique_ptr<Ranks> ranks(module.entry(ranks_interface, wanted.timeout_s, reason, sizeof reason)); ranks) {
                return ranks;
            }
            fault = module.path.string() + ": " + reason;
        }
        faults += (faults.empty() ? "" : "; ") + fault;
    }
    throw UserError(ExitCode::device, launch.launcher + " started " + std::to_string(launch.size) +
                                          " processes, which cannot be joined: " + faults +
                                          "; --ranks off lets each train by itself");
}

/// Who shares a machine, and who CPUs, with this rank.
RankPlace placed(Ranks& ranks) {
    struct Seat {
        std::size_t host;
        cpu_set_t cpus;
    };
    Seat own{std::hash<std::string>{}(host_name()), {}};
    sched_getaffinity(0, sizeof own.cpus, &own.cpus);
    RankPlace place = ranks.place();
    place.local_rank = place.local_size = place.sharing = 0;
    const std::vector<Seat> seats = ranks.gather(own);
    for (std::size_t r = 0; r < seats.size(); ++r) {
        if (seats[r].host != own.host) continue;
        if (static_cast<int>(r) < place.rank) ++place.local_rank;
        ++place.local_size;
        cpu_set_t common;
        CPU_AND(&common, &own.cpus, &seats[r].cpus);
        if (CPU_COUNT(&common) > 0) ++place.sharing;
    }
    place.sharing = std::max(1, place.sharing);
    return place;
}

}  // namespace

RanksWanted ranks_wanted(const std::string& text, double timeout_s) {
    RanksWanted wanted;
    wanted.timeout_s = timeout_s;
    if (text == "auto") return wanted;
    wanted.off = text == "off";
    if (wanted.off) return wanted;
    wanted.count = number_from<int>(text);
    if (!wanted.count) throw UserError(ExitCode::usage, "ranks: unknown value '" + text + "'; expected auto, off or a number");
    if (*wanted.count < 1 || *wanted.count > 65536) {
        throw UserError(ExitCode::usage, "ranks: " + text + " is outside [1, 65536]");
    }
    return wanted;
}

std::unique_ptr<Ranks> open_ranks(const RanksWanted& wanted, const std::vector<fs::path>& folders) {
    if (wanted.off) return nullptr;
    const Launch launch = find_launch();
    if (wanted.count.value_or(launch.size) != launch.size) {
        throw UserError(ExitCode::usage, "ranks: " + std::to_string(*wanted.count) + " are asked for, " +
                                             (launch.size == 1 ? "but this process was started alone; mpirun -n " +
                                                                     std::to_string(*wanted.count) + " starts as many"
                                                               : launch.launcher + " started " +
                                                                     std::to_string(launch.size)));
    }
    if (launch.size == 1) return nullptr;
    std::unique_ptr<Ranks> ranks = join(launch, wanted, folders);
    if (ranks->place().size != launch.size) {
        throw UserError(ExitCode::device, launch.launcher + " started " + std::to_string(launch.size) + " processes, but " +
                                              ranks->describe() + " knows of " + std::to_string(ranks->place().size) +
                                              ": they are of two MPI libraries; use that library's own mpirun, or --ranks "
                                              "off");
    }
    RankPlace place = placed(*ranks);
    place.timeout_s = wanted.timeout_s;
    ranks->set_place(place);
    return ranks;
}

fs::path find_ranks_module(const std::string& name, const std::vector<fs::path>& folders) {
    for (const fs::path& folder : folders) {
        std::error_code unreadable;
        if (fs::exists(folder / name, unreadable)) return folder / name;
    }
    return {};
}

}  // namespace espalier
