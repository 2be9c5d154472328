// The program as a user meets it: exit codes, sentences, files, JSON, Ctrl-C.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "program_fixture.hpp"

namespace {

namespace fs = std::filesystem;
using espalier::Outcome;
using espalier::text_of;
using testing::AllOf;
using testing::HasSubstr;

class Cli : public espalier::ProgramTest {};

TEST_F(Cli, MistypedNamesAreAnsweredWithTheNearest) {
    const Outcome option = run({"train", "--epoch", "3"});
    EXPECT_EQ(option.code, 2);
    EXPECT_THAT(option.err, AllOf(HasSubstr("--epoch"), HasSubstr("did you mean '--epochs'")));
    const Outcome recipe = run({"train", "--recipe", "experimnt-1"});
    EXPECT_EQ(recipe.code, 2);
    EXPECT_THAT(recipe.err, HasSubstr("did you mean 'experiment-1'"));
    const Outcome command = run({"trian"});
    EXPECT_EQ(command.code, 2);
    EXPECT_THAT(command.err, HasSubstr("did you mean 'train'"));
    std::ofstream(path("config")) << "epoch = 3\n";
    const Outcome config = run({"train", "--config", path("config")});
    EXPECT_EQ(config.code, 2);
    EXPECT_THAT(config.err, AllOf(HasSubstr(path("config")), HasSubstr("did you mean 'epochs'")));
}

TEST_F(Cli, ValuesOutOfRangeAreRefusedBeforeAnythingIsWritten) {
    const std::vector<std::vector<std::string>> bad = {{"--zeta", "1.5"},
                                                       {"--batch", "0"},
                                                       {"--epsilon", "nan"},
                                                       {"--layers", "784"},
                                                       {"--optimizer", "sgdd"},
                                                       {"--momentum", "2"},
                                                       {"--sparsity", "1"},
                                                       {"--threads", "-1"},
                                                       {"--epochs", "0"},
                                                       {"--learning-rate", "-1"},
                                                       {"--loss", "nll(x=1)"},
                                                       {"--backend", "gpu"},
                                                       {"--spmm", "fast"},
                                                       {"--dropout", "1"},
                                                       {"--layers", "784-20-5"},
                                                       {"--layers", "700-20-10"},
                                                       {"--distribution", "erk"},
                                                       {"--epsilon", "5", "--sparsity", "0.5"},
                                                       {"--optimizer", "adam", "--momentum", "0.5"}};
    for (auto arguments : bad) {
        arguments.insert(arguments.end(), {"--out", path("run")});
        const Outcome outcome = train(arguments);
        EXPECT_THAT(outcome.err, testing::Not(HasSubstr("At Most"))) << arguments[0];
        EXPECT_EQ(outcome.code, 2) << arguments[0] << " " << arguments[1] << "\n" << outcome.err;
        EXPECT_THAT(outcome.err, HasSubstr("espalier: "));
        EXPECT_FALSE(fs::exists(path("run"))) << arguments[0] << " " << arguments[1];
    }
}

TEST_F(Cli, ThreadsThatCannotBeHadAreRefusedBeforeAnythingIsWritten) {
    const Outcome outcome = run_with_threads(1, {"train", "--dataset", "synthetic", "--layers", "784-20-10", "--backend",
                                                 "cpu", "--threads", "3", "--out", path("run")});
    EXPECT_EQ(outcome.code, 6) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("espalier: cannot start another thread: Resource temporarily unavailable; no more "
                                       "than --threads 2 can be had\n"));
    EXPECT_FALSE(std::filesystem::exists(path("run")));
}

TEST_F(Cli, OptionsOfEvolutionAreNotedWhereNothingEvolves) {
    const std::vector<std::string> given{"--zeta", "0.2", "--grow", "gradient"};
    const auto told = [&](const char* name, const char* value) {
        std::vector<std::string> arguments = given;
        arguments.insert(arguments.end(), {name, value, "--out", path("run"), "--overwrite"});
        const Outcome outcome = train(arguments);
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        return outcome.err;
    };
    EXPECT_THAT(told("--topology", "fixed"), HasSubstr("note: --grow and --zeta do nothing: the topology is fixed"));
    EXPECT_THAT(told("--evolve", "never"), HasSubstr("do nothing: with --evolve never the topology is fixed"));
    EXPECT_THAT(told("--evolve", "epoch"), testing::Not(HasSubstr("do nothing")));
}

