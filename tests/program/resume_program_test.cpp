// Resuming as a user meets it: data that moved, more epochs, folders of runs started at once, file systems without
// locks and syncs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "host/run/checkpoint_folder.hpp"
#include "program_fixture.hpp"

namespace {

namespace fs = std::filesystem;
using espalier::Outcome;
using espalier::text_of;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class ResumeProgram : public espalier::ProgramTest {
protected:
    void write_table(const std::string& name, int scale) const {
        fs::create_directories(fs::path(path(name)).parent_path());
        std::ofstream file(path(name));
        for (int i = 0; i < 40; ++i) file << i % 2 << ',' << i << ',' << i % 2 * scale << ",1\n";
    }
    Outcome train_table(const std::string& table, const std::vector<std::string>& more) {
        std::vector<std::string> words{"train",       "--dataset",  "csv:" + path(table) + "," + path(table),
                                       "--layers",    "3-6-2",      "--topology",
                                       "dense",       "--threads",  "1",
                                       "--out",       path("run")};
        words.insert(words.end(), more.begin(), more.end());
        return run(words);
    }
    std::size_t epochs_in(const std::string& folder) const {
        const std::string text = text_of(path(folder) + "/history.jsonl");
        return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
    }
    Outcome run_in(const std::vector<std::pair<std::string, std::string>>& environment,
                   const std::vector<std::string>& words) {
        for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
        const Outcome outcome = run(words);
        for (const auto& [name, value] : environment) unsetenv(name.c_str());
        return outcome;
    }
    /// Every call of that name on a file below the test's folder fails.
    std::vector<std::pair<std::string, std::string>> without(const std::string& call, int error) const {
        return {{"LD_PRELOAD", ESPALIER_FAULTS},
                {"ESPALIER_FAULT_UNDER", folder_.string()},
                {"ESPALIER_FAULT_EVERY", call},
                {"ESPALIER_FAULT", std::to_string(error)},
                {"ASAN_OPTIONS", "verify_asan_link_order=0"}};
    }
    const std::vector<std::string> short_run_{"train",    "--dataset", "synthetic", "--train-samples", "300",
                                              "--layers", "784-20-10", "--epochs",  "2",               "--out"};
    std::vector<std::string> short_run(const std::string& folder) const {
        auto words = short_run_;
        words.push_back(path(folder));
        return words;
    }
};

TEST_F(ResumeProgram, TheDigestOfTheDataDecidesNotTheirPath) {
    write_table("job1/a.csv", 3);
    ASSERT_EQ(train_table("job1/a.csv", {"--epochs", "2"}).code, 0);
    fs::remove(path("run/results.json"));
    fs::rename(path("job1"), path("job2"));
    const std::string moved = "csv:" + path("job2/a.csv") + "," + path("job2/a.csv");
    const Outcome resumed = run({"train", "--resume", path("run"), "--dataset", moved});
    EXPECT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_THAT(resumed.err, HasSubstr("resuming from"));
    EXPECT_TRUE(fs::exists(path("run/results.json")));
    EXPECT_THAT(text_of(path("run/config.toml")), HasSubstr("job2"));

    write_table("other/a.csv", 4);
    const std::string other = "csv:" + path("other/a.csv") + "," + path("other/a.csv");
    const Outcome refused = run({"train", "--resume", path("run"), "--dataset", other});
    EXPECT_EQ(refused.code, 4);
    EXPECT_THAT(refused.err, HasSubstr("its run saw other data"));
}

TEST_F(ResumeProgram, MoreEpochsGoOnWithAFinishedRun) {
    ASSERT_EQ(run(short_run("run")).code, 0);
    const std::string history = text_of(path("run/history.csv"));
    const Outcome more = run({"train", "--resume", path("run"), "--epochs", "5", "--json"});
    ASSERT_EQ(more.code, 0) << more.err;
    EXPECT_THAT(more.err, AllOf(HasSubstr("resuming from"), HasSubstr("5 epochs instead of 2")));
    EXPECT_EQ(json::parse(more.out)["epochs"], 5);
    EXPECT_EQ(epochs_in("run"), 5U);
    EXPECT_EQ(text_of(path("run/history.csv")).substr(0, history.size()), history);
    EXPECT_EQ(run({"report", path("run"), "-o", path("page.html")}).code, 0);
    const Outcome fewer = run({"train", "--resume", path("run"), "--epochs", "4"});
    EXPECT_EQ(fewer.code, 2);
    EXPECT_THAT(fewer.err, HasSubstr("its run has epochs = 5"));
}

TEST_F(ResumeProgram, ARunThatIsToGoOnIsCompleteNoLonger) {
    ASSERT_EQ(run(short_run("run")).code, 0);
    ASSERT_TRUE(fs::exists(path("run/results.json")));
    const pid_t child = start({"train", "--resume", path("run"), "--epochs", "100000"});
    while (epochs_in("run") < 4 && kill(child, 0) == 0) usleep(2000);
    EXPECT_FALSE(fs::exists(path("run/results.json")));
    kill(child, SIGTERM);
    EXPECT_EQ(finish(child).code, 75);
}

TEST_F(ResumeProgram, AnEpochRecordedAsTheLastStaysTheLast) {
    auto words = short_run("run");
    words.insert(words.end(), {"--record-every", "3"});
    ASSERT_EQ(run(words).code, 0);
    const Outcome more = run({"train", "--resume", path("run"), "--epochs", "5"});
    EXPECT_EQ(more.code, 2);
    EXPECT_THAT(more.err, HasSubstr("record-every = 3"));
}

TEST_F(ResumeProgram, RunsStartedAtOnceTakeDifferentFolders) {
    const std::string line = "cd '" + folder_.string() + "' && for i in 1 2 3 4 5 6; do '" + ESPALIER_PROGRAM +
                             "' train --dataset synthetic --train-samples 300 --layers 784-20-10 --epochs 1 --threads 1 "
                             "--keep 0 >out$i 2>err$i & done; wait";
    ASSERT_EQ(std::system(line.c_str()), 0);
    std::set<std::string> folders;
    for (const auto& entry : fs::directory_iterator(path("runs"))) {
        EXPECT_TRUE(fs::exists(entry.path() / "results.json")) << entry.path();
        folders.insert(entry.path().filename().string());
    }
    EXPECT_THAT(folders, testing::ElementsAre("synthetic-seed1", "synthetic-seed1-2", "synthetic-seed1-3",
                                              "synthetic-seed1-4", "synthetic-seed1-5", "synthetic-seed1-6"));
}

TEST_F(ResumeProgram, ARunThatCannotStartLeavesNoFolder) {
    const std::string line = "cd '" + folder_.string() + "' && '" + ESPALIER_PROGRAM +
                             "' train --dataset synthetic --layers 700-20-10 2>err";
    EXPECT_NE(std::system(line.c_str()), 0);
    EXPECT_FALSE(fs::exists(path("runs")));
}

TEST_F(ResumeProgram, AFileSystemThatCannotSyncIsUsedWithAWarning) {
    for (const int error : {EINVAL, ENOSYS, EOPNOTSUPP}) {
        SCOPED_TRACE(error);
        const Outcome outcome = run_in(without("fsync", error), short_run("run"));
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        const auto said = outcome.err.find("cannot sync");
        EXPECT_NE(said, std::string::npos) << outcome.err;
        EXPECT_EQ(outcome.err.find("cannot sync", said + 1), std::string::npos) << outcome.err;  // once
        EXPECT_TRUE(fs::exists(path("run/results.json")));
        fs::remove_all(path("run"));
    }
    EXPECT_EQ(run_in(without("fsync", EIO), short_run("run")).code, 7);
}

TEST_F(ResumeProgram, WithoutLocksALiveRunIsStillNobodyElses) {
    const auto no_locks = without("flock", ENOLCK);
    for (const auto& [name, value] : no_locks) setenv(name.c_str(), value.c_str(), 1);
    auto words = short_run("run");
    words[8] = "100000";
    const pid_t child = start(words);
    while (epochs_in("run") < 2 && kill(child, 0) == 0) usleep(2000);
    const std::string said = text_of(path("err"));
    EXPECT_THAT(said, HasSubstr("without locks"));
    auto second = words;
    second.insert(second.end(), {"--overwrite"});
    const std::string shell = "'" + std::string(ESPALIER_PROGRAM) + "'";
    std::string line = shell;
    for (const std::string& word : second) line += " '" + word + "'";
    const int status = std::system((line + " 2>'" + path("second") + "'").c_str());
    EXPECT_EQ(WEXITSTATUS(status), 2);
    EXPECT_THAT(text_of(path("second")), HasSubstr("is being written by process " + std::to_string(child)));
    const std::size_t before = epochs_in("run");
    kill(child, SIGKILL);  // leaves its file
    (void)finish(child);
    EXPECT_GE(epochs_in("run"), before);
    EXPECT_TRUE(fs::exists(path("run/run.lock")));
    const Outcome after = run(short_run("run"));  // refused for what is in it, not for the lock
    EXPECT_THAT(after.err, HasSubstr("--overwrite"));
    auto again = short_run("run");
    again.push_back("--overwrite");
    const Outcome replaced = run(again);
    EXPECT_EQ(replaced.code, 0) << replaced.err;
    EXPECT_FALSE(fs::exists(path("run/run.lock")));
    // Whether a process of another host lives cannot be seen from here.
    std::ofstream(path("run/run.lock")) << "1 elsewhere 77\n";
    const Outcome foreign = run(again);
    EXPECT_EQ(foreign.code, 2);
    EXPECT_THAT(foreign.err, AllOf(HasSubstr("process 1 on elsewhere"), HasSubstr("remove")));
    for (const auto& [name, value] : no_locks) unsetenv(name.c_str());
    EXPECT_EQ(run(again).code, 0);  // with locks the dead owner's file is no lock
}

TEST_F(ResumeProgram, StepsThatCannotBeCountedAreRefused) {
    auto words = short_run("run");
    words[8] = "1000000000";
    words.insert(words.end(), {"--batch", "1"});
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("epochs: 1000000000 of 300 steps"), HasSubstr("at most 14316557 epochs")));
    EXPECT_FALSE(fs::exists(path("run")));
}

