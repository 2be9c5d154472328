// Runs that are killed, interrupted or hindered at any moment lose nothing: the program as another process, its system
// calls made to fail in turn (tests/faults).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "host/run/checkpoint.hpp"
#include "host/run/checkpoint_folder.hpp"
#include "host/formats/output_file.hpp"
#include "program_fixture.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using Environment = std::map<std::string, std::string>;

/// How many times a test of chance is repeated; a longer night may ask for more.
int repeats(const char* variable, int usual) {
    const char* const asked = std::getenv(variable);
    return asked != nullptr ? std::atoi(asked) : usual;
}

/// Thousands of saves: where syncing costs nothing, and a kill loses as little as on a disk.
struct InMemory {
    InMemory() {
        if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    }
};

class Crash : private InMemory, public ProgramTest {
protected:
    /// A run of milliseconds an epoch that saves after every one of them.
    std::vector<std::string> words(int epochs, const std::string& folder) const {
        return {"train",
                "--dataset",
                "synthetic",
                "--train-samples",
                "40",
                "--test-samples",
                "20",
                "--layers",
                "784-8-10",
                "--epsilon",
                "2",
                "--batch",
                "10",
                "--threads",
                "1",
                "--optimizer",
                "momentum",
                "--checkpoint-every",
                "1",
                "--keep",
                "2",
                "--resume",
                "auto",
                "--evolve",
                "steps(n=3)",
                "--epochs",
                std::to_string(epochs),
                "--out",
                path(folder)};
    }

    pid_t start_in(const Environment& environment, const std::vector<std::string>& arguments) {
        for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
        const pid_t child = start(arguments);
        for (const auto& [name, value] : environment) unsetenv(name.c_str());
        return child;
    }
    Outcome run_in(const Environment& environment, const std::vector<std::string>& arguments) {
        return finish(start_in(environment, arguments));
    }
    /// The environment in which call number `at` on the run folder goes wrong.
    Environment faulty(const std::string& folder, int at, const std::string& fault) const {
        return {{"LD_PRELOAD", ESPALIER_FAULTS},           {"ESPALIER_FAULT_UNDER", path(folder)},
                {"ESPALIER_FAULT_AT", std::to_string(at)}, {"ESPALIER_FAULT", fault},
                {"ESPALIER_FAULT_COUNT", path("count")},   {"ASAN_OPTIONS", "verify_asan_link_order=0"}};
    }

    /// What a run leaves that must not depend on how often it was interrupted.
    std::map<std::string, std::string> lasting(const std::string& folder) const {
        std::map<std::string, std::string> files;
        for (const char* name : {"network.safetensors", "connections.npy", "degrees-layer1-outputs.npy", "config.toml",
                                 "connections-first.png", "connections-last.png", "pixels.npy", "edges.csv",
                                 "survival.csv", "weights-bins.npy", "weights-layer1.npy", "weights-layer2.npy"}) {
            files[name] = text_of(fs::path(path(folder)) / name);
        }
        std::istringstream lines(text_of(fs::path(path(folder)) / "history.jsonl"));
        std::string& history = files["history.jsonl"];
        for (std::string line; std::getline(lines, line);) {
            auto record = nlohmann::ordered_json::parse(line);
            for (const char* name : {"train_seconds", "test_seconds", "evolution_seconds", "images_per_second"}) {
                record.erase(name);
            }
            history += record.dump() + "\n";
        }
        return files;
    }
    void expect_equal(const std::string& folder, const std::string& unbroken) const {
        const auto expected = lasting(unbroken);
        for (const auto& [name, bytes] : lasting(folder)) {
            EXPECT_FALSE(bytes.empty()) << name;
            EXPECT_TRUE(bytes == expected.at(name)) << folder << "/" << name << " differs";
        }
    }

