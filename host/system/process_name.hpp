// Processes as files name them, so that who finds such a file later can tell whether its process still runs.
#pragma once

#include <string>

namespace espalier {

struct ProcessName {
    std::string process;  // its number; empty: nobody
    std::string host;
    std::string start;  // in the kernel's ticks since it booted: tells it from a later process of the same number
    std::string space;  // the namespace its number belongs to (containers may share a host's name); may be missing
};

/// The machine's name; "?" where it has none.
std::string host_name();
ProcessName this_process();

/// One line, "4711 node7 882301 pid:[4026531836]", and back; a text that names no process gives nobody.
std::string text_of(const ProcessName& name);
ProcessName process_in(const std::string& text);

/// True only if the process ran where this one does and does so no more.
bool is_gone(const ProcessName& name);

}  // namespace espalier