TEST_F(ResumeProgram, TheTrainLossIsPerSampleUnlessAskedForAsPublished) {
    write_table("a.csv", 3);
    const auto result = [&](const std::string& batch, const std::string& form) {
        const Outcome outcome = train_table("a.csv", {"--epochs", "1", "--learning-rate", "1e-30", "--batch", batch,
                                                      "--train-loss", form, "--json", "--overwrite"});
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        return json::parse(outcome.out);
    };
    const json whole = result("40", "samples");
    EXPECT_EQ(whole["train_loss_mean"], "samples");
    for (const std::string batch : {"39", "7", "1"}) {
        EXPECT_NEAR(result(batch, "samples")["train_loss"].get<double>(), whole["train_loss"].get<double>(), 1e-6);
    }
    EXPECT_NEAR(whole["train_loss"].get<double>(), whole["test_loss"].get<double>(), 1e-6);
    const json published = result("39", "batches");  // the 40th sample alone counts like the 39 others
    EXPECT_EQ(published["train_loss_mean"], "batches");
    EXPECT_GT(std::abs(published["train_loss"].get<double>() - whole["train_loss"].get<double>()), 1e-4);
    EXPECT_THAT(run({"train", "--recipe", "baseline-1", "--print-config"}).out, HasSubstr("train-loss = \"batches\""));
    EXPECT_THAT(run({"train", "--print-config"}).out, HasSubstr("train-loss = \"samples\""));
}