TEST_F(Cli, MissingDataSaysHowToGetIt) {
    const Outcome outcome = run({"train", "--dataset", "mnist", "--data-dir", path("none"), "--out", path("run")});
    EXPECT_EQ(outcome.code, 3);
    EXPECT_THAT(outcome.err, AllOf(HasSubstr(path("none")), HasSubstr("espalier data fetch mnist")));
    EXPECT_FALSE(fs::exists(path("run")));
}

TEST_F(Cli, AnExistingFolderIsKeptUnlessOverwritten) {
    ASSERT_EQ(train({"--out", path("run")}).code, 0);
    const std::string history = text_of(path("run") + "/history.csv");
    const Outcome again = train({"--out", path("run")});
    EXPECT_EQ(again.code, 2);
    EXPECT_THAT(again.err, HasSubstr("--overwrite"));
    EXPECT_EQ(text_of(path("run") + "/history.csv"), history);
    EXPECT_EQ(train({"--out", path("run"), "--overwrite"}).code, 0);
}

TEST_F(Cli, AFolderThatCannotBeWrittenIsAnIoError) {
    std::ofstream(path("file")) << "in the way";
    const Outcome outcome = train({"--out", path("file") + "/run"});
    EXPECT_EQ(outcome.code, 7) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(path("file")));
}

