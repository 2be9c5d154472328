#include "host/system/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace espalier {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds between_redraws{100};

/// stderr is a terminal that understands "erase this line".
bool can_redraw() {
    const char* kind = std::getenv("TERM");
    return isatty(STDERR_FILENO) == 1 && kind != nullptr && kind[0] != '\0' && std::string_view(kind) != "dumb";
}

/// https://no-color.org: any value but the empty one forbids colour.
bool wants_colour() {
    const char* forbidden = std::getenv("NO_COLOR");
    return forbidden == nullptr || forbidden[0] == '\0';
}

std::size_t terminal_width() {
    winsize size{};
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string two_digits(std::uint64_t value) { return (value < 10 ? "0" : "") + std::to_string(value); }

}  // namespace

std::string duration_text(double seconds) {
    if (!(seconds >= 0) || seconds > 1e9) return "?";
    const auto whole = static_cast<std::uint64_t>(std::llround(seconds));
    const std::string tail = two_digits(whole / 60 % 60) + ":" + two_digits(whole % 60);
    return whole < 3600 ? tail : std::to_string(whole / 3600) + ":" + tail;
}

std::string progress_line(const std::string& title, double done, double seconds, const std::string& beside,
                          std::size_t width) {
    const double part = std::clamp(done, 0.0, 1.0);
    const std::string share = std::to_string(static_cast<int>(part * 100)) + "%";
    const std::string left = part > 0 ? duration_text(seconds / part - seconds) : "?";
    const std::string tail =
        " " + std::string(4 - std::min<std::size_t>(4, share.size()), ' ') + share + "  " + left + " left";
    const std::string note = beside.empty() ? "" : "  " + beside;
    constexpr std::size_t longest_bar = 30;
    constexpr std::size_t shortest_bar = 8;
    const std::size_t fixed = title.size() + 3 + tail.size();  // a space and two brackets
    std::string line = title;
    if (fixed + shortest_bar <= width) {
        const std::size_t room = width - fixed;
        const std::size_t bar = std::clamp(room - std::min(room, note.size()), shortest_bar, longest_bar);
        const auto full = static_cast<std::size_t>(part * static_cast<double>(bar));
        line += " [" + std::string(full, '#') + std::string(bar - full, '.') + "]";
    }
    line += tail + note;
    return line.substr(0, width);
}

Progress::Progress(std::string title, std::uint32_t epochs)
    : title_(std::move(title)),
      epochs_(epochs),
      terminal_(can_redraw()),
      colour_(wants_colour()),
      start_(Clock::now()),
      drawn_(start_ - between_redraws) {}

Progress::~Progress() { erase(); }

void Progress::within(std::uint32_t epoch, double part) {
    if (epochs_ != 0) whole((epoch - 1 + part) / epochs_);
}

void Progress::whole(double part) {
    if (!terminal_ || Clock::now() - drawn_ < between_redraws) return;
    redraw(part);
}

void Progress::epoch_done(std::uint32_t epoch, const std::string& line) {
    if (!terminal_) {
        std::fprintf(stderr, "epoch %u/%u  %s\n", epoch, epochs_, line.c_str());
        return;
    }
    beside_ = "epoch " + std::to_string(epoch) + "/" + std::to_string(epochs_) + "  " + line;
    redraw(epochs_ == 0 ? 1.0 : static_cast<double>(epoch) / epochs_);
}

void Progress::say(const std::string& message) {
    erase();
    std::fprintf(stderr, "%s\n", message.c_str());
    if (terminal_ && shown_) redraw(done_);
}

void Progress::redraw(double done) {
    drawn_ = Clock::now();
    done_ = done;
    shown_ = true;
    const std::chrono::duration<double> passed = drawn_ - start_;
    // One column short, since some terminals wrap at the last.
    const std::string line = progress_line(title_, done, passed.count(), beside_, terminal_width() - 1);
    std::fprintf(stderr, colour_ ? "\r\x1b[K\x1b[32m%s\x1b[0m" : "\r\x1b[K%s", line.c_str());
    std::fflush(stderr);
}

void Progress::erase() noexcept {
    if (!terminal_ || !shown_) return;
    std::fputs("\r\x1b[K", stderr);
    std::fflush(stderr);
}

}  // namespace espalier
