#include "host/system/processors.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>

namespace espalier {
namespace {

namespace fs = std::filesystem;

constexpr double unlimited = std::numeric_limits<double>::infinity();

/// "200000 100000" of cpu.max, "max 100000" where nothing is limited.
double quota_of_version_2(const fs::path& group) {
    std::ifstream file(group / "cpu.max");
    std::string quota;
    double period = 0;
    if (!(file >> quota >> period) || quota == "max" || !(period > 0)) return unlimited;
    const double time = std::atof(quota.c_str());
    return time > 0 ? time / period : unlimited;
}

double quota_of_version_1(const fs::path& group) {
    double time = 0;
    double period = 0;
    std::ifstream(group / "cpu.cfs_quota_us") >> time;
    std::ifstream(group / "cpu.cfs_period_us") >> period;
    return time > 0 && period > 0 ? time / period : unlimited;  // -1: nothing is limited
}

/// The least quota of a group below `mount` and of all above it. In a container the mount may show the group itself.
template <class Quota>
double least_quota(const fs::path& mount, const std::string& group, const Quota& quota) {
    double least = quota(mount);
    fs::path place = mount;
    for (const fs::path& part : fs::path(group).relative_path()) {
        place /= part;
        least = std::min(least, quota(place));
    }
    return least;
}

bool has_controller(std::string_view list, std::string_view wanted) {
    for (std::size_t from = 0; from <= list.size();) {
        const std::size_t to = std::min(list.find(',', from), list.size());
        if (list.substr(from, to - from) == wanted) return true;
        from = to + 1;
    }
    return false;
}

/// What a user of OpenMP asks for: "4", or "4,2", whose first number counts. 0 without.
int asked_of_openmp() {
    const char* text = std::getenv("OMP_NUM_THREADS");
    if (text == nullptr) return 0;
    const std::string_view all(text);
    int threads = 0;
    const auto read = std::from_chars(all.data(), all.data() + all.size(), threads);
    const bool ends = read.ptr == all.data() + all.size() || *read.ptr == ',';
    return read.ec == std::errc() && ends && threads > 0 ? threads : 0;
}

}  // namespace

std::vector<int> allowed_cpus() {
    cpu_set_t set;
    std::vector<int> cpus;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) cpus.push_back(cpu);
    }
    return cpus;
}

double granted_processors(const fs::path& root) {
    const fs::path mounts = root / "sys/fs/cgroup";
    double least = unlimited;
    std::ifstream groups(root / "proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {  // "hierarchy:controllers:/group"
        const auto first = line.find(':');
        const auto second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const std::string group = line.substr(second + 1);
        if (controllers.empty()) {
            for (const char* mount : {"", "unified"}) {
                least = std::min(least, least_quota(mounts / mount, group, quota_of_version_2));
            }
        } else if (has_controller(controllers, "cpu")) {
            for (const std::string& mount : {controllers, std::string("cpu")}) {
                least = std::min(least, least_quota(mounts / mount, group, quota_of_version_1));
            }
        }
    }
    return least;
}

int usable_processors(const fs::path& root) {
    const auto allowed = static_cast<double>(allowed_cpus().size());
    return static_cast<int>(std::max(1.0, std::floor(std::min(allowed, granted_processors(root)))));
}

int default_threads(const fs::path& root) {
    const int asked = asked_of_openmp();
    const int usable = std::min(usable_processors(root), 1024);
    return asked > 0 ? std::min(asked, usable) : usable;
}

const Caches& caches() {
    static const Caches found = [] {
        const auto said = [](int name, std::size_t otherwise) {
            const long bytes = ::sysconf(name);
            return bytes > 0 ? static_cast<std::size_t>(bytes) : otherwise;
        };
        return Caches{said(_SC_LEVEL1_DCACHE_SIZE, std::size_t{32} << 10), said(_SC_LEVEL2_CACHE_SIZE, std::size_t{1} << 20)};
    }();
    return found;
}

}  // namespace espalier