TEST_F(ResumeProgram, ARunFolderIsANetworkToo) {
    ASSERT_EQ(run(short_run("run")).code, 0);
    const Outcome by_file = run({"inspect", path("run/network.safetensors"), "--json"});
    EXPECT_EQ(run({"inspect", path("run"), "--json"}).out, by_file.out);
    EXPECT_EQ(run({"export", path("run"), "--format", "npy"}).code, 0);
    EXPECT_EQ(run({"evaluate", path("run")}).code, 0);
    fs::remove(path("run/network.safetensors"));
    EXPECT_THAT(run({"inspect", path("run")}).out, HasSubstr("ckpt-2.safetensors"));
    fs::remove_all(path("run/checkpoints"));
    const Outcome none = run({"inspect", path("run")});
    EXPECT_EQ(none.code, 4);
    EXPECT_THAT(none.err, HasSubstr("holds no network"));
}

TEST_F(ResumeProgram, NamesThatAreNotUtf8TrainSaveAndResume) {
    const std::string name = "donn\xe9" "es";
    write_table(name + ".csv", 3);
    const std::vector<std::string> words{"train",      "--dataset",  "csv:" + path(name + ".csv") + "," + path(name + ".csv"),
                                         "--layers",   "3-6-2",      "--topology",
                                         "dense",      "--epochs",   "2",
                                         "--out",      path(name),   "--json"};
    const Outcome trained = run(words);
    ASSERT_EQ(trained.code, 0) << trained.err;
    EXPECT_THAT(json::parse(trained.out)["run_dir"].get<std::string>(), HasSubstr("donn\\xe9es"));
    int texts = 0;
    for (const auto& entry : fs::recursive_directory_iterator(path(name))) {
        const std::string kind = entry.path().extension().string();
        if (kind != ".json" && kind != ".jsonl" && kind != ".toml" && kind != ".html" && kind != ".csv") continue;
        ++texts;
        EXPECT_NO_THROW((void)json(text_of(entry.path().string())).dump()) << entry.path();  // throws for what is not UTF-8
    }
    EXPECT_GT(texts, 6);
    const Outcome evaluated = run({"evaluate", path(name) + "/network.safetensors", "--json"});
    EXPECT_EQ(evaluated.code, 0) << evaluated.err;  // the path it was trained from is found again
    EXPECT_TRUE(json::accept(evaluated.out));
    EXPECT_EQ(run({"inspect", path(name), "--json"}).code, 0);
    const Outcome resumed = run({"train", "--resume", path(name), "--epochs", "3"});
    EXPECT_EQ(resumed.code, 0) << resumed.err;
    const Outcome reported = run({"report", path(name), "-o", path(name + ".html"), "--json"});
    EXPECT_EQ(reported.code, 0) << reported.err;
    EXPECT_NO_THROW((void)json(text_of(path(name + ".html"))).dump());
}

}  // namespace
