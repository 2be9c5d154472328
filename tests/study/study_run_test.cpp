// `espalier study` as a user meets it: runs side by side, resumed, interrupted, some of them failing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "program_fixture.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class StudyRun : public ProgramTest {
protected:
    /// A study of tiny networks on the built-in data, `lines` on top.
    std::vector<std::string> words(const std::string& lines, const std::vector<std::string>& more = {}) {
        std::ofstream(path("tiny.toml")) << "# Tiny\ndataset = \"synthetic\"\ntrain-samples = 300\ntest-samples = 100\n"
                                            "layers = \"784-20-10\"\nepsilon = 2\nepochs = 2\n"
                                         << lines;
        std::vector<std::string> all{"study", path("tiny.toml"), "--out", path("grid")};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
    [[nodiscard]] fs::path cell(const std::string& name) const { return folder_ / "grid" / "runs" / name; }
};

TEST_F(StudyRun, EndsWithTableFilesAndReport) {
    const Outcome outcome = run(words("weight-decay = [0, 1e-2]\nseeds = 2\n"));
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.out,
                AllOf(HasSubstr("| weight-decay 0 "), HasSubstr("| weight-decay 1e-2 "), HasSubstr(" ± ")));
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("4 runs"), HasSubstr("4/4  ")));
    EXPECT_THAT(text_of(path("grid") + "/study.md"), HasSubstr(outcome.out.substr(0, outcome.out.find("\n\n"))));
    EXPECT_THAT(text_of(path("grid") + "/runs.csv"), HasSubstr("\nweight-decay 1e-2,2,,"));
    EXPECT_THAT(text_of(path("grid") + "/study.csv"), HasSubstr("\nweight-decay 1e-2,2,"));
    EXPECT_THAT(text_of(path("grid") + "/report.html"), HasSubstr("weight-decay-1e-2-seed2"));
    const auto results = nlohmann::json::parse(text_of(path("grid") + "/study.json"));
    const auto cell_result = nlohmann::json::parse(text_of(cell("weight-decay-1e-2-seed2") / "results.json"));
    EXPECT_EQ(results["rows"][1]["cells"][1]["figures"]["test_loss"], cell_result["test_loss"]);
    EXPECT_EQ(cell_result["seed"], 2);
}

TEST_F(StudyRun, GoesOnWhereItStopped) {
    ASSERT_EQ(run(words("weight-decay = [0, 1e-2]\n")).code, 0);
    const std::string json = text_of(path("grid") + "/study.json");
    const auto kept = fs::last_write_time(cell("weight-decay-0-seed1") / "history.csv");
    fs::remove(cell("weight-decay-1e-2-seed1") / "results.json");
    const Outcome again = run(words("weight-decay = [0, 1e-2]\n"));
    ASSERT_EQ(again.code, 0) << again.err;
    EXPECT_THAT(again.err, AllOf(HasSubstr("1 runs"), HasSubstr("1 were finished before"),
                                 HasSubstr("1/1  weight-decay-1e-2-seed1")));
    EXPECT_EQ(fs::last_write_time(cell("weight-decay-0-seed1") / "history.csv"), kept);
    const auto losses = [](const std::string& text) {
        return nlohmann::json::parse(text)["rows"][1]["means"]["test_loss"];
    };
    EXPECT_EQ(losses(text_of(path("grid") + "/study.json")), losses(json));
    const Outcome nothing = run(words("weight-decay = [0, 1e-2]\n", {"--json"}));
    EXPECT_EQ(nothing.code, 0);
    EXPECT_EQ(losses(nothing.out), losses(json));
}