    /// No half-written file anywhere in the run folder.
    void expect_no_temporaries(const std::string& folder) const {
        if (!fs::exists(path(folder))) return;
        for (const auto& entry : fs::recursive_directory_iterator(path(folder))) {
            EXPECT_FALSE(is_temporary(entry.path())) << entry.path();
        }
    }
    /// Every checkpoint in the folder verifies; the newest one's place, {0, 0} where there is none.
    CheckpointPlace newest(const std::string& folder) const {
        CheckpointPlace place;
        for (const auto& file : list_checkpoints(path(folder))) {
            EXPECT_NO_THROW((void)load_checkpoint(file.path)) << file.path;
            place = file.place;
        }
        return place;
    }
    std::size_t epochs_recorded(const std::string& folder) const {
        const std::string text = text_of(fs::path(path(folder)) / "history.jsonl");
        return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
    }
};

TEST_F(Crash, KilledAtRandomMomentsNothingIsLost) {
    const int epochs = 20;
    const auto before = std::chrono::steady_clock::now();
    ASSERT_EQ(run(words(epochs, "unbroken")).code, 0);
    const std::chrono::duration<double> whole = std::chrono::steady_clock::now() - before;
    std::mt19937 random(7);  // only chooses moments
    std::uniform_real_distribution<double> moment(0, 0.7 * whole.count());
    int finished = 0;
    CheckpointPlace reached;
    std::size_t resumed = 0;
    const int kills = repeats("ESPALIER_KILLS", 500);
    for (int kill_number = 0; kill_number < kills;) {
        SCOPED_TRACE("kill " + std::to_string(kill_number));
        const pid_t child = start(words(epochs, "run"));
        std::this_thread::sleep_for(std::chrono::duration<double>(moment(random)));
        kill(child, SIGKILL);
        const Outcome outcome = finish(child);
        if (outcome.code == 0) {
            ++finished;
            expect_equal("run", "unbroken");
            fs::remove_all(path("run"));
            reached = {};
            if (HasFailure()) return;
            continue;
        }
        ASSERT_EQ(outcome.code, 128 + SIGKILL) << outcome.err;
        ++kill_number;
        if (outcome.err.find("resuming from") != std::string::npos) ++resumed;
        EXPECT_EQ(outcome.err.find("warning"), std::string::npos) << outcome.err;
        const CheckpointPlace place = newest("run");
        EXPECT_GE(place, reached);
        EXPECT_GE(place.epoch + 1, epochs_recorded("run"));  // one interval, the one the kill fell into
        reached = place;
        if (HasFailure()) return;
    }
    ASSERT_EQ(run(words(epochs, "run")).code, 0);
    expect_equal("run", "unbroken");
    EXPECT_GT(resumed, static_cast<std::size_t>(kills) / 10);
    std::cout << kills << " kills, " << resumed << " of them in a resumed run; " << finished + 1
              << " runs came to their end\n";
}

TEST_F(Crash, KilledBeforeAnySystemCallNothingIsLost) {
    ASSERT_EQ(run(words(2, "unbroken")).code, 0);
    ASSERT_EQ(run_in(faulty("run", 0, ""), words(2, "run")).code, 0);
    const int calls = std::stoi(text_of(path("count")));
    ASSERT_GT(calls, 50);
    for (int at = 1; at <= calls; ++at) {
        SCOPED_TRACE("killed before call " + std::to_string(at) + " of " + std::to_string(calls));
        fs::remove_all(path("run"));
        ASSERT_EQ(run_in(faulty("run", at, "signal 9"), words(2, "run")).code, 128 + SIGKILL);
        EXPECT_GE(newest("run").epoch + 1, epochs_recorded("run"));
        const Outcome resumed = run(words(2, "run"));
        ASSERT_EQ(resumed.code, 0) << resumed.err;
        EXPECT_EQ(resumed.err.find("warning"), std::string::npos) << resumed.err;
        expect_equal("run", "unbroken");
        expect_no_temporaries("run");
        if (HasFailure()) return;
    }
}

