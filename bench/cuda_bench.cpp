// Training steps and evolutions on a GPU; where there is none, and nobody insists on one, no benchmark is registered.
//   step_cuda/network/batch            a step of a network of bench/training_setup.hpp, in replayed graphs of many steps
//   many_cuda/network/batch/networks   the same of so many networks with seeds of their own, in the same launches
//   epoch_cuda/network/batch           a whole epoch: its steps, an evolution of each sparse layer, the test pass, metrics of both
//   evolution_cuda/inputs/outputs/edges/by_input   a layer pruned and regrown, its views rebuilt
// Before it is timed a network's loss is compared with plain loops in double, before and after steps that must lower it;
// an evolved layer with the CPU's, and one of many networks with itself alone, to the bit. By the wall clock, all waits included.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
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

/// Enqueues the first steps of an epoch, but for the last one, which may be short.
Work training(TrainingSetup& setup) {
    const std::uint32_t steps = std::min(setup.steps - 1, steps_in_a_graph());
    return [&setup, steps] {
        setup.backend->run([&setup, steps] {
            for (std::uint32_t s = 0; s < steps; ++s) setup.train_step(s);
        });
    };
}

/// Trains a little. Why that is not as it must be; null if it is.
const char* fault_of(TrainingSetup& setup, const Work& train) {
    const Split few = first_of(images().test, 64);
    const UploadedSplit uploaded(*setup.backend, images(), few);
    const double at_birth = loss_of(setup, uploaded);
    if (!is_loss_of(at_birth, setup.network, few)) return "not the loss at birth of plain loops";
    setup.begin_epoch();
    for (int i = 0; i < 3; ++i) train();  // runs, is captured, is replayed
    static_cast<void>(setup.backend->metrics());
    const double trained = loss_of(setup, uploaded);
    if (!is_loss_of(trained, setup.perceptron.store(), few)) return "not the loss of plain loops";
    return trained < at_birth ? nullptr : "training does not lower the loss";
}

/// The network of arguments `network` and `batch`, trained a little; null where that cannot be or is wrong, which is told.
std::unique_ptr<TrainingSetup> verified_setup(benchmark::State& state) {
    std::string reason;
    auto backend = try_cuda_backend(reason);
    if (backend == nullptr) {
        state.SkipWithError(reason.c_str());
        return nullptr;
    }
    Experiment experiment = experiment_of(state.range(0));
    experiment.batch = static_cast<Index>(state.range(1));
    auto setup = std::make_unique<TrainingSetup>(std::move(backend), experiment);
    const char* const fault = fault_of(*setup, training(*setup));
    if (fault != nullptr) state.SkipWithError(fault);
    return fault == nullptr ? std::move(setup) : nullptr;
}

void step_cuda(benchmark::State& state) {
    const auto verified = verified_setup(state);
    if (verified == nullptr) return;
    TrainingSetup& setup = *verified;
    const std::uint32_t steps = std::min(setup.steps - 1, steps_in_a_graph());
    const double median = median_seconds(state, training(setup), [&] { setup.backend->wait(); }) / steps;
    state.counters["step_s"] = median;
    state.counters["GFLOP/s"] = 1e-9 * flops_per_sample(setup.network) * static_cast<double>(state.range(1)) / median;
    state.SetLabel(images().name);
}

bool same_weights(const Network& one, const Network& other) {
    return std::equal(one.layers.begin(), one.layers.end(), other.layers.begin(), other.layers.end(),
                      [](const Layer& a, const Layer& b) { return a.weights == b.weights && a.bias == b.bias; });
}

/// work(number) on a thread for each of so many networks.
void on_threads(std::size_t count, const std::function<void(std::size_t)>& work) {
    std::vector<std::thread> threads;
    for (std::size_t n = 0; n < count; ++n) threads.emplace_back(work, n);
    for (std::thread& each : threads) each.join();
}

