// Whole training epochs and test passes, everything included (shuffle, gather from bytes, all layers, update, metrics),
// on MNIST where it is found, else on random bytes of its shape. Arguments: network (bench/training_setup.hpp) and
// threads.
// An iteration is an epoch. Counters: fastest and median epoch, processor seconds of an epoch (all threads together),
// the fastest as a fraction of the FMA peak measured beside it, the fastest test pass; the last training loss shows
// that work was done.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "bench/training_setup.hpp"
#include "host/bench/ceiling.hpp"
#include "host/cpu/cpu_backend.hpp"

namespace espalier {
namespace {

void epoch(benchmark::State& state) {
    const auto threads = static_cast<int>(state.range(1));
    TrainingSetup setup(make_cpu_backend(threads), experiment_of(state.range(0)));
    setup.train_epoch();
    std::vector<double> seconds;
    double loss = 0, processor = 0, peak = 0, test = 1e9;
    for (auto each : state) {
        static_cast<void>(each);
        const double wall = wall_seconds();
        const double used = process_seconds();
        loss = setup.train_epoch();
        seconds.push_back(wall_seconds() - wall);
        processor += process_seconds() - used;
        state.SetIterationTime(seconds.back());
        const double start = wall_seconds();
        setup.perceptron.evaluate(setup.test.samples());
        static_cast<void>(setup.backend->metrics());
        test = std::min(test, wall_seconds() - start);
        peak = std::max(peak, fma_peak(0.01));
    }
    if (!std::isfinite(loss)) return state.SkipWithError("the loss is not finite");
    std::sort(seconds.begin(), seconds.end());
    const double work = flops_per_sample(setup.network) * static_cast<double>(setup.train.samples().count);
    state.counters["fastest_s"] = seconds.front();
    state.counters["median_s"] = seconds[seconds.size() / 2];
    state.counters["processor_s"] = processor / static_cast<double>(seconds.size());
    state.counters["GFLOP"] = 1e-9 * work;
    state.counters["F_GFLOP/s"] = 1e-9 * peak * threads;
    state.counters["of_F"] = work / seconds.front() / (peak * threads);
    state.counters["test_s"] = test;
    state.counters["loss"] = loss;
    state.SetLabel(images().name);
}

BENCHMARK(epoch)
    ->ArgNames({"network", "threads"})
    ->ArgsProduct({{0}, {1, 2}})
    ->Iterations(10)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(epoch)
    ->ArgNames({"network", "threads"})
    ->ArgsProduct({{1, 2}, {1, 2}})
    ->Iterations(3)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace espalier

BENCHMARK_MAIN();
