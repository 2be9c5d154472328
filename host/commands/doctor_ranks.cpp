#include "host/commands/doctor_ranks.hpp"

#include <ostream>
#include <string>

#include "espalier/ranks.hpp"
#include "host/backends.hpp"
#include "host/ranks/launcher.hpp"
#include "host/ranks/open_ranks.hpp"
#include "host/system/process_name.hpp"
#include "host/system/processors.hpp"

namespace espalier {
namespace {

struct RankSeat {
    char host[64] = {};
    int cpus = 0;
    int sharing = 0;
};

}  // namespace

nlohmann::ordered_json examine_ranks(Ranks* ranks) {
    const Launch launch = find_launch();
    nlohmann::ordered_json report{{"launcher", launch.launcher}, {"processes", launch.size}, {"fault", launch.fault}};
    report["modules"] = nlohmann::ordered_json::array();
    for (const char* name : {openmpi_module_name, mpich_module_name}) {
        if (const auto file = find_ranks_module(name, module_folders()); !file.empty()) {
            report["modules"].push_back(file.string());
        }
    }
    if (ranks == nullptr) return report;
    report["library"] = ranks->describe();
    RankSeat own;
    host_name().copy(own.host, sizeof own.host - 1);
    own.cpus = usable_processors();
    own.sharing = ranks->place().sharing;
    report["ranks"] = nlohmann::ordered_json::array();
    for (const RankSeat& seat : ranks->gather(own)) {
        report["ranks"].push_back({{"host", seat.host}, {"cpus", seat.cpus}, {"sharing", seat.sharing}});
    }
    return report;
}

void print_ranks(const nlohmann::ordered_json& report, std::ostream& out) {
    const std::string launcher = report["launcher"];
    const std::string fault = report["fault"];
    out << "ranks    ";
    if (launcher.empty()) {
        out << "this process was started alone";
    } else {
        out << report["processes"] << " processes, started by " << launcher << (fault.empty() ? "" : "; " + fault);
    }
    out << '\n';
    const char* const margin = "         ";
    if (report.contains("library")) out << margin << "joined by " << report["library"].get<std::string>() << '\n';
    if (report.contains("ranks")) {
        std::size_t rank = 0;
        for (const auto& seat : report["ranks"]) {
            out << margin << "rank " << rank++ << " on " << seat["host"].get<std::string>() << ": " << seat["cpus"]
                << (seat["cpus"] == 1 ? " CPU" : " CPUs");
            if (seat["sharing"] > 1) out << ", shared by " << seat["sharing"] << " ranks";
            out << '\n';
        }
    }
    for (const auto& module : report["modules"]) out << margin << module.get<std::string>() << '\n';
    if (report["modules"].empty()) out << margin << "no module for MPI was built; one process trains alone\n";
}

}  // namespace espalier