TEST_F(Crash, EverySystemCallMadeToFail) {
    ASSERT_EQ(run(words(2, "unbroken")).code, 0);
    ASSERT_EQ(run_in(faulty("run", 0, ""), words(2, "run")).code, 0);
    const int calls = std::stoi(text_of(path("count")));
    ASSERT_GT(calls, 50);
    int refused = 0;
    for (int at = 1; at <= calls; ++at) {
        const int error = at % 2 == 0 ? ENOSPC : EIO;
        SCOPED_TRACE("call " + std::to_string(at) + " of " + std::to_string(calls) + ": " + std::strerror(error));
        fs::remove_all(path("run"));
        const Outcome outcome = run_in(faulty("run", at, std::to_string(error)), words(2, "run"));
        // A few calls may fail without harm: closing what was read, a lock the file system does not know.
        if (outcome.code != 0) {
            ++refused;
            EXPECT_EQ(outcome.code, 7) << outcome.err;
            EXPECT_THAT(outcome.err, HasSubstr(path("run")));
        }
        expect_no_temporaries("run");
        EXPECT_GE(newest("run").epoch + 1, epochs_recorded("run"));
        const Outcome resumed = run(words(2, "run"));
        ASSERT_EQ(resumed.code, 0) << resumed.err;
        expect_equal("run", "unbroken");
        if (HasFailure()) return;
    }
    EXPECT_GT(refused, calls / 2);
}

TEST_F(Crash, ShortWritesAndInterruptedCallsAreFinished) {
    ASSERT_EQ(run_in(faulty("unbroken", 0, ""), words(2, "unbroken")).code, 0);
    const int calls = std::stoi(text_of(path("count")));
    for (int at = 1; at <= calls; ++at) {
        SCOPED_TRACE("call " + std::to_string(at));
        fs::remove_all(path("run"));
        const Outcome outcome = run_in(faulty("run", at, "short"), words(2, "run"));
        ASSERT_EQ(outcome.code, 0) << outcome.err;
        expect_equal("run", "unbroken");
        if (HasFailure()) return;
    }
}

TEST_F(Crash, ASignalInAnyPhaseSavesAndResumes) {
    ASSERT_EQ(run(words(3, "unbroken")).code, 0);
    ASSERT_EQ(run_in(faulty("run", 0, ""), words(3, "run")).code, 0);
    const int calls = std::stoi(text_of(path("count")));
    int stopped = 0;
    int number = 0;
    const auto expect_saved = [&](const Outcome& outcome) {
        // Asked while the last files are written, a run comes to its end.
        ASSERT_TRUE(outcome.code == 75 || outcome.code == 0) << outcome.code << "\n" << outcome.err;
        if (outcome.code == 75) {
            ++stopped;
            EXPECT_THAT(outcome.err, HasSubstr("--resume '" + path("run") + "'"));
            EXPECT_FALSE(list_checkpoints(path("run")).empty());
        }
        expect_no_temporaries("run");
        (void)newest("run");
        const Outcome resumed = run({"train", "--resume", path("run")});  // all else stands in the folder
        ASSERT_EQ(resumed.code, 0) << resumed.err;
        expect_equal("run", "unbroken");
    };
    for (int at = 1; at <= calls; at += std::max(1, calls / 64)) {
        SCOPED_TRACE("before call " + std::to_string(at) + " of " + std::to_string(calls));
        fs::remove_all(path("run"));
        const int signal = std::array{SIGTERM, SIGINT, SIGUSR1}[static_cast<std::size_t>(number++ % 3)];
        expect_saved(run_in(faulty("run", at, "signal " + std::to_string(signal)), words(3, "run")));
        if (HasFailure()) return;
    }
    EXPECT_GT(stopped, 20);
}

