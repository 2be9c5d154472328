// A study on one GPU whose runs take their steps together: the program starts one process for several runs, the host runs
// the device's part (cmake/cuda_on_host.cmake).
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "host/study/study_worker.hpp"
#include "program_fixture.hpp"

namespace espalier {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class CudaStudy : public ProgramTest {
protected:
    void SetUp() override { setenv("ESPALIER_MODULE_PATH", ESPALIER_ON_HOST_MODULE_FOLDER, 1); }
    void TearDown() override { unsetenv("ESPALIER_MODULE_PATH"); }

    /// Runs a study of small networks with `lines` of its own.
    Outcome study(const std::string& lines, const std::string& out, const std::vector<std::string>& more) {
        std::ofstream(path("study.toml"))
            << "dataset = \"synthetic\"\ntrain-samples = 90\ntest-samples = 30\nlayers = \"784-16-12-10\"\n"
               "epsilon = 2\nbatch = 30\nbackend = \"cuda\"\n" + lines;
        std::vector<std::string> arguments{"study", path("study.toml"), "--out", path(out)};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return run(arguments);
    }
    /// The finished runs of a study, by name.
    [[nodiscard]] std::vector<std::string> runs(const std::string& out) const {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(path(out + "/runs"))) {
            if (exists(entry.path() / "results.json")) names.push_back(entry.path().filename());
        }
        std::sort(names.begin(), names.end());
        return names;
    }
    void expect_same_networks(const std::string& one, const std::string& other) const {
        ASSERT_EQ(runs(one), runs(other));
        for (const std::string& name : runs(one)) {
            const auto network = [&](const std::string& out) {
                return text_of(path(out + "/runs/" + name + "/network.safetensors"));
            };
            EXPECT_TRUE(network(one) == network(other)) << name;
            const auto losses = [&](const std::string& out) {
                const auto results = nlohmann::json::parse(text_of(path(out + "/runs/" + name + "/results.json")));
                return std::pair(results["test_loss"], results["test_accuracy"]);
            };
            EXPECT_EQ(losses(one), losses(other)) << name;
        }
    }
};

TEST_F(CudaStudy, RunsThatTakeTheirStepsTogetherHaveTheBitsOfEachAlone) {
    const std::string grid = "epochs = 2\nseeds = 1\nweight-decay = [0, 0.01]\nzeta = [0.2, 0.4]\n";
    const Outcome one_by_one = study(grid, "one", {"--jobs", "1"});
    ASSERT_EQ(one_by_one.code, 0) << one_by_one.err;
    EXPECT_THAT(one_by_one.err, Not(HasSubstr("together")));
    const Outcome together = study(grid, "many", {"--jobs", "3"});
    ASSERT_EQ(together.code, 0) << together.err;
    EXPECT_THAT(together.err, AllOf(HasSubstr("3 runs from "), HasSubstr("on take their steps together on GPU 0"),
                                    HasSubstr("4/4  ")));
    EXPECT_EQ(runs("many").size(), 4U);
    expect_same_networks("one", "many");
}

TEST_F(CudaStudy, ARunThatFailsOrEndsEarlyLeavesTheOthersAlone) {
    const std::string grid = "seeds = 1\nlearning-rate = [0.01, 1e6, 0.02]\nepochs = [1, 2]\n";
    const Outcome together = study(grid, "many", {"--jobs", "6"});
    EXPECT_EQ(together.code, 5) << together.err;
    EXPECT_THAT(together.err, AllOf(HasSubstr("6 runs from "),
                                    HasSubstr("FAILED, exit code 5: espalier: epoch 1, steps 1 to 3 of 3: the loss is")));
    EXPECT_EQ(runs("many").size(), 4U);
    static_cast<void>(study(grid, "one", {"--jobs", "1"}));
    expect_same_networks("one", "many");
}

