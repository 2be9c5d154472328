// One program of the system at work for us, without a shell: downloads by curl or wget, unpacking by tar or unzip.
// A signal that asks to stop (host/system/signals.hpp) ends it.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace espalier {

struct ProgramResult {
    int status = 0;         // exit status; 127 if there is no such program
    std::string complaint;  // the last line it wrote to stderr
};

/// Runs a program found on PATH to its end, stdin and stdout closed off, calling `waiting` ten times a second.
/// Throws UserError (stopped) after ending it when a signal asks to stop.
ProgramResult run_program(
    const std::vector<std::string>& arguments, const std::function<void()>& waiting = [] {});

/// Downloads a URL to a file, progress on stderr. Returns why it failed, empty if it did not.
/// Throws UserError: data if there is neither curl nor wget, stopped after a signal.
std::string download(const std::string& url, const std::filesystem::path& to);

}  // namespace espalier
