// How many processors this process may use, which is not always how many there are.
#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

namespace espalier {

/// The CPUs that the scheduler gives this process, ascending; empty where the system does not say.
std::vector<int> allowed_cpus();

/// Processors' worth of time that the control groups of this process grant it (version 2's cpu.max, version 1's
/// cpu.cfs_quota_us), the least of all levels; infinity where none limits it. `root`: of the file system.
double granted_processors(const std::filesystem::path& root = "/");

/// The allowed CPUs, but no more than are granted, rounded down: threads that wait for each other lose most where one of
/// them is held back. At least 1.
int usable_processors(const std::filesystem::path& root = "/");

/// Threads for who does not say how many: usable_processors(), at most $OMP_NUM_THREADS where it is set (by which pools
/// of processes share out a machine), at most 1024.
int default_threads(const std::filesystem::path& root = "/");

/// Bytes of a core's first and second level of cache for data, as the system says; 32 KiB and 1 MiB where it does not.
/// Nothing that is computed may depend on them, only in which pieces.
struct Caches {
    std::size_t first;
    std::size_t second;
};
const Caches& caches();

}  // namespace espalier