void many_cuda(benchmark::State& state) {
    std::string reason;
    auto backend = try_cuda_backend(reason);
    if (backend == nullptr) return state.SkipWithError(reason.c_str());
    Experiment experiment = experiment_of(state.range(0));
    experiment.batch = static_cast<Index>(state.range(1));
    const auto count = static_cast<std::size_t>(state.range(2));
    auto companions = backend->companions(count);
    TrainingSetup alone(std::move(backend), experiment);
    std::vector<std::unique_ptr<TrainingSetup>> setups;
    for (auto& each : companions) {
        setups.push_back(std::make_unique<TrainingSetup>(std::move(each), experiment));
        ++experiment.seed;
    }
    std::vector<const char*> faults(count + 1);
    faults[count] = fault_of(alone, training(alone));
    on_threads(count, [&](std::size_t n) { faults[n] = fault_of(*setups[n], training(*setups[n])); });
    for (const char* fault : faults) {
        if (fault != nullptr) return state.SkipWithError(fault);
    }
    if (!same_weights(setups[0]->perceptron.store(), alone.perceptron.store())) {
        return state.SkipWithError("not the network that is trained alone");
    }
    const std::uint32_t steps = std::min(alone.steps - 1, steps_in_a_graph());
    const Work train = [&] { on_threads(count, [&](std::size_t n) { training(*setups[n])(); }); };
    const double median = median_seconds(state, train, [] {}) / steps;
    state.counters["step_s"] = median;
    state.counters["network_step_s"] = median / static_cast<double>(count);
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

void evolve(Backend& backend, Model& model, std::uint32_t event) {
    for (std::size_t l = 0; l < model.num_layers(); ++l) {
        if (model.layer(l).is_sparse) evolve(backend, model.layer(l), event);
    }
}

void epoch_cuda(benchmark::State& state) {
    const auto verified = verified_setup(state);
    if (verified == nullptr) return;
    TrainingSetup& setup = *verified;
    const Split few = first_of(images().test, 64);
    const UploadedSplit uploaded(*setup.backend, images(), few);
    const std::uint32_t slice = steps_in_a_graph();
    const bool is_short = slice < 64;  // somebody tries whether this runs, on the CPU say
    const std::uint32_t steps = is_short ? slice : setup.steps;
    const Samples tested = is_short ? uploaded.samples() : setup.test.samples();
    const Work epoch = [&] {
        setup.begin_epoch();
        for (std::uint32_t done = 0; done < steps; done += slice) {
            setup.backend->run([&setup, done, end = std::min(steps, done + slice)] {
                for (std::uint32_t s = done; s < end; ++s) setup.train_step(s);
            });
        }
        benchmark::DoNotOptimize(setup.backend->metrics());
        evolve(*setup.backend, setup.perceptron, setup.epoch);
        setup.backend->run([&] { setup.perceptron.evaluate(tested); });
        benchmark::DoNotOptimize(setup.backend->metrics());
    };
    state.counters["epoch_s"] = median_seconds(state, epoch, [&] { setup.backend->wait(); });
    if (!is_loss_of(loss_of(setup, uploaded), setup.perceptron.store(), few)) {
        return state.SkipWithError("afterwards not the loss of plain loops");
    }
    state.SetLabel(images().name);
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
    benchmark::RegisterBenchmark("many_cuda", many_cuda)
        ->ArgNames({"network", "batch", "networks"})
        ->ArgsProduct({{0}, {128}, {1, 4, 16, 64}})
        ->Args({1, 128, 16})
        ->UseManualTime()
        ->MinTime(0.2)
        ->Unit(benchmark::kMicrosecond);
    benchmark::RegisterBenchmark("epoch_cuda", epoch_cuda)
        ->ArgNames({"network", "batch"})
        ->ArgsProduct({{0, 1, 2}, {128, 1024}})
        ->UseManualTime()
        ->Iterations(5)
        ->Unit(benchmark::kMillisecond);
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
