// Where a run came from: what was started, when, on what machine, from which source. provenance.json in its folder,
// written when it starts and again when it has ended.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace espalier {

struct Provenance {
    std::string program, commit;  // version of the program, commit of its source
    std::string command;          // as typed
    std::string machine;          // processor and backend
    std::string started;          // "2026-11-29 12:03 UTC"
    double seconds = 0;           // until now; with those of the parts before, of a run that was resumed
};

/// Of this process, begun now.
Provenance provenance_now(const std::string& backend);

void write_provenance(const std::filesystem::path& folder, const Provenance& provenance);

/// None in the folder of an older version, or if it does not read.
std::optional<Provenance> read_provenance(const std::filesystem::path& folder);

/// The words of this process, quoted where a shell needs it.
std::string command_line();

/// "AMD EPYC 9354 32-Core Processor".
std::string processor_name();

}  // namespace espalier