TEST_F(Cli, JsonIsTheLastThingOnStdout) {
    const Outcome outcome = train({"--out", path("run"), "--json"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const auto result = nlohmann::json::parse(outcome.out);
    for (const char* key : {"test_accuracy", "test_loss", "train_accuracy", "train_loss", "epochs", "seconds_per_epoch",
                            "run_dir", "backend", "edges"}) {
        EXPECT_TRUE(result.contains(key)) << key;
    }
    EXPECT_EQ(result["epochs"], 2);
    EXPECT_EQ(result["backend"], "cpu");
    EXPECT_EQ(result["edges"], 11 * (784 + 50) + 11 * (50 + 20));
    for (const char* name : {"config.toml", "history.csv", "history.jsonl", "connections.npy", "network.safetensors",
                             "connections-first.png", "connections-last.png", "report.html"}) {
        EXPECT_TRUE(fs::exists(fs::path(path("run")) / name)) << name;
    }
}

TEST_F(Cli, TheSameSeedGivesTheSameHistoryOnAnyThreads) {
    ASSERT_EQ(train({"--out", path("one"), "--threads", "1"}).code, 0);
    ASSERT_EQ(train({"--out", path("three"), "--threads", "3"}).code, 0);
    EXPECT_EQ(text_of(path("one") + "/connections.npy"), text_of(path("three") + "/connections.npy"));
    const auto line = [&](const std::string& run) {
        std::string text = text_of(path(run) + "/history.jsonl");
        return nlohmann::json::parse(text.substr(0, text.find('\n')));
    };
    EXPECT_EQ(line("one")["train_loss"], line("three")["train_loss"]);
    EXPECT_EQ(line("one")["test_loss"], line("three")["test_loss"]);
}

TEST_F(Cli, TheCpuSaysThatItHasNoChoiceOfSpmm) {
    const std::string remark = "the CPU backend has one way to multiply";
    const Outcome asked = train({"--backend", "cpu", "--spmm", "panel", "--out", path("asked")});
    EXPECT_EQ(asked.code, 0);
    EXPECT_THAT(asked.err, HasSubstr(remark));
    EXPECT_THAT(text_of(path("asked") + "/config.toml"), HasSubstr("spmm = \"panel\""));
    EXPECT_THAT(train({"--backend", "cpu", "--out", path("plain")}).err, testing::Not(HasSubstr(remark)));
}

TEST_F(Cli, AValueOfAnyBytesReadsBackFromTheConfig) {
    for (const char* value : {"a\nb", "a\"b", "a\tb", "a#b", "a, 'b'\\"}) {
        const Outcome first = run({"train", "--data-dir", value, "--print-config"});
        ASSERT_EQ(first.code, 0) << first.err;
        std::ofstream(path("config.toml")) << first.out;
        EXPECT_EQ(run({"train", "--config", path("config.toml"), "--print-config"}).out, first.out) << value;
    }
}

TEST_F(Cli, TheResolvedConfigReadsBackToItself) {
    for (const std::string recipe : {"experiment-1", "evolnet-extra-3", "set-fashion", "large-mnist-fixed"}) {
        const Outcome first = run({"train", "--recipe", recipe, "--seed", "7", "--print-config"});
        ASSERT_EQ(first.code, 0) << first.err;
        std::ofstream(path("config")) << first.out;
        const Outcome second = run({"train", "--config", path("config"), "--print-config"});
        EXPECT_EQ(second.out, first.out) << second.err;
    }
}

TEST_F(Cli, ASavedNetworkTestsAsItDidInTraining) {
    const Outcome trained = train({"--out", path("run"), "--json"});
    ASSERT_EQ(trained.code, 0) << trained.err;
    const Outcome tested = run({"evaluate", path("run") + "/network.safetensors", "--json"});
    ASSERT_EQ(tested.code, 0) << tested.err;
    EXPECT_EQ(nlohmann::json::parse(tested.out)["test_accuracy"], nlohmann::json::parse(trained.out)["test_accuracy"]);
}

TEST_F(Cli, ARunContinuesFromANetwork) {
    ASSERT_EQ(train({"--out", path("run")}).code, 0);
    const Outcome of_file =
        train({"--out", path("next"), "--init-from", path("run") + "/network.safetensors", "--json"});
    const Outcome of_run = train({"--out", path("of run"), "--init-from", path("run"), "--json"});
    EXPECT_EQ(nlohmann::json::parse(of_run.out)["test_loss"], nlohmann::json::parse(of_file.out)["test_loss"]);
    const Outcome other =
        train({"--out", path("other"), "--layers", "784-30-10", "--init-from", path("run") + "/network.safetensors"});
    EXPECT_EQ(other.code, 4);
    EXPECT_THAT(other.err, HasSubstr("784-50-20-10"));
}

/// From a saved network growth by gradient goes on to the same bits, whatever the threads, and elsewhere than the fresh one.
TEST_F(Cli, GrowthByGradientGoesOnFromANetwork) {
    const std::vector<std::string> growing{"--prune", "magnitude", "--grow", "gradient", "--new-weights", "zero", "--epochs", "2"};
    const auto trained = [&](const std::string& out, std::vector<std::string> more) {
        more.insert(more.end(), growing.begin(), growing.end());
        more.insert(more.end(), {"--out", path(out)});
        const Outcome outcome = train(more);
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        return text_of(path(out) + "/network.safetensors");
    };
    const std::string first = trained("first", {});
    const std::string from = path("first") + "/network.safetensors";
    const std::string next = trained("next", {"--init-from", from, "--threads", "1"});
    trained("again", {"--init-from", from, "--threads", "3"});
    EXPECT_NE(next, first);
    const auto edges = [&](const std::string& run_folder) { return text_of(path(run_folder) + "/edges.csv"); };
    EXPECT_FALSE(edges("next").empty());
    EXPECT_EQ(edges("next"), edges("again"));
    const auto figures = [&](const std::string& run_folder) {
        return run({"evaluate", path(run_folder) + "/network.safetensors", "--json"}).out;
    };
    EXPECT_EQ(nlohmann::json::parse(figures("next"))["test_loss"], nlohmann::json::parse(figures("again"))["test_loss"]);
}

TEST_F(Cli, TheProbesMemoryIsInTheEstimate) {
    const auto estimate = [&](const std::string& grow) {
        const Outcome dry = train({"--layers", "784-3000-2000-10", "--train-samples", "4000", "--prune", "magnitude",
                                   "--grow", grow, "--threads", "1", "--dry-run", "--json"});
        EXPECT_EQ(dry.code, 0) << dry.err;
        return nlohmann::json::parse(dry.out);
    };
    const double without = estimate("random")["peak_bytes"], small = estimate("gradient(samples=64)")["peak_bytes"];
    const double large = estimate("gradient(samples=4000)")["peak_bytes"];
    EXPECT_GT(small, without);
    // both sides of every layer's gradients: at least the widths of all sparse layers' inputs and outputs once
    EXPECT_GT(large - small, 4.0 * (4000 - 64) * (784 + 3000 + 2000));
    const Outcome refused = train({"--train-samples", "300", "--grow", "gradient(samples=301)", "--dry-run"});
    EXPECT_EQ(refused.code, 2);
    EXPECT_THAT(refused.err, HasSubstr("301 samples, the training set has 300"));
}

TEST_F(Cli, TheMemoryOfABirthByCorrelationsIsInTheEstimate) {
    const auto estimate = [&](const std::string& birth) {
        const Outcome dry = train({"--train-samples", "200", "--test-samples", "50", "--layers", "784-300-10", "--birth",
                                   birth, "--threads", "1", "--dry-run", "--json"});
        EXPECT_EQ(dry.code, 0) << dry.err;
        return nlohmann::json::parse(dry.out);
    };
    const auto without = estimate("exact"), with = estimate("correlated");
    EXPECT_EQ(without["birth_bytes"], 0);
    // sums of products and correlations of every pair
    EXPECT_GE(with["birth_bytes"].get<double>(), 784.0 * 784 * 16);
    EXPECT_GE(with["peak_bytes"].get<double>(),
              with["program_bytes"].get<double>() + with["data_bytes"].get<double>() + 784.0 * 784 * 16);
}

TEST_F(Cli, ASignalEndsTheRunAfterSaving) {
    const pid_t child = start({"train", "--dataset", "synthetic", "--train-samples", "600", "--layers", "784-50-20-10",
                               "--epochs", "100000", "--out", path("run")});
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (text_of(path("run") + "/history.csv").size() < 400 && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    kill(child, SIGINT);
    const Outcome outcome = finish(child);
    EXPECT_EQ(outcome.code, 75) << outcome.err;
    EXPECT_EQ(run({"evaluate", path("run") + "/network.safetensors"}).code, 0);
}

TEST_F(Cli, AnyLayerMayBeTheDenseOne) {
    for (const std::string densities : {"0.3,1,1", "1,0.3,1", "0.3,0.3,0.5", "1,1,1"}) {
        const Outcome trained = train({"--dataset", "synthetic", "--train-samples", "200", "--layers", "784-20-15-10",
                                       "--epochs", "2", "--layer-density", densities, "--out", path(densities)});
        EXPECT_EQ(trained.code, 0) << densities << ": " << trained.err;
        EXPECT_TRUE(fs::exists(path(densities + "/report.html"))) << densities;
        EXPECT_EQ(fs::exists(path(densities + "/degrees-layer3-inputs.npy")), densities == "0.3,0.3,0.5");
    }
}

TEST_F(Cli, MemoryEstimateIsRight) {
    // two epochs: the first one ends with an evolution
    const std::vector<std::string> network{"--layers", "784-20000-20000-10", "--epsilon",
                                           "60",       "--train-samples",    "200"};
    auto arguments = network;
    arguments.insert(arguments.end(), {"--dry-run", "--json"});
    const Outcome dry = train(arguments);
    ASSERT_EQ(dry.code, 0) << dry.err;
    EXPECT_FALSE(fs::exists(path("run")));
    const double estimated = nlohmann::json::parse(dry.out)["peak_bytes"];
    arguments = network;
    arguments.insert(arguments.end(), {"--out", path("run")});
    const Outcome real = train(arguments);
    ASSERT_EQ(real.code, 0) << real.err;
    const double measured = 1024.0 * static_cast<double>(real.peak_kib);
    EXPECT_NEAR(estimated / measured, 1.0, 0.05) << estimated << " estimated, " << measured << " measured";
}

}  // namespace
