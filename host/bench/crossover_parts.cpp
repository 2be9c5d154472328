#include "host/bench/crossover_parts.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>

#include "espalier/error.hpp"

namespace espalier {
namespace {

std::string processor() {
    std::ifstream stream("/proc/cpuinfo");
    for (std::string line; std::getline(stream, line);) {
        const auto colon = line.find(": ");
        if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
    }
    return "unknown processor";
}

std::string now_utc() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&now, &parts);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &parts);
    return text;
}

}  // namespace

Timing timing_of(std::vector<double> seconds) {
    std::sort(seconds.begin(), seconds.end());
    const auto quantile = [&](double q) {
        return seconds[static_cast<std::size_t>(q * static_cast<double>(seconds.size() - 1) + 0.5)];
    };
    return {quantile(0.5), quantile(0.25), quantile(0.75)};
}

LayerTiming layer_timing(const std::vector<double>& forward, const std::vector<double>& backward) {
    std::vector<double> step;
    for (std::size_t i = 0; i < forward.size(); ++i) step.push_back(forward[i] + backward[i]);
    return {timing_of(forward), timing_of(backward), timing_of(step)};
}

std::string point_name(Index width, Index batch, double sparsity) {
    char text[96];
    std::snprintf(text, sizeof text, "%u x %u, batch %u, sparsity %g %%", width, width, batch, 100 * sparsity);
    return text;
}

void refuse_point(const std::string& point, const std::string& fault) {
    throw UserError(ExitCode::device, "not timed: the result is wrong at " + point + ": " + fault +
                                          ". Please report this with the output of espalier doctor");
}

void describe_machine(BenchResults& results) {
    results.processor = processor();
    results.date = now_utc();
}

}  // namespace espalier
