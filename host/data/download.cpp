#include "host/data/download.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "espalier/error.hpp"
#include "host/system/signals.hpp"

extern char** environ;

namespace espalier {
namespace {

constexpr int not_found = 127;

/// The reading end of a pipe that takes a program's stderr.
class Complaints {
public:
    Complaints() { expects(::pipe2(ends_, O_CLOEXEC | O_NONBLOCK) == 0, "a pipe"); }
    Complaints(const Complaints&) = delete;
    Complaints& operator=(const Complaints&) = delete;
    ~Complaints() {
        for (const int end : ends_) ::close(end);
    }
    [[nodiscard]] int writing_end() const { return ends_[1]; }
    void drain() {
        char buffer[1024];
        for (ssize_t got = 0; (got = ::read(ends_[0], buffer, sizeof buffer)) > 0;) {
            text_.append(buffer, static_cast<std::size_t>(got));
            if (text_.size() > 8192) text_.erase(0, text_.size() - 8192);
        }
    }
    [[nodiscard]] const std::string& text() const { return text_; }
    /// The last line that says something.
    [[nodiscard]] std::string last_line() const {
        const auto end = text_.find_last_not_of(" \r\n");
        if (end == std::string::npos) return "";
        const auto start = text_.find_last_of("\r\n", end);
        return text_.substr(start == std::string::npos ? 0 : start + 1,
                            end - (start == std::string::npos ? 0 : start + 1) + 1);
    }

private:
    int ends_[2] = {-1, -1};
    std::string text_;
};

/// Starts a program; returns its process or, negated, an errno.
pid_t start(const std::vector<std::string>& arguments, int complaints) {
    std::vector<char*> words;
    for (const std::string& word : arguments) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, complaints, STDERR_FILENO);
    posix_spawnattr_t attributes;  // what this program ignores is not for others to ignore
    posix_spawnattr_init(&attributes);
    sigset_t ignored;
    sigemptyset(&ignored);
    sigaddset(&ignored, SIGPIPE);
    sigaddset(&ignored, SIGXFSZ);
    posix_spawnattr_setsigdefault(&attributes, &ignored);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    pid_t process = 0;
    const int error = ::posix_spawnp(&process, words[0], &actions, &attributes, words.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error == 0 ? process : -error;
}

int wait_for(pid_t process) {
    int status = 0;
    while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

bool is_installed(const std::string& program) {
    const char* path = std::getenv("PATH");
    std::string folders = path == nullptr ? "" : path;
    for (std::size_t start = 0; start <= folders.size();) {
        const auto end = std::min(folders.find(':', start), folders.size());
        if (::access((folders.substr(start, end - start) + "/" + program).c_str(), X_OK) == 0) return true;
        start = end + 1;
    }
    return false;
}

std::uint64_t size_of(const std::filesystem::path& file) {
    std::error_code absent;
    const auto bytes = std::filesystem::file_size(file, absent);
    return absent ? 0 : bytes;
}

std::string text_in(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

std::string megabytes(std::uint64_t bytes) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / 1e6);
    return text;
}

/// How far a growing file has come: redrawn on one line of a terminal, a line every tenth of it elsewhere.
class SizeLine {
public:
    explicit SizeLine(const std::filesystem::path& file) : file_(file), terminal_(::isatty(STDERR_FILENO) == 1) {}
    SizeLine(const SizeLine&) = delete;
    SizeLine& operator=(const SizeLine&) = delete;
    ~SizeLine() {
        if (drawn_) std::fputs("\r\033[K", stderr);
    }
    /// `whole` 0: nobody knows.
    void draw(std::uint64_t whole) {
        const std::uint64_t bytes = size_of(file_);
        const auto percent = whole == 0 ? 0 : static_cast<int>(100 * std::min(bytes, whole) / whole);
        std::string text = "  " + megabytes(bytes);
        if (whole > 0) text = "  " + std::to_string(percent) + " % of " + megabytes(whole);
        if (terminal_) {
            std::fprintf(stderr, "\r\033[K%s", text.c_str());
            std::fflush(stderr);
            drawn_ = true;
        } else if (percent >= next_) {
            std::fprintf(stderr, "%s\n", text.c_str());
            next_ = percent / 10 * 10 + 10;
        }
    }

private:
    std::filesystem::path file_;
    bool terminal_;
    bool drawn_ = false;
    int next_ = 10;
};

}  // namespace

ProgramResult run_program(const std::vector<std::string>& arguments,
                          const std::function<void(const std::string&)>& waiting) {
    Complaints complaints;
    const pid_t process = start(arguments, complaints.writing_end());
    if (process < 0) return {not_found, arguments[0] + ": " + std::strerror(-process)};
    for (;;) {
        int status = 0;
        const pid_t ended = ::waitpid(process, &status, WNOHANG);
        complaints.drain();
        if (ended == process) {
            return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), complaints.last_line()};
        }
        if (stop_signal() != 0) {
            ::kill(process, SIGTERM);
            wait_for(process);
            throw UserError(ExitCode::stopped, "stopped; the same command goes on where it stopped");
        }
        waiting(complaints.text());
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
}

