// The terminal and the daemon a run was started by: closed, full and broken streams, Ctrl-C through a pipe, hangups.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "host/run/checkpoint_folder.hpp"
#include "program_fixture.hpp"

namespace {

namespace fs = std::filesystem;
using espalier::Outcome;
using espalier::text_of;
using testing::HasSubstr;
using testing::Not;

class Terminal : public espalier::ProgramTest {
protected:
    /// A shell of its own process group that runs `line` in the test's folder, where $P is the program.
    pid_t start_shell(const std::string& line) {
        const pid_t child = fork();
        if (child != 0) return child;
        setpgid(0, 0);
        setenv("P", ESPALIER_PROGRAM, 1);
        std::signal(SIGHUP, SIG_DFL);
        if (chdir(path("").c_str()) != 0) _exit(126);
        execl("/bin/bash", "bash", "-c", line.c_str(), nullptr);
        _exit(127);
    }
    static int code_of(pid_t child) {
        int status = 0;
        waitpid(child, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    int shell(const std::string& line) { return code_of(start_shell(line)); }

    /// Waits until `done` holds, at most a minute.
    template <class Condition>
    static void wait_until(Condition&& done) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        while (!done() && std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
    }
    void wait_for_epochs(const std::string& run) {
        wait_until([&] { return text_of(path(run) + "/history.csv").size() > 600; });
    }
    static std::string training(const std::string& epochs) {
        return "\"$P\" train --backend cpu --threads 1 --dataset synthetic --train-samples 300 --test-samples 50 "
               "--layers 784-20-10 --epochs " +
               epochs + " --out run ";
    }
    std::size_t lines_in(const std::string& name) const {
        const std::string text = text_of(path(name));
        return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
    }
};

TEST_F(Terminal, ClosedStreamsTakeNoFilesNumber) {
    for (const std::string closed : {"2>&-", ">&- 2>&-", "<&- >&- 2>&-", ">&-"}) {
        SCOPED_TRACE(closed);
        EXPECT_EQ(shell(training("2") + closed), 0);
        EXPECT_EQ(lines_in("run/history.csv"), 3U);
        EXPECT_EQ(lines_in("run/history.jsonl"), 2U);
        EXPECT_THAT(text_of(path("run/history.jsonl")), Not(HasSubstr("epoch 1/2")));
        EXPECT_EQ(shell("\"$P\" report run -o page.html " + closed), 0);
        EXPECT_THAT(text_of(path("page.html")), Not(HasSubstr("page.html: 1 run\n")));
        fs::remove_all(path("run"));
    }
    const std::string study =
        "printf 'dataset=\"synthetic\"\\nlayers=\"784-20-10\"\\nepsilon=[2, 4]\\nepochs=2\\nseeds=1\\n"
        "train-samples=300\\n' > few.toml; \"$P\" study few.toml --jobs 2 --out study <&- >&- 2>&-";
    EXPECT_EQ(shell(study), 0);
    EXPECT_TRUE(fs::exists(path("study/study.json")));
}

TEST_F(Terminal, AFullStdoutIsAnIoError) {
    for (const std::string words : {"--help", "--version", "data list", "train --list-recipes", "study --list-studies",
                                    "train --dataset synthetic --dry-run", "train --print-config", "doctor"}) {
        SCOPED_TRACE(words);
        EXPECT_EQ(shell("\"$P\" " + words + " >/dev/full 2>err"), 7);
        EXPECT_THAT(text_of(path("err")), HasSubstr("cannot write to standard output: No space left on device"));
    }
    EXPECT_EQ(shell(training("1") + ">/dev/full 2>err"), 7);
    EXPECT_TRUE(fs::exists(path("run/results.json")));
    EXPECT_EQ(shell("\"$P\" inspect run/network.safetensors >/dev/full 2>err"), 7);
    EXPECT_EQ(shell("\"$P\" evaluate run/network.safetensors --json >/dev/full 2>err"), 7);
}

TEST_F(Terminal, ABrokenOrFullStderrEndsNoRun) {
    EXPECT_EQ(shell(training("3") + "2>/dev/full"), 0);
    EXPECT_EQ(lines_in("run/history.csv"), 4U);
    fs::remove_all(path("run"));
    EXPECT_EQ(shell("(" + training("3") + "; echo $? >code) 2>&1 >/dev/null | true"), 0);
    EXPECT_EQ(text_of(path("code")), "0\n");
    EXPECT_EQ(lines_in("run/history.csv"), 4U);
    EXPECT_TRUE(fs::exists(path("run/results.json")));
}

TEST_F(Terminal, AReaderThatLeavesIsNoNews) {
    EXPECT_EQ(shell("(\"$P\" train --help; echo $? >code) 2>err | true"), 0);
    EXPECT_EQ(text_of(path("err")), "");
}

/// Ctrl-C reaches the whole foreground group, but not the shell, as on a terminal: `tee` dies at once.
TEST_F(Terminal, CtrlCOfATrainThroughTeeSaves) {
    for (int i = 0; i < 10; ++i) {
        fs::remove_all(path("run"));
        const pid_t child = start_shell("trap : INT; " + training("100000") +
                                        "2>&1 | tee log >/dev/null; echo ${PIPESTATUS[0]} >code; exit 0");
        wait_for_epochs("run");
        kill(-child, SIGINT);
        EXPECT_EQ(code_of(child), 0);
        EXPECT_EQ(text_of(path("code")), "75\n");
        EXPECT_FALSE(espalier::list_checkpoints(path("run")).empty());
    }
}

TEST_F(Terminal, CtrlCOfAStudyThroughTeeSaves) {
    ASSERT_EQ(shell("printf 'dataset=\"synthetic\"\\nlayers=\"784-20-10\"\\nepsilon=[2, 4]\\nepochs=100000\\n"
                    "seeds=1\\ntrain-samples=300\\n' > few.toml"),
              0);
    const pid_t child = start_shell("trap : INT; \"$P\" study few.toml --jobs 2 --out study 2>&1 | tee log >/dev/null; "
                                    "echo ${PIPESTATUS[0]} >code; exit 0");
    std::vector<fs::path> runs;
    wait_until([&] {
        runs.clear();
        std::error_code none;
        for (const auto& entry : fs::recursive_directory_iterator(path("study"), none)) {
            if (entry.path().filename() == "history.csv") runs.push_back(entry.path().parent_path());
        }
        return runs.size() == 2;
    });
    kill(-child, SIGINT);
    EXPECT_EQ(code_of(child), 0);
    EXPECT_EQ(text_of(path("code")), "75\n");
    ASSERT_EQ(runs.size(), 2U);
    for (const fs::path& run : runs) EXPECT_FALSE(espalier::list_checkpoints(run).empty()) << run;
}

TEST_F(Terminal, EverySignalThatAsksToStopSaves) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}) {
        SCOPED_TRACE(signal);
        fs::remove_all(path("run"));
        const pid_t child = start_shell("exec " + training("100000") + "2>err");
        wait_for_epochs("run");
        kill(child, signal);
        EXPECT_EQ(code_of(child), 75) << text_of(path("err"));
        EXPECT_FALSE(espalier::list_checkpoints(path("run")).empty());
    }
}

TEST_F(Terminal, ARunUnderNohupOutlivesItsTerminal) {
    const pid_t child = start_shell("exec nohup " + training("100000") + ">out 2>err");
    wait_for_epochs("run");
    kill(child, SIGHUP);
    const std::size_t before = lines_in("run/history.csv");
    wait_until([&] { return lines_in("run/history.csv") > before + 2; });
    EXPECT_GT(lines_in("run/history.csv"), before + 2);
    kill(child, SIGTERM);
    EXPECT_EQ(code_of(child), 75);
}

}  // namespace
