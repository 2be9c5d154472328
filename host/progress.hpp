// Progress of long work on stderr: a bar with ETA on a terminal, a line per epoch otherwise.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace espalier {

class Progress {
public:
    /// `epochs` in all; `title` heads the bar. Knows by itself whether stderr is a terminal that can redraw a line.
    Progress(std::string title, std::uint32_t epochs);
    ~Progress();

    /// Within an epoch: `part` of it in [0, 1]. Redraws at most 10 times a second; silent without a terminal.
    void within(std::uint32_t epoch, double part);
    /// An epoch ended; `line` is its summary, printed whole without a terminal and beside the bar on one.
    void epoch_done(std::uint32_t epoch, const std::string& line);
    /// A message on a line of its own, above the bar.
    void say(const std::string& message);

private:
    void redraw(double done, const std::string& beside);
    std::string title_;
    std::string beside_;
    std::uint32_t epochs_;
    bool terminal_;
    std::chrono::steady_clock::time_point start_;
    std::chrono::steady_clock::time_point drawn_;
};

}  // namespace espalier