std::uint64_t announced_size(const std::string& headers, std::uint64_t begun) {
    std::uint64_t size = 0;
    std::istringstream lines(headers);
    for (std::string line; std::getline(lines, line);) {
        std::transform(line.begin(), line.end(), line.begin(),
                       [](unsigned char each) { return each >= 'A' && each <= 'Z' ? each - 'A' + 'a' : each; });
        std::istringstream words(line);
        std::string name;
        std::string value;
        words >> name;
        if (name.starts_with("http/")) size = 0;
        if (name == "content-length:" && words >> value && size == 0) {
            std::uint64_t rest = 0;
            if (std::from_chars(value.data(), value.data() + value.size(), rest).ec == std::errc{}) size = begun + rest;
        }
        if (name == "content-range:") {  // bytes 100-199/200
            const auto slash = line.rfind('/');
            if (slash == std::string::npos) continue;
            std::uint64_t whole = 0;
            if (std::from_chars(line.data() + slash + 1, line.data() + line.size(), whole).ec == std::errc{}) {
                size = whole;
            }
        }
    }
    return size;
}

namespace {

/// The server cannot begin in the middle of a file, or its file ends before that (curl's manual, EXIT CODES).
bool cannot_continue(const ProgramResult& result) {
    constexpr int no_ranges = 33;
    constexpr int bad_resume = 36;
    return result.status == no_ranges || result.status == bad_resume ||
           (result.status != 0 && result.complaint.find("416") != std::string::npos);
}

ProgramResult continue_download(const std::string& url, const std::filesystem::path& to) {
    const std::uint64_t begun = size_of(to);
    SizeLine line(to);
    if (is_installed("curl")) {
        const std::filesystem::path headers = to.string() + "-headers";
        // 30 s below 1 kB/s is a mirror that hangs
        const ProgramResult result = run_program(
            {"curl", "--fail", "--silent", "--show-error", "--location", "--connect-timeout", "20", "--speed-limit",
             "1000", "--speed-time", "30", "--dump-header", headers.string(), "--continue-at", "-", "--output",
             to.string(), url},
            [&](const std::string&) { line.draw(announced_size(text_in(headers), begun)); });
        std::error_code ignored;
        std::filesystem::remove(headers, ignored);
        return result;
    }
    if (is_installed("wget")) {
        return run_program({"wget", "--no-verbose", "--server-response", "--continue", "--timeout=30", "--tries=1",
                            "--output-document=" + to.string(), url},
                           [&](const std::string& said) { line.draw(announced_size(said, begun)); });
    }
    throw UserError(ExitCode::data, "fetching needs curl or wget, and neither is installed (apt install curl)");
}

}  // namespace

std::string download(const std::string& url, const std::filesystem::path& to) {
    const std::uint64_t begun = size_of(to);
    if (begun > 0) std::fprintf(stderr, "  going on after %s\n", megabytes(begun).c_str());
    ProgramResult result = continue_download(url, to);
    if (begun > 0 && cannot_continue(result)) {
        std::error_code ignored;
        std::filesystem::resize_file(to, 0, ignored);
        result = continue_download(url, to);
    }
    if (result.status == 0) return "";
    return result.complaint.empty() ? "the download ended with status " + std::to_string(result.status)
                                    : result.complaint;
}

}  // namespace espalier
