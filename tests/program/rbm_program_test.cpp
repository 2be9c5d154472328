// Restricted Boltzmann machines as a user meets them: a run with its records and pictures, its scores, wrong options
// and data.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "host/formats/npy.hpp"
#include "host/options/recipes.hpp"
#include "program_fixture.hpp"

namespace espalier {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class RbmProgram : public ProgramTest {
protected:
    Outcome train_rbm(const std::vector<std::string>& more) {
        std::vector<std::string> arguments{"train",
                                           "--recipe",
                                           "set-rbm-mnist-500",
                                           "--dataset",
                                           "synthetic",
                                           "--layers",
                                           "784-40",
                                           "--train-samples",
                                           "500",
                                           "--test-samples",
                                           "200",
                                           "--epochs",
                                           "3",
                                           "--threads",
                                           "1",
                                           "--batch",
                                           "50",
                                           "--learning-rate",
                                           "0.05"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return run(arguments);
    }
};

TEST_F(RbmProgram, TrainsRecordsDrawsAndScores) {
    const Outcome outcome = train_rbm({"--json", "--out", path("run")});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const auto results = nlohmann::json::parse(outcome.out);
    EXPECT_EQ(results["epochs"], 3);
    EXPECT_EQ(results["edges"], 11 * 824);
    EXPECT_EQ(results["parameters"], 11 * 824 + 784 + 40);
    EXPECT_LT(results["test_loss"], 0.2) << "mean square error of reconstructions";
    EXPECT_GT(results["test_accuracy"], 0.6) << "share of units on the right side";
    EXPECT_LE(results["test_accuracy"], 1);
    EXPECT_EQ(results["reconstruction_error"], results["test_loss"]);
    EXPECT_EQ(results["units_reconstructed"], results["test_accuracy"]);
    EXPECT_EQ(results["train_reconstruction_error"], results["train_loss"]);
    EXPECT_THAT(outcome.err, HasSubstr("reconstruction_error"));
    for (const char* name : {"connections.npy", "connections-last.png", "degrees-layer1-outputs.npy", "report.html",
                             "receptive-fields.png", "samples.png", "reconstructions.png"}) {
        EXPECT_TRUE(std::filesystem::exists(folder_ / "run" / name)) << name;
    }
    const Outcome scored = run({"evaluate", path("run/network.safetensors"), "--json", "--threads", "1", "--ais-chains",
                                "32", "--ais-temperatures", "50"});
    ASSERT_EQ(scored.code, 0) << scored.err;
    const auto scores = nlohmann::json::parse(scored.out);
    EXPECT_NEAR(scores["reconstruction_error"], results["test_loss"], 1e-9);
    EXPECT_NEAR(scores["test_log_probability"].get<double>(),
                -scores["test_free_energy"].get<double>() - scores["log_partition"].get<double>(), 1e-6);
    EXPECT_LT(scores["test_log_probability"], 0);
    EXPECT_GT(scores["drawn_log_probability"], scores["test_log_probability"]);
    EXPECT_LT(scores["drawn_log_probability"], 0);
    EXPECT_GT(scores["test_log_probability"], -784 * 0.6931472) << "better than fair coins";
    EXPECT_GT(scores["log_partition_error"], 0);
    EXPECT_NEAR(scores["free_energy_gap"].get<double>(),
                scores["test_free_energy"].get<double>() - scores["train_free_energy"].get<double>(), 1e-6);
    const Outcome said =
        run({"evaluate", path("run/network.safetensors"), "--threads", "1", "--ais-temperatures", "5"});
    EXPECT_THAT(said.out, AllOf(HasSubstr("log-probability"), HasSubstr("free-energy gap")));
}

TEST_F(RbmProgram, GoesOnFromASavedMachine) {
    ASSERT_EQ(train_rbm({"--persistent", "true", "--out", path("first")}).code, 0);
    const Outcome second = train_rbm({"--persistent", "true", "--init-from", path("first/network.safetensors"),
                                      "--reset-optimizer", "false", "--out", path("second")});
    EXPECT_EQ(second.code, 0) << second.err;
    const Outcome wider =
        train_rbm({"--layers", "784-41", "--init-from", path("first/network.safetensors"), "--out", path("third")});
    EXPECT_EQ(wider.code, 4) << wider.err;
    const Outcome perceptron = run({"train", "--dataset", "synthetic", "--layers", "784-40-784", "--init-from",
                                    path("first/network.safetensors"), "--out", path("fourth")});
    EXPECT_EQ(perceptron.code, 4);
    EXPECT_THAT(perceptron.err, HasSubstr("restricted Boltzmann machine"));
}

TEST_F(RbmProgram, RunsItsControls) {
    for (const std::string control : {"set-rbm-mnist-500-fixed", "set-rbm-mnist-500-dense"}) {
        const Outcome outcome = train_rbm({"--recipe", control, "--json", "--out", path(control)});
        ASSERT_EQ(outcome.code, 0) << outcome.err;
        EXPECT_EQ(nlohmann::json::parse(outcome.out)["edges"], control.ends_with("dense") ? 0 : 11 * 824);
    }
}

TEST_F(RbmProgram, SaysWhatIsWrongWithItsOptions) {
    const auto refused = [&](const std::vector<std::string>& options, const std::string& part) {
        const Outcome outcome = train_rbm(options);
        EXPECT_EQ(outcome.code, 2) << options[0];
        EXPECT_THAT(outcome.err, HasSubstr(part)) << options[0];
    };
    refused({"--cd-steps", "0"}, "cd-steps");
    refused({"--cd-steps", "-1"}, "cd-steps");
    refused({"--model", "boltzmann"}, "expected perceptron or rbm");
    refused({"--layers", "784-500-10"}, "two widths");
    refused({"--layers", "783-40"}, "784 features");
    refused({"--dense-output", "true"}, "no output layer");
    refused({"--dropout", "0.5"}, "dropout");
    refused({"--layer-decay", "1"}, "1 factors for the 2 layers of an RBM");
    refused({"--model", "perceptron", "--layers", "784-40-10"}, "init-from");
}

TEST_F(RbmProgram, RefusesDataOutsideItsUnits) {
    std::vector<float> samples(std::size_t{6} * 4, 0.5F);
    samples[9] = 1.25F;
    const std::vector<std::int32_t> labels{0, 1, 0, 1, 0, 1};
    write_npy(folder_ / "x.npy", NpyType::f4, {6, 4}, samples.data());
    write_npy(folder_ / "y.npy", NpyType::i4, {6}, labels.data());
    const std::string data = "npy:" + path("x.npy") + "," + path("y.npy") + "," + path("x.npy") + "," + path("y.npy");
    const Outcome outcome = run({"train", "--model", "rbm", "--dataset", data, "--layers", "4-3", "--epsilon", "1",
                                 "--epochs", "1", "--out", path("run")});
    EXPECT_EQ(outcome.code, 3);
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("[0, 1]"), HasSubstr("1.25"), HasSubstr("sample 2, feature 1")));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "run")) << "nothing is written";
}

TEST(RbmRecipes, ArePinned) {
    for (const std::string name : {"set-rbm-mnist-500", "set-rbm-mnist-2500", "set-rbm-mnist-5000", "set-rbm-coil"}) {
        const OptionTexts texts = recipe_options(name);
        EXPECT_EQ(texts.at("model"), "rbm") << name;
        EXPECT_EQ(texts.at("zeta"), "0.3") << name;
        EXPECT_EQ(texts.at("epsilon"), name == "set-rbm-coil" ? "10" : "11") << name;
    }
    EXPECT_EQ(recipe_options("set-rbm-mnist-5000").at("layers"), "784-5000");
    EXPECT_EQ(recipe_options("set-rbm-mnist-5000").at("init-from"), "data");
    EXPECT_EQ(recipe_options("set-rbm-mnist-5000").at("layer-decay"), "1,0");
    EXPECT_EQ(recipe_options("set-rbm-coil").at("learning-rate"), "0.1");
    EXPECT_EQ(recipe_options("set-rbm-coil").at("init-from"), "");
    EXPECT_EQ(recipe_options("set-rbm-coil").at("layer-decay"), "");
}

}  // namespace
}  // namespace espalier