TEST_F(CudaStudy, AProcessThatFailsFailsAllItsRuns) {
    setenv("CUDA_ON_HOST", "break_after=40", 1);
    const Outcome together = study("seeds = 3\nepochs = 2\n", "many", {"--jobs", "3"});
    unsetenv("CUDA_ON_HOST");
    EXPECT_EQ(together.code, 6) << together.err;
    EXPECT_THAT(together.err, AllOf(HasSubstr("3 runs from "), HasSubstr("3/3  "), HasSubstr("FAILED, exit code 6: ")));
    EXPECT_TRUE(runs("many").empty());
    const Outcome again = study("seeds = 3\nepochs = 2\n", "many", {"--jobs", "3"});
    EXPECT_EQ(again.code, 0) << again.err;
}

TEST_F(CudaStudy, ARunForWhichNoThreadCanBeHadFailsAndLeavesTheOthersAlone) {
    ASSERT_EQ(study("seeds = 3\nepochs = 2\n", "one", {"--jobs", "1"}).code, 0);
    const std::vector<std::string> names = runs("one");
    ASSERT_EQ(names.size(), 3U);
    std::vector<std::string> words{"train-together"};
    for (const std::string& name : names) {
        words.insert(words.end(), {"begin", path("one/runs/" + name + ".toml"), path("many/runs/" + name)});
    }
    const std::string why = "espalier: cannot start another thread: Resource temporarily unavailable\n";
    for (std::size_t threads = 0; threads <= names.size(); ++threads) {
        std::filesystem::remove_all(path("many"));
        const Outcome together = run_with_threads(static_cast<int>(threads), words);
        EXPECT_EQ(together.code, threads < names.size() ? 6 : 0) << together.err;
        for (std::size_t r = 0; r < names.size(); ++r) {
            const std::string head = "[" + std::to_string(r) + "] ";
            const std::string run = "many/runs/" + names[r];
            if (r < threads) {
                EXPECT_THAT(together.err, HasSubstr(head + "exit code 0\n"));
                EXPECT_TRUE(text_of(path(run + "/network.safetensors")) ==
                            text_of(path("one/runs/" + names[r] + "/network.safetensors")))
                    << names[r];
            } else {
                EXPECT_THAT(together.err, HasSubstr(head + why + head + "exit code 6\n"));
                EXPECT_FALSE(std::filesystem::exists(path(run)));
            }
        }
    }
}

TEST_F(CudaStudy, TheCommandOfSeveralRunsSaysWhatItWants) {
    EXPECT_EQ(run({"train-together"}).code, 2);
    EXPECT_EQ(run({"train-together", "begin", path("none.toml")}).code, 2);
    EXPECT_THAT(run({"--help"}).out, Not(HasSubstr("train-together")));
    EXPECT_THAT(run({"completion", "bash"}).out, Not(HasSubstr("train-together")));
}

TEST(StudyWorkerTest, NetworksOfOneShapeGoTogether) {
    Experiment one;
    one.backend = "cuda";
    Experiment other = one;
    other.seed = 7;
    other.epochs = 3;
    other.weight_decay = Constant{0.1, 0};
    other.zeta = Constant{0.1, 0};
    other.epsilon = 5;
    other.grow = parse_rule<GrowRule>("gradient");
    other.optimizer = Momentum{0.9F};
    EXPECT_TRUE(go_together(one, other));
    const auto differ = [&](auto&& change) {
        Experiment changed = other;
        change(changed);
        return !go_together(one, changed);
    };
    EXPECT_TRUE(differ([](Experiment& each) { each.layers = {784, 500, 128, 10}; }));
    EXPECT_TRUE(differ([](Experiment& each) { each.batch = 64; }));
    EXPECT_TRUE(differ([](Experiment& each) { each.optimizer = Adam{}; }));
    EXPECT_TRUE(differ([](Experiment& each) { each.activation = Tanh{}; }));
    EXPECT_TRUE(differ([](Experiment& each) { each.dropout = 0.1; }));
    EXPECT_TRUE(differ([](Experiment& each) { each.dataset = "fashion"; }));
    EXPECT_TRUE(differ([](Experiment& each) { each.topology = TopologyKind::dense; }));
    EXPECT_TRUE(differ([](Experiment& each) { each.device = 1; }));
    EXPECT_TRUE(differ([](Experiment& each) { each.spmm = Spmm::coo; }));
    EXPECT_TRUE(differ([](Experiment& each) { each.graph = GraphUse::off; }));
}

}  // namespace
}  // namespace espalier
