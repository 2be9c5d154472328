// What a run leaves of its network: exports that carry all that was trained, a file that depends on nothing but what
// the network is, layers that can be trained at all.
#include <gmock/gmock.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "host/formats/npy.hpp"
#include "program_fixture.hpp"

namespace espalier {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class NetworkRecords : public ProgramTest {};

TEST_F(NetworkRecords, ExportsHoldWhatAnActivationTrained) {
    ASSERT_EQ(train({"--activation", "srelu", "--out", path("run")}).code, 0);
    for (const char* format : {"scipy", "npy"}) {
        const Outcome outcome =
            run({"export", path("run/network.safetensors"), "--format", format, "--out", path(format)});
        ASSERT_EQ(outcome.code, 0) << outcome.err;
        const auto described = nlohmann::json::parse(text_of(folder_ / format / "network.json"));
        ASSERT_EQ(described["layers"].size(), 3U);
        EXPECT_THAT(described["layers"][0]["activation"].get<std::string>(), testing::StartsWith("srelu("));
        EXPECT_EQ(described["layers"][2]["activation"], "identity");
        const NpyArray trained = read_npy(folder_ / format / "layer2-activation.npy");
        EXPECT_THAT(trained.shape, testing::ElementsAre(4, 20));
        EXPECT_EQ(described["layers"][1]["activation_parameters"].size(), 4U);
        EXPECT_FALSE(std::filesystem::exists(folder_ / format / "layer3-activation.npy"));
        // every file that was written is named
        EXPECT_THAT(outcome.out, AllOf(HasSubstr("layer1-activation.npy"), HasSubstr("network.json")));
    }
}

TEST_F(NetworkRecords, ExportToNpySaysWhichEdgesWeighNothing) {
    ASSERT_EQ(train({"--epsilon", "3", "--out", path("run")}).code, 0);  // the last epoch leaves pruned edges at 0
    const Outcome outcome =
        run({"export", path("run/network.safetensors"), "--format", "npy", "--out", path("npy"), "--json"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const auto zeros = nlohmann::json::parse(outcome.out)["zero_weights"];
    const auto described = nlohmann::json::parse(run({"inspect", path("run/network.safetensors"), "--json"}).out);
    for (std::size_t l = 0; l < 2; ++l) {
        const auto& layer = described["layers"][l];
        EXPECT_GT(zeros[l], 0);
        EXPECT_EQ(zeros[l], layer["zero_weights"]);
        EXPECT_THAT(outcome.err, HasSubstr(zeros[l].dump() + " of the " + layer["edges"].dump() + " edges of layer " +
                                           std::to_string(l + 1)));
        const NpyArray mask = read_npy(folder_ / "npy" / ("layer" + std::to_string(l + 1) + "-mask.npy"));
        EXPECT_EQ(mask.type, NpyType::b1);
        std::uint64_t edges = 0;
        for (const std::uint8_t each : mask.data) edges += each;
        EXPECT_EQ(edges, layer["edges"]);
    }
}

TEST_F(NetworkRecords, TheFileIsEqualWhateverTheMachineDid) {
    ASSERT_EQ(train({"--threads", "1", "--out", path("one")}).code, 0);
    ASSERT_EQ(train({"--threads", "2", "--record-every", "2", "--out", path("two")}).code, 0);
    EXPECT_EQ(text_of(folder_ / "one" / "network.safetensors"), text_of(folder_ / "two" / "network.safetensors"));
    // how it was made stands beside it
    EXPECT_THAT(text_of(folder_ / "two" / "config.toml"), AllOf(HasSubstr("threads = 2"), HasSubstr("record-every = 2")));
    const Outcome tested = run({"evaluate", path("two/network.safetensors"), "--json"});
    EXPECT_EQ(tested.code, 0) << tested.err;
}

TEST_F(NetworkRecords, AfterASignalTheNetworkIsTheOneLastTested) {
    const pid_t child = start({"train", "--dataset", "synthetic", "--train-samples", "3000", "--test-samples", "300",
                               "--layers", "784-50-20-10", "--batch", "4", "--epochs", "100000", "--out", path("run")});
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (text_of(folder_ / "run" / "history.jsonl").size() < 1500 && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    kill(child, SIGINT);
    ASSERT_EQ(finish(child).code, 75);
    std::string history = text_of(folder_ / "run" / "history.jsonl");
    ASSERT_FALSE(history.empty());
    history.pop_back();
    const auto last = nlohmann::json::parse(history.substr(history.rfind('\n') + 1));
    const Outcome outcome = run({"evaluate", path("run/network.safetensors"), "--json", "--threads", "1"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const auto tested = nlohmann::json::parse(outcome.out);
    EXPECT_EQ(tested["test_accuracy"], last["test_accuracy"]);
    EXPECT_NEAR(tested["test_loss"].get<double>(), last["test_loss"].get<double>(), 1e-9);
}

TEST_F(NetworkRecords, ALayerWithoutAnEdgeIsRefusedBeforeAnythingIsWritten) {
    const std::vector<std::string> sparse{"--sparsity", "0.9999", "--dense-output", "false", "--out", path("run")};
    const Outcome outcome = train(sparse);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("layer 2 (50 x 20)"), HasSubstr("largest sparsity")));
    EXPECT_FALSE(std::filesystem::exists(path("run")));
    auto dry = sparse;
    dry.emplace_back("--dry-run");
    EXPECT_EQ(train(dry).code, 2);
}

TEST_F(NetworkRecords, AnEpsilonBeyondALayerFillsItAndSaysSo) {
    const Outcome outcome = train({"--epsilon", "15", "--out", path("run")});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("layer 2 (50 x 20) is full: epsilon 15 asks for 1050 edges, it has 1000 cells"));
    const auto described = nlohmann::json::parse(run({"inspect", path("run/network.safetensors"), "--json"}).out);
    EXPECT_EQ(described["layers"][1]["edges"], 1000);
}

}  // namespace
}  // namespace espalier