TEST_F(Crash, SigtermAtRandomMomentsOfALongerRun) {
    const std::vector<std::string> long_words{
        "train",      "--dataset", "synthetic", "--train-samples", "2000", "--test-samples", "2000", "--layers",
        "784-200-10", "--epsilon", "8",         "--threads",       "2",    "--batch",        "10",   "--epochs",
        "4",          "--resume",  "auto",      "--dropout",       "0.1",  "--zeta",         "0.4",  "--loss",
        "mse",        "--out",     path("run")};
    auto unbroken = long_words;
    unbroken.back() = path("unbroken");
    const auto before = std::chrono::steady_clock::now();
    ASSERT_EQ(run(unbroken).code, 0);
    const std::chrono::duration<double> whole = std::chrono::steady_clock::now() - before;
    std::mt19937 random(11);
    std::uniform_real_distribution<double> moment(0, 0.5 * whole.count());
    int stopped = 0;
    while (stopped < 20) {
        fs::remove(path("err"));  // of the one before
        const pid_t child = start(long_words);
        // Until it has said on which machine it runs, it has not begun.
        while (text_of(path("err")).find("samples;") == std::string::npos && kill(child, 0) == 0) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        std::this_thread::sleep_for(std::chrono::duration<double>(moment(random)));
        kill(child, SIGTERM);
        const Outcome outcome = finish(child);
        if (outcome.code == 0) {
            expect_equal("run", "unbroken");
            fs::remove_all(path("run"));
        } else {
            ASSERT_EQ(outcome.code, 75) << outcome.err;
            ++stopped;
        }
        if (HasFailure()) return;
    }
    ASSERT_EQ(run(long_words).code, 0);
    expect_equal("run", "unbroken");
}

TEST_F(Crash, ASecondInterruptEndsAtOnce) {
    auto arguments = words(1000000, "run");
    const pid_t child = start(arguments);
    while (epochs_recorded("run") == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    // Stopped, so that both arrive before it can act on the first.
    kill(child, SIGSTOP);
    kill(child, SIGINT);
    kill(child, SIGCONT);
    kill(child, SIGINT);
    const Outcome outcome = finish(child);
    EXPECT_TRUE(outcome.code == 128 + SIGINT || outcome.code == 75) << outcome.code;
    EXPECT_GE(newest("run").epoch + 1, epochs_recorded("run"));
}

TEST_F(Crash, ASmallFileSystemFillsUp) {
    const std::string command = "mount -t tmpfs -o size=200k tmpfs '" + path("small") + "' || exit 100; '" +
                                std::string(ESPALIER_PROGRAM) + "' \"$@\"; code=$?; ls -R '" + path("small") +
                                "'; exit $code";
    fs::create_directories(path("small"));
    // One checkpoint takes about 13 kB: the run ends in the middle of one.
    auto arguments = words(400, "small/run");
    std::string line = "unshare --user --map-root-user --mount sh -c \"$ESPALIER_COMMAND\" sh";
    for (const auto& word : arguments) line += " '" + word + "'";
    setenv("ESPALIER_COMMAND", command.c_str(), 1);
    const int status = std::system((line + " >'" + path("out") + "' 2>'" + path("err") + "'").c_str());
    unsetenv("ESPALIER_COMMAND");
    const int code = WEXITSTATUS(status);
    const std::string said = text_of(path("err"));
    if (code == 100 || said.find("unshare") != std::string::npos) {
        GTEST_SKIP() << "may not mount a tmpfs here: " << said;
    }
    EXPECT_EQ(code, 7) << said;
    EXPECT_THAT(said, HasSubstr("No space left on device"));
    EXPECT_THAT(said, HasSubstr(path("small/run")));
    const std::string listing = text_of(path("out"));
    EXPECT_THAT(listing, HasSubstr("ckpt-"));
    EXPECT_EQ(listing.find(".tmp-"), std::string::npos) << listing;
}

TEST_F(Crash, AFileSizeLimitIsAnIoError) {
    ASSERT_EQ(run(words(3, "unbroken")).code, 0);
    int refused = 0;
    for (const rlim_t limit : {100U, 1000U, 4000U, 8000U, 12000U, 16000U, 50000U}) {
        SCOPED_TRACE(limit);
        rlimit before{};
        getrlimit(RLIMIT_FSIZE, &before);
        const rlimit lowered{limit, before.rlim_max};
        std::signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &lowered);
        const Outcome outcome = run(words(3, "run"));
        setrlimit(RLIMIT_FSIZE, &before);
        if (outcome.code != 0) {
            ++refused;
            EXPECT_EQ(outcome.code, 7) << outcome.err;
        }
        expect_no_temporaries("run");
        (void)newest("run");
        ASSERT_EQ(run(words(3, "run")).code, 0);
        expect_equal("run", "unbroken");
        fs::remove_all(path("run"));
    }
    EXPECT_GE(refused, 4);
}

}  // namespace
}  // namespace espalier
