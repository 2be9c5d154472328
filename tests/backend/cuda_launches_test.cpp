// What the device is asked to do, counted by the runtime that stands in for CUDA's, beside the table cuda/launches.txt.
// ESPALIER_UPDATE=1 rewrites the table. Kernels of Thrust's are not counted, the algorithms that launch them are.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "cuda_on_host/runtime/runtime.hpp"
#include "cuda_training.hpp"

namespace espalier {
namespace {

using cuda_on_host::Counts;
using Count = std::uint64_t Counts::*;

struct NamedCount {
    const char* name;
    Count count;
};
const NamedCount named_counts[] = {
    {"kernels", &Counts::kernels},       {"launched one by one", &Counts::launched}, {"graphs", &Counts::graph_launches},
    {"memsets", &Counts::memsets},       {"copies", &Counts::copies},                {"transfers", &Counts::transfers},
    {"algorithms", &Counts::algorithms}, {"waits", &Counts::waits},
};

/// more - fewer, by name; counts of 0 are left out.
std::string difference(const Counts& more, const Counts& fewer) {
    std::ostringstream text;
    for (const auto& [name, count] : named_counts) {
        const std::uint64_t each = more.*count - fewer.*count;
        if (each > 0) text << (text.tellp() > 0 ? ", " : "") << name << ' ' << each;
    }
    return text.str();
}

struct CountedNetwork {
    const char* name;
    std::vector<Index> layers;
    double dropout;
    Activation activation;
    Spmm spmm = Spmm::automatic;
    Index batch = 16;
};
const CountedNetwork counted_networks[] = {
    {"784-512-128-10", {784, 512, 128, 10}, 0, Relu{}},
    {"784-80-60-90-10", {784, 80, 60, 90, 10}, 0, Relu{}},
    {"784-80-60-90-10, dropout", {784, 80, 60, 90, 10}, 0.3, Relu{}},
    {"784-80-60-90-10, srelu", {784, 80, 60, 90, 10}, 0, SRelu{}},
    {"784-80-60-90-10, panels", {784, 80, 60, 90, 10}, 0, Relu{}, Spmm::panel},
    {"784-4000-1000-4000-10, batch 128", {784, 4000, 1000, 4000, 10}, 0, Relu{}, Spmm::automatic, 128},
    {"784-4000-1000-4000-10, batch 128, dropout", {784, 4000, 1000, 4000, 10}, 0.3, Relu{}, Spmm::automatic, 128},
};

/// Of a whole run with so many batches an epoch, of so many networks together.
Counts counts_of_run(const CountedNetwork& counted, Index batches, std::uint32_t epochs, std::size_t networks = 1) {
    cuda_on_host::set_machine({});
    const std::uint32_t samples = batches * counted.batch;
    const DataSet data = load_dataset("synthetic", "", samples, 16);
    Experiment experiment = small_experiment(data);
    experiment.layers = counted.layers;
    experiment.batch = counted.batch;
    experiment.epochs = epochs;
    experiment.dropout = counted.dropout;
    experiment.activation = counted.activation;
    experiment.spmm = counted.spmm;
    const auto backend = backend_for_test("cuda_on_host", 1, {});
    const auto companions = backend->companions(networks);
    cuda_on_host::count_afresh();
    if (networks == 1) {
        train(*backend, experiment, data);
        return cuda_on_host::counts();
    }
    std::vector<std::thread> threads;
    for (const auto& each : companions) {
        ++experiment.seed;
        threads.emplace_back([&data, own = experiment, on = each.get()] { train(*on, own, data); });
    }
    for (std::thread& each : threads) each.join();
    return cuda_on_host::counts();
}

/// Of pruning and regrowing a layer once; Thrust's temporaries and what is allocated once are there already.
std::string evolution_of_a_layer(bool by_input) {
    cuda_on_host::set_machine({});
    const auto backend = backend_for_test("cuda_on_host", 1, {});
    TestRandom random(5);
    const auto layer = backend->load(test_layer({200, 150, 0.1, 16}, Relu{}, 1, random), {by_input, Momentum{}});
    const auto evolve = [&](std::uint32_t event) {
        static_cast<void>(backend->prune(*layer, {PruneRule{}, 0.3, {7, 0, event}}));
        static_cast<void>(backend->regrow(*layer, {GrowRandom{}, WeightLaw{}, true, {7, 0, event}}));
    };
    evolve(0);
    const Counts before = cuda_on_host::counts();
    evolve(1);
    return difference(cuda_on_host::counts(), before);
}

std::string table() {
    std::ostringstream text;
    text << "# by the tests of the CUDA backend (cuda_launches_test.cpp): what is asked of the device\n";
    for (const CountedNetwork& each : counted_networks) {
        text << each.name << ", a step: " << difference(counts_of_run(each, 2, 1), counts_of_run(each, 1, 1)) << '\n';
    }
    const std::pair<const CountedNetwork&, std::size_t> together[] = {{counted_networks[0], 2}, {counted_networks[1], 5}};
    for (const auto& [each, networks] : together) {
        text << each.name << ", a step of " << networks << " networks together: "
             << difference(counts_of_run(each, 2, 1, networks), counts_of_run(each, 1, 1, networks)) << '\n';
    }
    const CountedNetwork& small = counted_networks[1];
    text << small.name << ", an epoch of two steps: "
         << difference(counts_of_run(small, 2, 3), counts_of_run(small, 2, 2)) << '\n';
    text << "an evolution of a layer: " << evolution_of_a_layer(false) << '\n';
    text << "an evolution of a layer with the view by input: " << evolution_of_a_layer(true) << '\n';
    return text.str();
}

TEST(CudaLaunches, AreThoseOfTheTable) {
    const std::string path = std::string(ESPALIER_SOURCE_DIR) + "/cuda/launches.txt";
    const std::string counted = table();
    if (std::getenv("ESPALIER_UPDATE") != nullptr) {
        std::ofstream(path) << counted;
        return;
    }
    std::ifstream file(path);
    std::ostringstream kept;
    kept << file.rdbuf();
    EXPECT_EQ(counted, kept.str()) << "If that is meant: ESPALIER_UPDATE=1 rewrites " << path;
}

TEST(CudaLaunches, EveryKindOfGrowthShows) {
    Counts more;
    EXPECT_EQ(difference(more, {}), "");
    std::string before;
    for (const auto& [name, count] : named_counts) {
        ++(more.*count);
        const std::string found = difference(more, {});
        EXPECT_NE(found, before) << name;
        before = found;
    }
}

}  // namespace
}  // namespace espalier
