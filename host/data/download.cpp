#include "host/data/download.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
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
    pid_t process = 0;
    const int error = ::posix_spawnp(&process, words[0], &actions, nullptr, words.data(), environ);
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

/// Size of a growing file, redrawn on one line of a terminal, or nothing.
class SizeLine {
public:
    explicit SizeLine(const std::filesystem::path& file) : file_(file), terminal_(::isatty(STDERR_FILENO) == 1) {}
    SizeLine(const SizeLine&) = delete;
    SizeLine& operator=(const SizeLine&) = delete;
    ~SizeLine() {
        if (drawn_) std::fputs("\r\033[K", stderr);
    }
    void draw() {
        std::error_code absent;
        const auto bytes = std::filesystem::file_size(file_, absent);
        if (!terminal_ || absent) return;
        std::fprintf(stderr, "\r\033[K  %.1f MB", static_cast<double>(bytes) / 1e6);
        std::fflush(stderr);
        drawn_ = true;
    }

private:
    std::filesystem::path file_;
    bool terminal_;
    bool drawn_ = false;
};

}  // namespace

ProgramResult run_program(const std::vector<std::string>& arguments, const std::function<void()>& waiting) {
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
            throw UserError(ExitCode::stopped, "stopped; nothing half-fetched is left");
        }
        waiting();
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
}

std::string download(const std::string& url, const std::filesystem::path& to) {
    std::vector<std::string> arguments;
    if (is_installed("curl")) {
        // 30 s below 1 kB/s is a mirror that hangs
        arguments = {"curl",          "--fail", "--silent",     "--show-error", "--location", "--connect-timeout", "20",
                     "--speed-limit", "1000",   "--speed-time", "30",           "--output",   to.string(),         url};
    } else if (is_installed("wget")) {
        arguments = {"wget", "--no-verbose", "--timeout=30", "--tries=1", "--output-document=" + to.string(), url};
    } else {
        throw UserError(ExitCode::data, "fetching needs curl or wget, and neither is installed (apt install curl)");
    }
    SizeLine line(to);
    const ProgramResult result = run_program(arguments, [&] { line.draw(); });
    if (result.status == 0) return "";
    return result.complaint.empty() ? arguments[0] + " ended with status " + std::to_string(result.status)
                                    : result.complaint;
}

}  // namespace espalier
