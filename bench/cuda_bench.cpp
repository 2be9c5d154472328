// Training steps and evolutions on a GPU; where there is none, and nobody insists on one, no benchmark is registered.
//   step_cuda/network/batch            a step of a network of bench/training_setup.hpp, in replayed graphs of many steps
//   evolution_cuda/inputs/outputs/edges/by_input   a layer pruned and regrown, its views rebuilt
// Before it is timed a network's loss is compared with plain loops in double, before and after steps that must lower it;
// an evolved layer with the CPU's, to the bit. By the wall clock, all waits included.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "bench/plain_network.hpp"
#include "bench/training_setup.hpp"
#include "espalier/topology.hpp"
#include "host/backends.hpp"
#include "host/bench/ceiling.hpp"
#include "host/cpu/cpu_backend.hpp"

namespace espalier {
namespace {

/// Steps in a graph; fewer by ESPALIER_REPETITIONS, for a backend whose times mean nothing.
std::uint32_t steps_in_a_graph() {
    const char* const asked = std::getenv("ESPALIER_REPETITIONS");
    return asked == nullptr ? 64 : static_cast<std::uint32_t>(std::max(1, std::atoi(asked)));
}

using Work = std::function<void()>;

/// Times `work`, done so often at once that the clock does not count; returns the median of its seconds.
double median_seconds(benchmark::State& state, const Work& work, const Work& wait) {
    const auto spell = [&](int times) {
        const double start = wall_seconds();
        for (int i = 0; i < times; ++i) work();
        wait();
        return wall_seconds() - start;
    };
    const int times = std::clamp(static_cast<int>(0.005 / spell(1)) + 1, 1, 10000);
    std::vector<double> seconds;
    for (auto each : state) {
        static_cast<void>(each);
        seconds.push_back(spell(times) / times);
        state.SetIterationTime(seconds.back());
    }
    std::sort(seconds.begin(), seconds.end());
    state.counters["best_s"] = seconds.front();
    return seconds[seconds.size() / 2];
}

void step_cuda(benchmark::State& state) {
    std::string reason;
    auto backend = try_cuda_backend(reason);
    if (backend == nullptr) return state.SkipWithError(reason.c_str());
    Experiment experiment = experiment_of(state.range(0));
    experiment.batch = static_cast<Index>(state.range(1));
    TrainingSetup setup(std::move(backend), experiment);
    const std::uint32_t steps = std::min(setup.steps - 1, steps_in_a_graph());  // the epoch's last one may be short
    const Work train = [&] {
        setup.backend->run([&] {
            for (std::uint32_t s = 0; s < steps; ++s) setup.train_step(s);
        });
    };

    const Split few = first_of(images().test, 64);
    const UploadedSplit uploaded(*setup.backend, images(), few);
    const double at_birth = loss_of(setup, uploaded);
    if (!is_loss_of(at_birth, setup.network, few)) return state.SkipWithError("not the loss at birth of plain loops");
    setup.begin_epoch();
    for (int i = 0; i < 3; ++i) train();  // runs, is captured, is replayed
    static_cast<void>(setup.backend->metrics());
    const double trained = loss_of(setup, uploaded);
    if (!is_loss_of(trained, setup.perceptron.store(), few)) return state.SkipWithError("not the loss of plain loops");
    if (!(trained < at_birth)) return state.SkipWithError("training does not lower the loss");

    const double median = median_seconds(state, train, [&] { setup.backend->wait(); }) / steps;
    state.counters["step_s"] = median;
    state.counters["GFLOP/s"] = 1e-9 * flops_per_sample(setup.network) * experiment.batch / median;
    state.SetLabel(images().name);
}

Layer random_layer(Index inputs, Index outputs, Cell edges) {
    Layer layer;
    layer.num_inputs = inputs;
    layer.num_outputs = outputs;
    layer.topology = random_topology(inputs, outputs, edges, ExactCount{}, Stream{1, Purpose::topology, 0, 0});
    layer.activation = Relu{};
    const Stream stream{1, Purpose::initial_weight, 0, 0};
    for (EdgeIndex slot = 0; slot < layer.topology->num_edges(); ++slot) layer.weights.push_back(normal(stream.bits(slot)));
    layer.bias.assign(outputs, 0);
    layer.weight_state.emplace_back(layer.weights.size(), 0.25F);
    layer.bias_state.emplace_back(outputs, 0);
    return layer;
}

void evolve(Backend& backend, DeviceLayer& layer, std::uint32_t event) {
    benchmark::DoNotOptimize(backend.prune(layer, {PruneBySign{}, 0.3, {1, 0, event}}));
    benchmark::DoNotOptimize(backend.regrow(layer, {GrowRandom{}, HeNormal{}, true, {1, 0, event}}));
}

bool same_layer(const Layer& one, const Layer& other) {
    return one.topology->row_start == other.topology->row_start && one.topology->column == other.topology->column &&
           one.weights == other.weights && one.weight_state == other.weight_state;
}

void evolution_cuda(benchmark::State& state) {
    std::string reason;
    const auto backend = try_cuda_backend(reason);
    if (backend == nullptr) return state.SkipWithError(reason.c_str());
    const Layer born = random_layer(static_cast<Index>(state.range(0)), static_cast<Index>(state.range(1)),
                                    static_cast<Cell>(state.range(2)));
    const LayerUse use{state.range(3) != 0, Momentum{}};
    const auto on_cpu = make_cpu_backend(1);
    const auto expected = on_cpu->load(born, use);
    const auto layer = backend->load(born, use);
    for (std::uint32_t event = 0; event < 2; ++event) {
        evolve(*on_cpu, *expected, event);
        evolve(*backend, *layer, event);
    }
    if (!same_layer(on_cpu->store(*expected), backend->store(*layer))) return state.SkipWithError("not the CPU's evolution");
    std::uint32_t event = 2;
    const double median =
        median_seconds(state, [&] { evolve(*backend, *layer, event++); }, [&] { backend->wait(); });
    state.counters["evolution_s"] = median;
    state.counters["edges/s"] = static_cast<double>(state.range(2)) / median;
}

void register_cuda() {
    std::string reason;
    const char* const required = std::getenv("ESPALIER_REQUIRE_GPU");
    if (try_cuda_backend(reason) == nullptr && (required == nullptr || std::string(required) != "1")) return;
    benchmark::RegisterBenchmark("step_cuda", step_cuda)
        ->ArgNames({"network", "batch"})
        ->ArgsProduct({{0, 1, 2}, {128, 1024}})
        ->Args({15000, 128})
        ->UseManualTime()
        ->MinTime(0.2)
        ->Unit(benchmark::kMicrosecond);
    benchmark::RegisterBenchmark("evolution_cuda", evolution_cuda)
        ->ArgNames({"in", "out", "edges", "by_input"})
        ->Args({784, 512, 14256, 0})
        ->Args({512, 128, 7040, 1})
        ->Args({1581, 1581, 100000, 1})
        ->Args({15811, 15811, 10000000, 1})
        ->UseManualTime()
        ->MinTime(0.2)
        ->Unit(benchmark::kMicrosecond);
}

}  // namespace
}  // namespace espalier

int main(int argc, char** argv) {
    espalier::register_cuda();
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
