// Training steps of whole networks: gather, forward, loss, backward and update. Arguments: network
// (bench/training_setup.hpp), batch and threads. An iteration is a step.
// First the network's loss on some images is compared with plain loops in double, before and after some steps, which
// must lower it; a network that fails is not timed. Counters: edges, useful GFLOP/s, edges/s (each edge once a step),
// the fraction of the FMA peak measured beside it, and the largest memory the process has held, in MiB.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "bench/plain_network.hpp"
#include "bench/training_setup.hpp"
#include "host/bench/ceiling.hpp"
#include "host/cpu/cpu_backend.hpp"

namespace espalier {
namespace {

double peak_mib() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) / 1024;
}

void step(benchmark::State& state) {
    const auto threads = static_cast<int>(state.range(2));
    Experiment experiment = experiment_of(state.range(0));
    experiment.batch = static_cast<Index>(state.range(1));
    TrainingSetup setup(make_cpu_backend(threads), experiment);

    const Split few = first_of(images().test, 64);
    const UploadedSplit uploaded(*setup.backend, images(), few);
    const double at_birth = loss_of(setup, uploaded);
    if (!is_loss_of(at_birth, setup.network, few)) return state.SkipWithError("not the loss at birth of plain loops");
    setup.begin_epoch();
    const std::uint32_t warm_up = std::max(8U, 1024 / experiment.batch);
    for (std::uint32_t s = 0; s < warm_up; ++s) setup.train_step(s);
    static_cast<void>(setup.backend->metrics());
    const double trained = loss_of(setup, uploaded);
    if (!is_loss_of(trained, setup.perceptron.store(), few)) return state.SkipWithError("not the loss of plain loops");
    if (!(trained < at_birth)) return state.SkipWithError("training does not lower the loss");

    double edges = 0;
    for (std::size_t l = 0; l < setup.network.layers.size(); ++l) {
        edges += static_cast<double>(setup.network.layers[l].num_weights());
    }
    const double work = flops_per_sample(setup.network) * experiment.batch;
    std::vector<double> seconds;
    double peak = 0;
    std::uint32_t next = warm_up;
    for (auto each : state) {
        static_cast<void>(each);
        if (next == setup.steps - 1) {  // the last one may be short
            setup.begin_epoch();
            next = 0;
        }
        const double start = wall_seconds();
        setup.train_step(next++);
        setup.backend->wait();
        seconds.push_back(wall_seconds() - start);
        state.SetIterationTime(seconds.back());
        if (seconds.size() % 64 == 1) peak = std::max(peak, fma_peak(0.01));
    }
    std::sort(seconds.begin(), seconds.end());
    const double median = seconds[seconds.size() / 2];
    state.counters["median_s"] = median;
    state.counters["spread"] = (seconds[seconds.size() * 3 / 4] - seconds[seconds.size() / 4]) / median;
    state.counters["edges"] = edges;
    state.counters["edges/s"] = edges / median;
    state.counters["GFLOP/s"] = 1e-9 * work / median;
    state.counters["of_F"] = work / median / (peak * threads);
    state.counters["peak_MiB"] = peak_mib();
    state.SetLabel(images().name);
}

BENCHMARK(step)
    ->ArgNames({"network", "batch", "threads"})
    ->ArgsProduct({{0, 1, 2}, {1, 16, 128, 1024}, {1, 2}})
    ->UseManualTime()
    ->MinTime(1)
    ->Unit(benchmark::kMicrosecond);
// 1e4 to 1e8 edges
BENCHMARK(step)
    ->ArgNames({"network", "batch", "threads"})
    ->ArgsProduct({{60, 1500, 15000}, {128}, {1, 2}})
    ->UseManualTime()
    ->MinTime(1)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(step)
    ->ArgNames({"network", "batch", "threads"})
    ->ArgsProduct({{150000, 333000, 1500000}, {128}, {1, 2}})
    ->Iterations(5)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace espalier

BENCHMARK_MAIN();
