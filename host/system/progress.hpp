// Progress of long work on stderr: a bar with the time left on a terminal, and a line per epoch that stays. Whatever
// becomes of stderr (closed, full, its reader gone) concerns nobody: printing never ends a run.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace espalier {

/// What is shown: bar and lines on a terminal that can redraw a line and lines elsewhere; the bar alone, wherever
/// stderr leads; lines alone; neither. Messages always are,
/// but for silent, which is what programs ask for that tell their users by themselves.
enum class ProgressForm { automatic, bar, lines, none, silent };

/// "auto", "bar", "lines" and "none", in the order of the enumeration; silent has no name.
const std::vector<std::string>& progress_forms();

class Progress {
public:
    /// `epochs` in all; `title` heads the bar.
    Progress(std::string title, std::uint32_t epochs, ProgressForm form = ProgressForm::automatic);
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    /// Takes the bar away.
    ~Progress();

    /// The work begins now, `part` of the whole having been done before: the time left is computed from here.
    void begin(double part);
    /// Within an epoch (from 1): `part` of it in [0, 1]. Redraws at most 10 times a second; silent without a bar.
    void within(std::uint32_t epoch, double part);
    /// An epoch ended: `line` is its summary for a line of its own; `figures` are what stands beside the bar, the
    /// longest form first.
    void epoch_done(std::uint32_t epoch, const std::string& line, std::vector<std::string> figures = {});
    /// `part` of the whole in [0, 1], of which `begun` had been done before, for work that is not made of epochs.
    /// Redraws as within() does.
    void whole(double part, double begun = 0);
    /// A message on a line of its own, above the bar.
    void say(const std::string& message);

private:
    void redraw(double done);
    void erase() noexcept;

    std::string title_;
    std::vector<std::string> beside_;  // of the last epoch
    std::uint32_t epochs_;
    bool bar_;
    bool lines_;
    bool silent_;
    bool colour_;
    bool shown_ = false;
    double begun_ = 0;
    double done_ = 0;
    std::chrono::steady_clock::time_point start_;
    std::chrono::steady_clock::time_point drawn_;
};

/// What the calling thread's lines begin with from now on, where several runs tell on one stderr.
void begin_lines_with(const std::string& head);

/// "espalier: warning: ..." on a line of its own, above the bar if there is one; the same sentence but once a process.
void warn_once(const std::string& message);

/// "3:07:09", or "07:09" below an hour; "?" for what is no time.
std::string duration_text(double seconds);

/// Seconds until all is done, if the part from `begun` to `done` took `seconds`; NaN if nothing is known yet.
double seconds_left(double begun, double done, double seconds);

/// The bar as text of at most `width` columns: title, bar, percentage, time left, and of `beside`, one text in several
/// lengths, longest first, the longest that fits. The name gives way first, then the bar, never the figures as long as
/// the shortest form of them fits.
std::string progress_line(const std::string& title, double done, double seconds_left,
                          const std::vector<std::string>& beside, std::size_t width);

}  // namespace espalier
