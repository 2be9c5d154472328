#include "host/system/available_memory.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace espalier {

namespace {

constexpr std::uint64_t unknown = ~std::uint64_t{0};

// Called when memory has run out: nothing here allocates more than a few bytes.
std::uint64_t left_in_system() {
    std::FILE* file = std::fopen("/proc/meminfo", "r");
    if (file == nullptr) return unknown;
    char line[128];
    unsigned long long kib = 0;
    std::uint64_t bytes = unknown;
    while (bytes == unknown && std::fgets(line, sizeof line, file) != nullptr) {
        if (std::sscanf(line, "MemAvailable: %llu kB", &kib) == 1) bytes = std::uint64_t{kib} * 1024;
    }
    std::fclose(file);
    return bytes;
}

std::uint64_t left_of_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return unknown;
    unsigned long long pages = 0;
    if (std::FILE* file = std::fopen("/proc/self/statm", "r"); file != nullptr) {
        if (std::fscanf(file, "%llu", &pages) != 1) pages = 0;
        std::fclose(file);
    }
    const std::uint64_t used = std::uint64_t{pages} * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

}  // namespace

std::string available_memory_text() {
    const std::uint64_t bytes = std::min(left_in_system(), left_of_limit());
    if (bytes == unknown) return {};
    char text[64];
    std::snprintf(text, sizeof text, "%.1f MiB are available", static_cast<double>(bytes) / (1024 * 1024));
    return text;
}

}  // namespace espalier
