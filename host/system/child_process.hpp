// A child process whose output is read line by line. It ends when its parent does, and no signal from the terminal
// reaches it: what it is told to do is up to the parent.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace espalier {

class ChildProcess {
public:
    /// Starts `words[0]`, this program, with the others as its arguments; the signals of signals.hpp wait until it
    /// calls receive_signals(). Throws UserError (device) if no process can be had.
    explicit ChildProcess(const std::vector<std::string>& words);
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;
    /// Kills it if it still runs.
    ~ChildProcess();

    /// The file to poll for its output, stdout and stderr as one.
    [[nodiscard]] int output() const { return output_; }
    /// Whole lines that arrived; waits if there is nothing to read. After the last of them ended() is true.
    std::vector<std::string> lines();
    [[nodiscard]] bool ended() const { return ended_; }
    /// Waits for its end; the exit code, or 128 + the signal that ended it.
    int code();
    /// Asks it to save and end (SIGTERM).
    void ask_to_end();

private:
    pid_t process_ = -1;
    int output_ = -1;
    bool ended_ = false;
    std::string rest_;  // of a line
};

/// The path of this very program.
std::string this_program();

}  // namespace espalier
