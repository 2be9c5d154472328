// Files of earlier versions (tests/old_files) open, and mean what they meant.
#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "espalier/network_file.hpp"
#include "program_fixture.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

const fs::path old_files = fs::path(ESPALIER_SOURCE_DIR) / "tests" / "old_files";

json old_figures() { return json::parse(text_of(old_files / "figures.json")); }

/// Works in a copy of the files: their data set is named by a relative path.
class OldFiles : public ProgramTest {
protected:
    OldFiles() : started_in_(fs::current_path()) {
        fs::copy(old_files, folder_, fs::copy_options::recursive);
        fs::current_path(folder_);
    }
    ~OldFiles() override { fs::current_path(started_in_); }

    json printed(std::vector<std::string> arguments) {
        arguments.emplace_back("--json");
        const Outcome outcome = run(arguments);
        EXPECT_EQ(outcome.code, 0) << arguments[0] << " " << arguments[1] << ": " << outcome.err;
        said_ = outcome.err;
        return outcome.code == 0 ? json::parse(outcome.out) : json();
    }

    static void expect_figures(const json& found, const json& expected, double tolerance) {
        for (const auto& [key, value] : expected.items()) {
            ASSERT_TRUE(found.contains(key)) << key;
            if (value.is_number_float()) {
                EXPECT_NEAR(found[key].get<double>(), value.get<double>(),
                            tolerance * (1 + std::abs(value.get<double>())))
                    << key;
            } else {
                EXPECT_EQ(found[key], value) << key;
            }
        }
    }

    static std::vector<std::string> finished() { return {"mlp", "dense", "set-mlp", "rbm"}; }
    static std::vector<std::string> stopped() { return {"mlp-stopped", "rbm-stopped"}; }

    std::string said_;  // on stderr by the last program

private:
    fs::path started_in_;
};

TEST_F(OldFiles, AreInspectedAndEvaluatedAsTheyWere) {
    const json figures = old_figures();
    for (const std::string& name : finished()) {
        SCOPED_TRACE(name);
        const std::string network = name + "/network.safetensors";
        const json inspected = printed({"inspect", network});
        EXPECT_EQ(inspected["checksum"], "verified");
        EXPECT_EQ(inspected["sparse_edges"], figures[name]["sparse_edges"]);
        expect_figures(inspected["layers"][0], figures[name]["layer_1"], 1e-12);
        const json evaluated = printed({"evaluate", network, "--threads", "1", "--backend", "cpu"});
        expect_figures(evaluated, figures[name]["evaluate"], 1e-5);
    }
}

TEST_F(OldFiles, AreExported) {
    for (const std::string& name : finished()) {
        for (const std::string format : {"safetensors", "scipy", "npy"}) {
            const std::string target = name + "-as-" + format;
            const Outcome outcome = run({"export", name + "/network.safetensors", "--format", format, "--out", target});
            EXPECT_EQ(outcome.code, 0) << outcome.err;
            EXPECT_TRUE(fs::exists(target)) << target;
        }
    }
    EXPECT_TRUE(fs::exists("rbm-as-npy/visible_bias.npy"));
}

TEST_F(OldFiles, StandInAReportTogether) {
    std::vector<std::string> arguments{"report"};
    for (const std::string& name : finished()) arguments.push_back(name);
    arguments.insert(arguments.end(), {"--out", "page.html"});
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    const std::string page = text_of("page.html");
    for (const std::string& name : finished()) EXPECT_THAT(page, HasSubstr(name));
}

TEST_F(OldFiles, StoppedRunsGoOnToTheEndTheyHad) {
    const json figures = old_figures();
    for (const std::string& name : stopped()) {
        SCOPED_TRACE(name);
        const json& expected = figures[name];
        const json inspected = printed({"inspect", name + "/checkpoints/" + expected["checkpoint"].get<std::string>()});
        EXPECT_EQ(inspected["what"], "checkpoint");
        EXPECT_EQ(inspected["step"], expected["step"]);
        expect_figures(inspected["layers"][0], expected["layer_1"], 1e-12);
        const json results = printed({"train", "--resume", name});
        EXPECT_THAT(said_, HasSubstr("resuming from " + name));
        // other kernels add in another order: then the run ends near that end, not there
        const bool same_kernels = said_.find("this run began on") == std::string::npos;
        expect_figures(results, expected["resumed"], same_kernels ? 1e-12 : 0.05);
        EXPECT_TRUE(fs::exists(name + "/results.json") && fs::exists(name + "/report.html"));
    }
}

TEST_F(OldFiles, FinishedRunsAreResumedToNothingMore) {
    for (const std::string& name : finished()) {
        SCOPED_TRACE(name);
        const json before = json::parse(text_of(name + "/results.json"));
        const json after = printed({"train", "--resume", name});
        for (const char* key : {"test_loss", "train_loss", "test_accuracy", "epochs", "edges", "parameters"}) {
            EXPECT_EQ(after[key], before[key]) << key;
        }
    }
}

TEST_F(OldFiles, AMachineOfFormat1ReadsAsOneOfToday) {
    const Network network = load_network("rbm/network.safetensors");
    EXPECT_EQ(network.model, "rbm");
    EXPECT_EQ(network.layers.size(), 1U);
    ASSERT_EQ(network.arrays.size(), 2U);
    EXPECT_EQ(network.arrays[0].name, "visible_bias");
    EXPECT_EQ(network.arrays[0].shape, (std::vector<std::uint64_t>{8}));
    EXPECT_EQ(network.arrays[0].state.size(), 1U) << "momentum";
    EXPECT_EQ(network.arrays[1].name, "chains");
    EXPECT_EQ(network.arrays[1].shape, (std::vector<std::uint64_t>{10, 6}));
    for (const float state : network.arrays[1].values) EXPECT_TRUE(state == 0 || state == 1);
    // and starts a run, its optimizer memory with it
    const Outcome outcome = run({"train",
                                 "--recipe",
                                 "set-rbm-mnist-500",
                                 "--dataset",
                                 "csv:train.csv,test.csv",
                                 "--layers",
                                 "8-6",
                                 "--epsilon",
                                 "2",
                                 "--batch",
                                 "10",
                                 "--epochs",
                                 "1",
                                 "--persistent",
                                 "true",
                                 "--init-from",
                                 "rbm/network.safetensors",
                                 "--reset-optimizer",
                                 "false",
                                 "--threads",
                                 "1",
                                 "--out",
                                 "second"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(load_network("second/network.safetensors").model, "rbm");
}

}  // namespace
}  // namespace espalier
