#include "host/system/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <set>
#include <string_view>

namespace espalier {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds between_redraws{100};

thread_local Progress* current = nullptr;  // the one whose bar may be on the screen
thread_local std::string line_head;

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
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    const char* columns = std::getenv("COLUMNS");
    const int wanted = columns == nullptr ? 0 : std::atoi(columns);
    return wanted > 0 ? static_cast<std::size_t>(wanted) : 80;
}

std::string two_digits(std::uint64_t value) { return (value < 10 ? "0" : "") + std::to_string(value); }

bool continues_a_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

/// Columns a text takes on a terminal: its characters, if none is wider than one column.
std::size_t columns_of(const std::string& text) {
    return text.size() - static_cast<std::size_t>(std::count_if(text.begin(), text.end(), continues_a_character));
}

/// The first `width` columns of a text; one that is cut shows it where there is room to.
std::string cut_to(const std::string& text, std::size_t width, const std::string& mark = "") {
    if (columns_of(text) <= width) return text;
    const std::size_t kept = width - std::min(width, mark.size());
    std::size_t end = 0;
    for (std::size_t columns = 0; end < text.size(); ++end) {
        if (!continues_a_character(text[end]) && columns++ == kept) break;
    }
    return text.substr(0, end) + mark.substr(0, width);
}

constexpr std::size_t longest_bar = 30;
constexpr std::size_t shortest_bar = 8;
constexpr std::size_t around_bar = 3;  // two brackets and a blank

/// What may not be hidden: percentage, time left and figures.
std::string essential_part(double part, double seconds_left, const std::vector<std::string>& beside,
                           std::size_t width) {
    const std::string share = std::to_string(static_cast<int>(part * 100)) + "%";
    const std::string head = std::string(4 - std::min<std::size_t>(4, share.size()), ' ') + share + "  " +
                             duration_text(seconds_left) + " left";
    for (const std::size_t reserved : {shortest_bar + around_bar, std::size_t{0}}) {  // rather with a bar
        for (const std::string& figures : beside) {
            const std::string whole = head + (figures.empty() ? "" : "  " + figures);
            if (columns_of(whole) + reserved <= width) return whole;
        }
    }
    return cut_to(beside.empty() ? head : head + "  " + beside.back(), width);
}

}  // namespace

const std::vector<std::string>& progress_forms() {
    static const std::vector<std::string> names{"auto", "bar", "lines", "none"};
    return names;
}

std::string duration_text(double seconds) {
    if (!(seconds >= 0) || seconds > 1e9) return "?";
    const auto whole = static_cast<std::uint64_t>(std::llround(seconds));
    const std::string tail = two_digits(whole / 60 % 60) + ":" + two_digits(whole % 60);
    return whole < 3600 ? tail : std::to_string(whole / 3600) + ":" + tail;
}

double seconds_left(double begun, double done, double seconds) {
    if (!(done > begun)) return std::numeric_limits<double>::quiet_NaN();
    return seconds * (1 - done) / (done - begun);
}

std::string progress_line(const std::string& title, double done, double seconds_left,
                          const std::vector<std::string>& beside, std::size_t width) {
    const double part = std::clamp(done, 0.0, 1.0);
    const std::string essential = essential_part(part, seconds_left, beside, width);
    std::size_t room = width - columns_of(essential);
    std::string line;
    constexpr std::size_t shortest_name = 4;
    const std::size_t bar_room = room >= shortest_bar + around_bar ? shortest_bar + around_bar : 0;
    if (room > bar_room + shortest_name) {
        line = cut_to(title, room - bar_room - 1, "..") + " ";
        room -= columns_of(line);
    }
    if (bar_room > 0) {
        const std::size_t bar = std::min(room - around_bar, longest_bar);
        const auto full = static_cast<std::size_t>(part * static_cast<double>(bar));
        line += "[" + std::string(full, '#') + std::string(bar - full, '.') + "] ";
    }
    return line + essential;
}

Progress::Progress(std::string title, std::uint32_t epochs, ProgressForm form)
    : title_(std::move(title)),
      epochs_(epochs),
      bar_(form == ProgressForm::bar || (form == ProgressForm::automatic && can_redraw())),
      lines_(form == ProgressForm::automatic || form == ProgressForm::lines),
      silent_(form == ProgressForm::silent),
      colour_(wants_colour()),
      start_(Clock::now()),
      drawn_(start_ - between_redraws) {
    current = this;
}

Progress::~Progress() {
    erase();
    if (current == this) current = nullptr;
}

void Progress::begin(double part) {
    begun_ = done_ = part;
    start_ = Clock::now();
}

void Progress::within(std::uint32_t epoch, double part) {
    if (epochs_ != 0) whole((epoch - 1 + part) / epochs_, begun_);
}

void Progress::whole(double part, double begun) {
    begun_ = begun;
    if (!bar_ || Clock::now() - drawn_ < between_redraws) return;
    redraw(part);
}

void Progress::epoch_done(std::uint32_t epoch, const std::string& line, std::vector<std::string> figures) {
    const std::string which = "epoch " + std::to_string(epoch) + "/" + std::to_string(epochs_);
    if (lines_) {
        erase();
        std::fprintf(stderr, "%s%s  %s\n", line_head.c_str(), which.c_str(), line.c_str());
    }
    if (!bar_) return;
    beside_ = std::move(figures);
    beside_.insert(beside_.begin(), beside_.empty() ? which : which + "  " + beside_.front());
    redraw(epochs_ == 0 ? 1.0 : static_cast<double>(epoch) / epochs_);
}

void Progress::say(const std::string& message) {
    if (silent_) return;
    erase();
    std::fprintf(stderr, "%s%s\n", line_head.c_str(), message.c_str());
    if (bar_ && shown_) redraw(done_);
}

void begin_lines_with(const std::string& head) { line_head = head; }

void warn_once(const std::string& message) {
    static std::mutex mutex;
    static std::set<std::string> said;
    {
        const std::lock_guard<std::mutex> lock(mutex);
        if (!said.insert(message).second) return;
    }
    const std::string line = "espalier: warning: " + message;
    if (current != nullptr) {
        current->say(line);
    } else {
        std::fprintf(stderr, "%s%s\n", line_head.c_str(), line.c_str());
    }
}

void Progress::redraw(double done) {
    drawn_ = Clock::now();
    done_ = done;
    shown_ = true;
    const std::chrono::duration<double> passed = drawn_ - start_;
    // One column short, since some terminals wrap at the last.
    const std::string line = progress_line(title_, done, seconds_left(begun_, done, passed.count()), beside_,
                                           terminal_width() - 1);
    std::fprintf(stderr, colour_ ? "\r\x1b[K\x1b[32m%s\x1b[0m" : "\r\x1b[K%s", line.c_str());
    std::fflush(stderr);
}

void Progress::erase() noexcept {
    if (!bar_ || !shown_) return;
    std::fputs("\r\x1b[K", stderr);
    std::fflush(stderr);
}

}  // namespace espalier