TEST_F(StudyRun, OtherSettingsAreNotOverwrittenUnasked) {
    ASSERT_EQ(run(words("zeta = [0.1, 0.2]\n")).code, 0);
    const Outcome other = run(words("zeta = [0.1, 0.2]\n", {"--epochs", "3"}));
    EXPECT_EQ(other.code, 2);
    EXPECT_THAT(other.err, AllOf(HasSubstr("epochs 2 instead of 3"), HasSubstr("--overwrite")));
    const Outcome more = run(words("zeta = [0.1, 0.2]\n", {"--seeds", "2", "--threads", "2"}));
    EXPECT_THAT(more.err, HasSubstr("2 runs"));  // more seeds are more runs, threads change nothing
    EXPECT_EQ(run(words("zeta = [0.1, 0.2]\n", {"--epochs", "3", "--overwrite"})).code, 0);
    EXPECT_EQ(nlohmann::json::parse(text_of(cell("zeta-0.1-seed1") / "results.json"))["epochs"], 3);
}

TEST_F(StudyRun, AFailedRunIsReportedAndTheOthersGoOn) {
    const Outcome outcome = run(words("weight-decay = [1e6, 0]\n", {"--epochs", "4"}));
    EXPECT_EQ(outcome.code, 5) << outcome.err;
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("weight-decay-1e6-seed1 FAILED"), HasSubstr("the loss is")));
    EXPECT_TRUE(fs::exists(cell("weight-decay-0-seed1") / "results.json"));
    EXPECT_FALSE(fs::exists(cell("weight-decay-1e6-seed1") / "results.json"));
    const auto results = nlohmann::json::parse(text_of(path("grid") + "/study.json"));
    EXPECT_THAT(results["rows"][0]["cells"][0]["failure"].get<std::string>(), HasSubstr("exit code 5"));
    EXPECT_TRUE(results["rows"][1]["cells"][0]["figures"].contains("test_loss"));
    EXPECT_THAT(text_of(path("grid") + "/report.html"), Not(HasSubstr("weight-decay-1e6")));
}

TEST_F(StudyRun, ASignalEndsItsRunsToo) {
    const auto endless = words("zeta = [0.1, 0.2, 0.3]\n", {"--epochs", "100000", "--jobs", "2"});
    const pid_t child = start(endless);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while ((text_of(cell("zeta-0.1-seed1") / "history.csv").size() < 400 ||
            text_of(cell("zeta-0.2-seed1") / "history.csv").size() < 400) &&
           std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    kill(child, SIGINT);
    const Outcome outcome = finish(child);
    EXPECT_EQ(outcome.code, 75) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("goes on where it stopped"));
    // both runs saved what they had, none is called finished, the third never began
    for (const char* name : {"zeta-0.1-seed1", "zeta-0.2-seed1"}) {
        EXPECT_TRUE(fs::exists(cell(name) / "network.safetensors")) << name;
        EXPECT_FALSE(fs::exists(cell(name) / "results.json")) << name;
    }
    EXPECT_FALSE(fs::exists(cell("zeta-0.3-seed1")));
    EXPECT_FALSE(fs::exists(folder_ / "grid" / "study.json"));
}

TEST_F(StudyRun, ProcessesOnOneFolderShareItsRuns) {
    const std::string grid = "zeta = [0.1, 0.2, 0.3]\nseeds = 2\n";
    const auto shared = words(grid, {"--jobs", "1", "--wait", "--epochs", "6"});
    std::vector<pid_t> children;
    for (int i = 0; i < 3; ++i) children.push_back(start(shared));
    for (const pid_t child : children) EXPECT_EQ(finish(child).code, 0) << text_of(path("err"));
    const auto results = nlohmann::json::parse(text_of(path("grid") + "/study.json"));
    ASSERT_EQ(results["rows"].size(), 3U);
    for (const auto& row : results["rows"]) EXPECT_EQ(row["cells"].size(), 2U);
    for (const auto& entry : fs::recursive_directory_iterator(path("grid"))) {
        EXPECT_THAT(entry.path().string(), Not(HasSubstr(".claim")));
    }
}

