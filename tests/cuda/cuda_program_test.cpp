// The program's own commands on the CUDA backend: the shipped program opens the module that runs the backend's sources
// on the CPU (cmake/cuda_on_host.cmake), with the device's memory out of the host's reach and stand-ins of CUDA's
// libraries. CUDA_ON_HOST sets the machine (tests/cuda_on_host/runtime/runtime.hpp).
#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "host/run/checkpoint_folder.hpp"
#include "program_fixture.hpp"

namespace espalier {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class CudaProgram : public ProgramTest {
protected:
    void SetUp() override { setenv("ESPALIER_MODULE_PATH", ESPALIER_ON_HOST_MODULE_FOLDER, 1); }
    void TearDown() override {
        for (const char* name : {"ESPALIER_MODULE_PATH", "CUDA_ON_HOST", "LD_DEBUG"}) unsetenv(name);
    }
    static void set_machine(const std::string& machine) { setenv("CUDA_ON_HOST", machine.c_str(), 1); }

    Outcome train_small(std::vector<std::string> more) {
        std::vector<std::string> arguments{
            "train",        "--dataset", "synthetic", "--train-samples", "120", "--test-samples", "60", "--layers",
            "784-24-16-10", "--batch",   "60",        "--epochs",        "3",   "--epsilon",      "2"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return run(arguments);
    }
    /// One sentence on stderr, exit code 6, nothing internal.
    static void expect_refusal(const Outcome& outcome, const std::string& words) {
        EXPECT_EQ(outcome.code, 6) << outcome.err;
        EXPECT_THAT(outcome.err,
                    AllOf(HasSubstr(words), Not(HasSubstr("internal error")), Not(HasSubstr("terminate"))));
        const auto last = outcome.err.substr(0, outcome.err.find_last_not_of('\n') + 1);
        EXPECT_THAT(last.substr(last.rfind('\n') + 1), HasSubstr("espalier: ")) << outcome.err;
    }
    [[nodiscard]] std::string network(const std::string& run_name) const {
        return text_of(path(run_name + "/network.safetensors"));
    }
};

TEST_F(CudaProgram, TrainsAndSaysOnWhat) {
    const Outcome outcome = train_small({"--backend", "cuda", "--json", "--out", path("run")});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const auto results = nlohmann::json::parse(outcome.out);
    EXPECT_EQ(results["backend"], "cuda");
    EXPECT_EQ(results["epochs"], 3);
    const Outcome evaluated = run({"evaluate", path("run/network.safetensors"), "--backend", "cuda", "--json"});
    ASSERT_EQ(evaluated.code, 0) << evaluated.err;
    EXPECT_NEAR(nlohmann::json::parse(evaluated.out)["test_loss"], results["test_loss"], 1e-6);
}

TEST_F(CudaProgram, EveryWayToMultiplyOnEveryMachineGivesTheBitsOfGathering) {
    const auto trained = [&](const std::string& machine, const std::string& spmm, const std::string& graph) {
        set_machine(machine);
        const Outcome outcome =
            train_small({"--backend", "cuda", "--spmm", spmm, "--graph", graph, "--overwrite", "--out", path("run")});
        EXPECT_EQ(outcome.code, 0) << machine << ", " << spmm << ": " << outcome.err;
        return text_of(path("run/connections.npy"));
    };
    const std::string want = trained("", "gather", "off");
    ASSERT_FALSE(want.empty());
    EXPECT_EQ(trained("", "gather", "on"), want);
    for (const char* shared : {"65536", "101376", "166912", "232448"}) {  // what Turing to Hopper lets a block ask for
        EXPECT_EQ(trained(std::string("shared=") + shared, "panel", "on"), want) << shared;
    }
    for (const char* multiprocessors : {"1", "20", "132"}) {
        EXPECT_EQ(trained(std::string("multiprocessors=") + multiprocessors, "auto", "on"), want) << multiprocessors;
    }
}

TEST_F(CudaProgram, CuSparseRepeatsItsBitsAndTakesALayerWithoutEdges) {
    for (const char* name : {"one", "two"}) {
        const Outcome outcome = train_small({"--backend", "cuda", "--spmm", "cusparse", "--out", path(name)});
        ASSERT_EQ(outcome.code, 0) << outcome.err;
    }
    EXPECT_TRUE(text_of(path("one/network.safetensors")) == text_of(path("two/network.safetensors")));
    EXPECT_EQ(text_of(path("one/connections.npy")), text_of(path("two/connections.npy")));
}

TEST_F(CudaProgram, AnInterruptedRunGoesOnToTheSameBits) {
    ASSERT_EQ(train_small({"--backend", "cuda", "--out", path("whole")}).code, 0);
    // A device that breaks in the middle leaves the checkpoints from before.
    set_machine("break_after=60");
    const Outcome broken = train_small({"--backend", "cuda", "--checkpoint-every", "1", "--out", path("run")});
    expect_refusal(broken, "cudaErrorLaunchFailure");
    ASSERT_FALSE(list_checkpoints(path("run")).empty()) << "kernels enough for an epoch";
    set_machine("");
    const Outcome resumed = run({"train", "--resume", path("run")});
    ASSERT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_EQ(text_of(path("run/connections.npy")), text_of(path("whole/connections.npy")));
}

TEST_F(CudaProgram, TrainsRestrictedBoltzmannMachines) {
    for (const char* graph : {"on", "off"}) {
        const Outcome outcome = run({"train",
                                     "--recipe",
                                     "set-rbm-mnist-500",
                                     "--dataset",
                                     "synthetic",
                                     "--layers",
                                     "784-10",
                                     "--epsilon",
                                     "1",
                                     "--train-samples",
                                     "40",
                                     "--test-samples",
                                     "20",
                                     "--epochs",
                                     "2",
                                     "--batch",
                                     "20",
                                     "--backend",
                                     "cuda",
                                     "--graph",
                                     graph,
                                     "--out",
                                     path(graph)});
        ASSERT_EQ(outcome.code, 0) << outcome.err;
    }
    EXPECT_EQ(text_of(path("on/connections.npy")), text_of(path("off/connections.npy")));
}

TEST_F(CudaProgram, CuBlasIsOpenedForALargeDenseLayerAndForNothingElse) {
    setenv("LD_DEBUG", "files", 1);
    const Outcome sparse = train_small({"--backend", "cuda", "--epochs", "1", "--out", path("sparse")});
    const Outcome dense = run({"train", "--dataset", "synthetic", "--train-samples", "60", "--test-samples", "30",
                               "--layers", "784-2000-10", "--epsilon", "1", "--batch", "30", "--epochs", "1",
                               "--backend", "cuda", "--out", path("dense")});
    unsetenv("LD_DEBUG");
    ASSERT_EQ(sparse.code, 0);
    ASSERT_EQ(dense.code, 0);
    EXPECT_EQ(sparse.err.find("libcublas"), std::string::npos);
    EXPECT_EQ(sparse.err.find("libcusparse"), std::string::npos);
    EXPECT_NE(dense.err.find("libcublas"), std::string::npos);
}

TEST_F(CudaProgram, DoctorListsEveryDeviceAndWhatItLacks) {
    set_machine("devices=2");
    const Outcome said = run({"doctor"});
    ASSERT_EQ(said.code, 0) << said.err;
    EXPECT_THAT(said.out, AllOf(HasSubstr("device 0: host-executed device, compute capability 9.0, 4.0 GiB"),
                                HasSubstr("runs the code for 9.0"), HasSubstr("device 1: host-executed device"),
                                HasSubstr("module for compute capabilities 90, run by the host"),
                                HasSubstr("driver for CUDA 13.0")));
    const auto report = nlohmann::json::parse(run({"doctor", "--json"}).out);
    ASSERT_EQ(report["cuda"]["devices"].size(), 2U);
    EXPECT_EQ(report["cuda"]["usable"], true);
    EXPECT_EQ(report["cuda"]["libraries"]["cublas"], "");
    EXPECT_EQ(report["cuda"]["libraries"]["cusparse"], "");
    EXPECT_EQ(report["cuda"]["libraries"]["nccl"], "");
    EXPECT_EQ(report["cuda"]["devices"][1]["fault"], "");
    EXPECT_EQ(report["cuda"]["devices"][1]["code"], "9.0");
    EXPECT_EQ(report["cuda"]["driver"], "13.0");
    set_machine("kernel_error=209");
    EXPECT_THAT(run({"doctor"}).out,
                AllOf(HasSubstr("not used: the GPU host-executed device has compute capability 9.0"),
                      HasSubstr("not usable:")));
}

/// Of speed-ups at two sparsities: where the straight line between them, both in logarithms, is 1. NaN: nowhere.
double crossing_between(double sparsity, double speedup, double next_sparsity, double next_speedup) {
    if (next_speedup < 1) return std::nan("");
    if (speedup >= 1) return 0;
    const double along = -std::log(speedup) / (std::log(next_speedup) - std::log(speedup));
    return 1 - std::pow(1 - sparsity, 1 - along) * std::pow(1 - next_sparsity, along);
}

/// The crossover table, in JSON and as text, of a bench at one shape and two sparsities; `row`: its first cells.
void expect_crossover(const nlohmann::json& results, const std::string& page, const std::string& row) {
    EXPECT_EQ(results["rival"], "cuBLAS");
    EXPECT_FALSE(results.contains("rival_fault"));
    ASSERT_EQ(results["crossovers"].size(), 1U);
    ASSERT_EQ(results["points"].size(), 2U);
    const auto& found = results["crossovers"][0];
    const auto& dense = results["points"][0];
    const auto& sparse = results["points"][1];
    for (const char* key : {"width", "batch"}) {
        for (const auto* point : {&dense, &sparse}) EXPECT_EQ((*point)[key], found[key]);
    }
    const double at =
        crossing_between(dense["sparsity"], dense["step_speedup"], sparse["sparsity"], sparse["step_speedup"]);
    std::string words = "from ";
    if (std::isnan(at)) {
        EXPECT_TRUE(found["sparsity"].is_null()) << found;
        words = "not measured to win |";
    } else {
        ASSERT_TRUE(found["sparsity"].is_number()) << found;
        EXPECT_NEAR(found["sparsity"].get<double>(), at, 1e-9) << found;
        if (at == 0) words = "everywhere measured |";
    }
    EXPECT_THAT(page, AllOf(HasSubstr("| width | batch | a sparse training step is faster |"),
                            HasSubstr(row + " " + words)));
}

TEST_F(CudaProgram, BenchPutsTheLibrariesBesideOurKernels) {
    const Outcome outcome = run({"bench", "--backend", "cuda", "--widths", "20", "--batches", "4", "--sparsities",
                                 "0.3,0.95", "--seconds", "0.01", "--json", "--out", path("bench")});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const auto results = nlohmann::json::parse(outcome.out);
    EXPECT_THAT(results["backend"].get<std::string>(), HasSubstr("host-executed device"));
    ASSERT_EQ(results["points"].size(), 2U);
    for (const auto& point : results["points"]) {
        for (const char* rival : {"sparse_seconds", "dense_seconds", "tf32_seconds", "cusparse_seconds"}) {
            EXPECT_GT(point[rival]["step"]["median"], 0) << rival;
        }
        EXPECT_GT(point["evolution_seconds"]["median"], 0);
    }
    const std::string page = text_of(path("bench/bench.md"));
    EXPECT_THAT(page, AllOf(HasSubstr("over cuSPARSE"), Not(HasSubstr("of F"))));
    expect_crossover(results, page, "| 20 | 4 |");
    EXPECT_EQ(results["points"][0]["cusparse_seconds"]["layout"], "tiles");
    const Outcome wide = run({"bench", "--backend", "cuda", "--widths", "20", "--batches", "130", "--sparsities", "0.9",
                              "--seconds", "0.01", "--json", "--out", path("wide")});
    ASSERT_EQ(wide.code, 0) << wide.err;
    EXPECT_THAT(nlohmann::json::parse(wide.out)["points"][0]["cusparse_seconds"]["layout"].get<std::string>(),
                testing::AnyOf("tiles", "samples in a row"));
    const Outcome nowhere = run({"bench", "--backend", "cuda", "--device", "3", "--quick", "--out", path("none")});
    expect_refusal(nowhere, "device: 3 is outside [0, 0]");
}

TEST_F(CudaProgram, TrainsOnTheDeviceAskedFor) {
    set_machine("devices=2");
    const Outcome second = train_small({"--device", "cuda:1", "--epochs", "1", "--out", path("run")});
    ASSERT_EQ(second.code, 0) << second.err;
    EXPECT_THAT(second.err, HasSubstr("host-executed device (device 1)"));
    const Outcome tested = run({"evaluate", path("run"), "--backend", "cuda", "--device", "2"});
    expect_refusal(tested, "device: 2 is outside [0, 1]");
    expect_refusal(train_small({"--backend", "cuda", "--device", "2", "--out", path("none")}),
                   "device: 2 is outside [0, 1]");
}

TEST_F(CudaProgram, AStudyRunsOneAtATimeOnEachGpu) {
    std::ofstream(path("study.toml"))
        << "dataset = \"synthetic\"\ntrain-samples = 60\ntest-samples = 30\n"
           "layers = \"784-12-10\"\nepochs = 1\nbatch = 30\nbackend = \"cuda\"\nseeds = 3\n";
    const auto study = [&](const std::string& machine, const std::string& name, std::vector<std::string> more = {}) {
        set_machine(machine);
        std::vector<std::string> arguments{"study", path("study.toml"), "--out", path(name)};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const Outcome outcome = run(arguments);
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        return outcome.err;
    };
    const auto runs_on_second = [&](const std::string& name) {
        std::size_t found = 0;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(path(name))) {
            if (entry.path().filename() != "provenance.json") continue;
            if (text_of(entry.path().string()).find("(device 1)") != std::string::npos) ++found;
        }
        return found;
    };
    EXPECT_THAT(study("", "one"), HasSubstr("3 runs, 1 at once"));
    EXPECT_THAT(study("devices=2", "two"), HasSubstr("3 runs, 2 at once on GPUs 0, 1"));
    EXPECT_THAT(runs_on_second("two"), AllOf(testing::Ge(1U), testing::Le(2U)));
    EXPECT_THAT(study("devices=2", "turns", {"--jobs", "1"}), HasSubstr("1 at once"));
    EXPECT_THAT(study("devices=2 last_is_old=1", "old"), HasSubstr("1 at once"));
    EXPECT_EQ(runs_on_second("old"), 0U);
}

TEST_F(CudaProgram, TheEstimateCountsWhatTheDeviceHoldsBefore) {
    const auto estimate = [&](const std::string& machine, const std::string& layers) {
        set_machine(machine);
        const Outcome outcome =
            run({"train", "--dataset", "synthetic", "--train-samples", "600", "--test-samples", "300", "--layers",
                 layers, "--epsilon", "1", "--batch", "30", "--backend", "cuda", "--dry-run", "--json"});
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        return nlohmann::json::parse(outcome.out);
    };
    const auto bare = estimate("", "784-20-10");
    const auto loaded = estimate("context=300000000 graph_node=1000", "784-20-10");
    EXPECT_EQ(loaded["gpu_in_use_bytes"].get<double>() - bare["gpu_in_use_bytes"].get<double>(), 300000000);
    // 20 steps of 4 kernels, which a batch of the test has as well
    EXPECT_GE(loaded["gpu_graph_bytes"].get<double>(), (20 + 1) * 4 * 1000);
    EXPECT_LE(loaded["gpu_graph_bytes"].get<double>(), (20 + 3) * 6 * 1000);
    EXPECT_EQ(loaded["gpu_bytes"].get<double>() - bare["gpu_bytes"].get<double>(),
              300000000 + loaded["gpu_graph_bytes"].get<double>());
    // with more weights than a small dense layer has cuBLAS comes, and its workspace with it
    EXPECT_GT(estimate("", "784-2000-10")["gpu_bytes"].get<double>(),
              estimate("", "784-1600-10")["gpu_bytes"].get<double>() + (32 << 20));
}

TEST_F(CudaProgram, SaysInASentenceWhyThereIsNoGpu) {
    const std::pair<const char*, const char*> machines[] = {
        {"device_count_error=35 driver=0", "there is no NVIDIA driver on this machine"},
        {"device_count_error=35 driver=12020", "supports CUDA 12.2 and this module was built with CUDA 13.0"},
        {"device_count_error=100", "finds no GPU"},
        {"devices=0", "finds no GPU"},
        {"kernel_error=209", "build Espalier with -DESPALIER_CUDA_ARCHITECTURES=90"},
        {"memory=256", "the GPU is out of memory"},
    };
    for (const auto& [machine, words] : machines) {
        SCOPED_TRACE(machine);
        set_machine(machine);
        expect_refusal(train_small({"--backend", "cuda", "--out", path("run")}), words);
    }
}

TEST_F(CudaProgram, LimitsAreRefusedBeforeAnythingIsDrawn) {
    for (const bool dry : {false, true}) {
        const auto refused = [&](const std::vector<std::string>& more, const std::string& words) {
            std::vector<std::string> arguments{"--backend", "cuda", "--out", path("run")};
            if (dry) arguments.emplace_back("--dry-run");
            arguments.insert(arguments.end(), more.begin(), more.end());
            expect_refusal(train_small(arguments), words);  // the networks would take tens of gigabytes
        };
        refused({"--spmm", "cusparse", "--epsilon", "700", "--layers", "784-3900000-10"}, "is outside [0, 2147483647]");
        refused({"--dense-output", "true", "--layers", "784-430000000-10"},
                "4300000000 edges is outside [0, 4294967292]");
    }
}

TEST_F(CudaProgram, OutOfMemoryAtAnyAllocationIsASentence) {
    int failures = 0;
    for (const int allocations : {0, 1, 3, 10, 30, 60, 80, 100, 130, 100000}) {
        SCOPED_TRACE(allocations);
        set_machine("fail_after=" + std::to_string(allocations));
        const Outcome outcome =
            train_small({"--backend", "cuda", "--epochs", "2", "--overwrite", "--out", path("run")});
        if (outcome.code == 0) continue;
        ++failures;
        expect_refusal(outcome, "the GPU is out of memory");
    }
    EXPECT_GT(failures, 3);
}

TEST_F(CudaProgram, AGraphThatCannotBeMadeIsDoneWithout) {
    ASSERT_EQ(train_small({"--backend", "cuda", "--out", path("with")}).code, 0);
    for (const char* machine : {"graph_error=2", "capture_error=2"}) {
        set_machine(machine);
        const Outcome outcome = train_small({"--backend", "cuda", "--overwrite", "--out", path("without")});
        ASSERT_EQ(outcome.code, 0) << outcome.err;
        EXPECT_EQ(text_of(path("with/connections.npy")), text_of(path("without/connections.npy")));
    }
}

TEST_F(CudaProgram, ALaunchThatFindsNoMemoryForItsCodeIsASentence) {
    int failures = 0;
    for (const int launches : {1, 8, 20, 40, 60, 80, 110, 100000}) {  // plain ones and captured ones
        SCOPED_TRACE(launches);
        set_machine("launch_fails_after=" + std::to_string(launches));
        const Outcome outcome = train_small({"--backend", "cuda", "--overwrite", "--out", path("run")});
        if (outcome.code == 0) continue;
        ++failures;
        expect_refusal(outcome, "the GPU is out of memory: the launch of a kernel failed for want of it");
    }
    EXPECT_GT(failures, 3);
}

TEST_F(CudaProgram, ADeviceThatBreaksAnywhereEndsTheRunWithSix) {
    int broke = 0;
    for (const int kernels : {1, 2, 5, 9, 14, 20, 27, 35, 44, 54, 65, 77, 90, 104, 119, 135, 160, 1000000}) {
        SCOPED_TRACE(kernels);
        set_machine("break_after=" + std::to_string(kernels));
        const Outcome outcome = train_small({"--backend", "cuda", "--overwrite", "--out", path("run")});
        if (outcome.code == 0) continue;
        ++broke;
        expect_refusal(outcome, "cudaErrorLaunchFailure");
    }
    EXPECT_GT(broke, 10);
}

}  // namespace
}  // namespace espalier
