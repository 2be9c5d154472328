// Progress of long work on stderr: a bar with ETA on a terminal, a line per epoch otherwise.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace espalier {

class Progress {
public:
    /// `epochs` in all; `title` heads the bar. Knows by itself whether stderr is a terminal that can redraw a line.
    Progress(std::string title, std::uint32_t epochs);
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    /// Takes the bar away.
    ~Progress();

    /// Within an epoch (from 1): `part` of it in [0, 1]. Redraws at most 10 times a second; silent without a terminal.
    void within(std::uint32_t epoch, double part);
    /// An epoch ended; `line` is its summary, printed whole without a terminal and beside the bar on one.
    void epoch_done(std::uint32_t epoch, const std::string& line);
    /// `part` of the whole in [0, 1], for work that is not made of epochs. Redraws as within() does.
    void whole(double part);
    /// A message on a line of its own, above the bar.
    void say(const std::string& message);

private:
    void redraw(double done);
    void erase() noexcept;

    std::string title_;
    std::string beside_;  // summary of the last epoch
    std::uint32_t epochs_;
    bool terminal_;
    bool colour_;
    bool shown_ = false;
    double done_ = 0;
    std::chrono::steady_clock::time_point start_;
    std::chrono::steady_clock::time_point drawn_;
};

/// "3:07:09", or "07:09" below an hour.
std::string duration_text(double seconds);

/// The bar as text of at most `width` characters: title, bar, share, time left (from `seconds` for the share `done` in
/// [0, 1]), then `beside` as far as it fits.
std::string progress_line(const std::string& title, double done, double seconds, const std::string& beside,
                          std::size_t width);

}  // namespace espalier
