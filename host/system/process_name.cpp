#include "host/system/process_name.hpp"

#include <unistd.h>

#include <fstream>
#include <sstream>

namespace espalier {
namespace {

constexpr const char* no_start = "?";  // without /proc

/// Empty if there is no such process.
std::string start_time(const std::string& process) {
    std::ifstream file("/proc/" + process + "/stat");
    std::string text;
    if (!std::getline(file, text)) return {};
    std::istringstream fields(text.substr(text.rfind(')') + 1));  // the name before it may hold anything
    std::string field;
    constexpr int place_after_name = 20;
    for (int i = 0; i < place_after_name; ++i) fields >> field;
    return field;
}

}  // namespace

std::string host_name() {
    char host[256] = {};
    return ::gethostname(host, sizeof host - 1) != 0 || host[0] == '\0' ? "?" : host;
}

ProcessName this_process() {
    char space[64] = {};
    if (::readlink("/proc/self/ns/pid", space, sizeof space - 1) < 0) space[0] = '\0';
    const std::string process = std::to_string(::getpid());
    const std::string start = start_time(process);
    return {process, host_name(), start.empty() ? no_start : start, space};
}

std::string text_of(const ProcessName& name) {
    return name.process + " " + name.host + " " + name.start + " " + name.space + "\n";
}

ProcessName process_in(const std::string& text) {
    std::istringstream words(text);
    ProcessName name;
    words >> name.process >> name.host >> name.start >> name.space;
    if (name.process.find_first_not_of("0123456789") != std::string::npos) return {};
    return name;
}

bool is_gone(const ProcessName& name) {
    const ProcessName own = this_process();
    if (name.process.empty() || name.host != own.host || own.start == no_start) return false;
    if (!name.space.empty() && name.space != own.space) return false;
    const std::string start = start_time(name.process);
    return start.empty() || start != name.start;
}

}  // namespace espalier
