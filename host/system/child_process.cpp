#include "host/system/child_process.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "espalier/error.hpp"
#include "host/system/signals.hpp"

namespace espalier {

ChildProcess::ChildProcess(const std::vector<std::string>& words) {
    expects(!words.empty(), "a program to start");
    std::array<int, 2> ends{};
    const auto refuse = [](int error) {
        throw UserError(ExitCode::device, std::string("cannot start another process: ") + std::strerror(error));
    };
    if (pipe2(ends.data(), O_CLOEXEC) != 0) refuse(errno);
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    const pid_t parent = getpid();
    hold_signals();  // until the child can save
    process_ = fork();
    const int error = errno;
    if (process_ != 0) receive_signals();
    if (process_ < 0) {
        close(ends[0]);
        close(ends[1]);
        refuse(error);
    }
    if (process_ == 0) {  // only what is safe after fork
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent) _exit(127);  // the parent ended before the line above
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        execv(arguments[0], arguments.data());
        _exit(127);
    }
    close(ends[1]);
    output_ = ends[0];
}

ChildProcess::~ChildProcess() {
    if (output_ >= 0) close(output_);
    if (process_ <= 0) return;
    kill(process_, SIGKILL);
    while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
}

std::vector<std::string> ChildProcess::lines() {
    std::array<char, 4096> buffer{};
    const ssize_t size = read(output_, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) return {};
    std::vector<std::string> whole;
    if (size <= 0) {
        ended_ = true;
        if (!rest_.empty()) whole.push_back(std::move(rest_));
        return whole;
    }
    rest_.append(buffer.data(), static_cast<std::size_t>(size));
    for (std::size_t end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n')) {
        whole.push_back(rest_.substr(0, end));
        rest_.erase(0, end + 1);
    }
    return whole;
}

int ChildProcess::code() {
    expects(process_ > 0, "code() once");
    int status = 0;
    while (waitpid(process_, &status, 0) < 0 && errno == EINTR) {
    }
    process_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void ChildProcess::ask_to_end() {
    if (process_ > 0) kill(process_, SIGTERM);
}

std::string this_program() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

}  // namespace espalier