TEST_F(StudyRun, WhatAnotherProcessHasIsLeftToIt) {
    const auto grid = words("zeta = [0.1, 0.2]\n");
    fs::create_directories(path("grid") + "/runs");
    const std::string claim = cell("zeta-0.1-seed1").string() + ".claim";
    std::ofstream(claim) << "a-node-far-away 1 pid:[1]\n";
    const Outcome first = run(grid);
    EXPECT_EQ(first.code, 0);
    EXPECT_THAT(first.err, AllOf(HasSubstr("other processes still have 1 run;"), HasSubstr("zeta-0.2-seed1")));
    EXPECT_FALSE(fs::exists(cell("zeta-0.1-seed1")));
    EXPECT_FALSE(fs::exists(path("grid") + "/study.json"));
    fs::last_write_time(claim, fs::last_write_time(claim) - std::chrono::minutes(10));
    const Outcome second = run(grid);
    EXPECT_EQ(second.code, 0);
    EXPECT_THAT(second.out, HasSubstr("| zeta 0.1 "));
    EXPECT_FALSE(fs::exists(claim));
}

TEST_F(StudyRun, WhereNoThreadCanBeHadNothingIsClaimed) {
    const Outcome outcome = run_with_threads(0, words("seeds = 1\n"));
    EXPECT_EQ(outcome.code, 6) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("espalier: cannot start another thread: "));
    EXPECT_TRUE(fs::is_empty(path("grid") + "/runs"));
}

TEST_F(StudyRun, PartsRunApartAreJoined) {
    const std::string grid = "zeta = [0.1, 0.2, 0.3]\n";
    const auto part = [&](const std::string& shard, const std::string& out) {
        auto all = words(grid, {"--shard", shard});
        all[3] = path(out);
        return run(all);
    };
    EXPECT_THAT(part("1/2", "one").err, HasSubstr("--collect"));
    EXPECT_TRUE(fs::exists(path("one") + "/runs/zeta-0.3-seed1"));
    EXPECT_FALSE(fs::exists(path("one") + "/runs/zeta-0.2-seed1"));
    const Outcome half = run(words(grid, {"--collect", path("one")}));
    EXPECT_EQ(half.code, 3);
    EXPECT_THAT(half.err, HasSubstr("1 run of 3 are in none of the folders, zeta-0.2-seed1 first"));
    EXPECT_EQ(part("2/2", "two").code, 0);
    const Outcome whole = run(words(grid, {"--collect", path("one"), path("two")}));
    EXPECT_EQ(whole.code, 0) << whole.err;
    EXPECT_THAT(whole.out, HasSubstr("| zeta 0.2 "));
    for (const char* wrong : {"0/2", "3/2", "1", "a/b"}) EXPECT_EQ(part(wrong, "none").code, 2) << wrong;
}

TEST_F(StudyRun, TheDocumentShowsTheCommittedResults) {
    const fs::path docs = fs::path(ESPALIER_SOURCE_DIR) / "docs";
    fs::copy(docs, folder_ / "docs", fs::copy_options::recursive);
    EXPECT_EQ(run({"study", "--update", path("docs") + "/results/study.md"}).code, 0);
    EXPECT_EQ(text_of(path("docs") + "/results/study.md"), text_of(docs / "results/study.md")) << "run espalier study --update on it";
    const Outcome none = run({"study", "--update", path("none.md")});
    EXPECT_EQ(none.code, 2);
    EXPECT_THAT(none.err, HasSubstr("none.md"));
}

TEST_F(StudyRun, WhatIsShippedIsListed) {
    const Outcome outcome = run({"study", "--list-studies"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_THAT(outcome.out, HasSubstr("regularization  "));
    EXPECT_EQ(run({"study"}).code, 2);
    const Outcome unknown = run({"study", "regularisation"});
    EXPECT_EQ(unknown.code, 2);
    EXPECT_THAT(unknown.err, HasSubstr("did you mean 'regularization'"));
    const Outcome dry = run({"study", "regularization", "--dry-run", "--epochs", "7"});
    EXPECT_THAT(dry.out, HasSubstr("weight-decay-1e-5-seed3  7 epochs"));
}

}  // namespace
}  // namespace espalier
