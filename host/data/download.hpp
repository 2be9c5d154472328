// One program of the system at work for us, without a shell: downloads by curl or wget. A signal that asks to stop
// (host/system/signals.hpp) ends it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace espalier {

struct ProgramResult {
    int status = 0;         // exit status; 127 if there is no such program
    std::string complaint;  // the last line it wrote to stderr
};

/// Runs a program found on PATH to its end, stdin and stdout closed off, calling `waiting` ten times a second with what
/// it wrote to stderr so far. Throws UserError (stopped) after ending it when a signal asks to stop.
ProgramResult run_program(
    const std::vector<std::string>& arguments,
    const std::function<void(const std::string&)>& waiting = [](const std::string&) {});

/// The size of a whole file that a server's answer tells, headers as curl and wget write them, when `begun` bytes of it
/// were here before; 0 if it tells none. Of several answers (redirections) the last counts.
std::uint64_t announced_size(const std::string& headers, std::uint64_t begun);

/// Downloads a URL to a file, progress in per cent on stderr. What is in the file already is taken for the beginning
/// and continued where the server can; what arrived stays there when the rest does not come.
/// Returns why it failed, empty if it did not.
/// Throws UserError: data if there is neither curl nor wget, stopped after a signal.
std::string download(const std::string& url, const std::filesystem::path& to);

}  // namespace espalier
