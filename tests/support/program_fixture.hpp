// The program as a user meets it: each test has a folder of its own and starts the program as another process.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "files.hpp"

namespace espalier {

struct Outcome {
    int code = -1;
    std::string out, err;
    long peak_kib = 0;
};

class ProgramTest : public testing::Test {
protected:
    ProgramTest() : folder_(std::filesystem::temp_directory_path() / ("espalier-cli-" + std::to_string(getpid()))) {
        std::filesystem::remove_all(folder_);
        std::filesystem::create_directories(folder_);
    }
    ~ProgramTest() override { std::filesystem::remove_all(folder_); }

    [[nodiscard]] std::string path(const std::string& name) const { return (folder_ / name).string(); }

    pid_t start(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), ESPALIER_PROGRAM);
        const pid_t child = fork();
        if (child != 0) return child;
        std::vector<char*> words;
        for (std::string& each : arguments) words.push_back(each.data());
        words.push_back(nullptr);
        dup2(open(path("out").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
        dup2(open(path("err").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
        execv(words[0], words.data());
        _exit(127);
    }
    Outcome finish(pid_t child) {
        int status = 0;
        rusage usage{};
        wait4(child, &status, 0, &usage);
        return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), text_of(path("out")),
                text_of(path("err")), usage.ru_maxrss};
    }
    Outcome run(const std::vector<std::string>& arguments) { return finish(start(arguments)); }
    /// The same where the system gives no more than so many threads.
    Outcome run_with_threads(int most, const std::vector<std::string>& arguments) {
        const std::vector<std::pair<const char*, std::string>> environment{
            {"LD_PRELOAD", ESPALIER_FAULTS},
            {"ESPALIER_FAULT_THREADS", std::to_string(most)},
            {"ASAN_OPTIONS", "verify_asan_link_order=0"}};
        for (const auto& [name, value] : environment) setenv(name, value.c_str(), 1);
        const pid_t child = start(arguments);
        for (const auto& [name, value] : environment) unsetenv(name);
        return finish(child);
    }

    /// A short training run on the built-in data, plus `more`.
    Outcome train(const std::vector<std::string>& more) {
        std::vector<std::string> arguments{
            "train",        "--dataset", "synthetic", "--train-samples", "600", "--layers",
            "784-50-20-10", "--epochs",  "2",         "--threads",       "2"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return run(arguments);
    }

    std::filesystem::path folder_;
};

}  // namespace espalier
