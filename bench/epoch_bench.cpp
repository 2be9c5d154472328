// Whole training epochs and test passes, everything included (shuffle, gather from bytes, all layers, update, metrics),
// on MNIST where it is found, else on random bytes of its shape. Arguments: network (0: SparseNet 784-512-128-10,
// eps 11; 1: 784-1000-1000-1000-10; 2: 784-4000-1000-4000-10, both eps 20) and threads.
// An iteration is an epoch. Counters: fastest and median epoch, processor seconds of an epoch (all threads together),
// the fastest as a fraction of the FMA peak measured beside it, the fastest test pass; the last training loss shows
// that work was done.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "host/bench/ceiling.hpp"
#include "espalier/error.hpp"
#include "host/cpu/cpu_backend.hpp"
#include "host/data/dataset.hpp"
#include "host/network_birth.hpp"
#include "host/perceptron.hpp"

namespace espalier {
namespace {

Split random_split(std::uint32_t count) {
    Split split;
    split.bytes.resize(std::size_t{count} * 784);
    split.labels.resize(count);
    const Stream stream{3, Purpose::synthetic, 0, count};
    for (std::size_t i = 0; i < split.bytes.size(); ++i) split.bytes[i] = static_cast<std::uint8_t>(stream.bits(i));
    for (std::uint32_t i = 0; i < count; ++i) split.labels[i] = split.bytes[std::size_t{i} * 784] % 10;
    return split;
}

const DataSet& images() {
    static const DataSet data = [] {
        if (is_present("mnist", "")) return load_dataset("mnist", "");
        DataSet random;
        random.name = "random bytes";
        random.height = random.width = 28;
        random.classes = 10;
        random.scale = 1.0 / 255;
        random.mean = {0.5};
        random.deviation = {0.3};
        random.train = random_split(60000);
        random.test = random_split(10000);
        return random;
    }();
    return data;
}

Experiment experiment_of(std::int64_t network) {
    Experiment experiment;
    experiment.epsilon = network == 0 ? 11 : 20;
    experiment.layers = {784, 512, 128, 10};
    if (network == 1) experiment.layers = {784, 1000, 1000, 1000, 10};
    if (network == 2) experiment.layers = {784, 4000, 1000, 4000, 10};
    return experiment;
}

/// The numbers of a training epoch's useful work: 2 for a multiply-add; the first layer needs no input gradient.
double flops_per_sample(const Network& network) {
    double flops = 0;
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
        flops += (l == 0 ? 4.0 : 6.0) * static_cast<double>(network.layers[l].num_weights());
    }
    return flops;
}

/// A perceptron with its data and an epoch's scalars on a backend.
struct Setup {
    std::unique_ptr<Backend> backend;
    Experiment experiment;
    Network network;
    UploadedSplit train, test;
    Perceptron perceptron;
    std::uint32_t steps;
    Buffer<StepScalars> scalars;
    std::uint32_t epoch = 0;

    Setup(std::int64_t which, int threads)
        : backend(make_cpu_backend(threads)),
          experiment(experiment_of(which)),
          network(new_network(experiment)),
          train(*backend, images(), images().train),
          test(*backend, images(), images().test),
          perceptron(*backend, experiment, network),
          steps((train.samples().count + experiment.batch - 1) / experiment.batch),
          scalars(*backend, steps) {}

    /// Trains an epoch; the mean loss.
    double train_epoch() {
        std::vector<StepScalars> now(steps);
        for (std::uint32_t s = 0; s < steps; ++s) {
            now[s] = {update_step(experiment.optimizer, Coupled{}, 0.01, 0, s + 1), epoch, epoch * steps + s};
        }
        scalars.upload(now.data());
        ++epoch;
        const std::uint32_t count = train.samples().count;
        for (std::uint32_t s = 0; s < steps; ++s) {
            const std::uint32_t first = s * experiment.batch;
            perceptron.train_step(train.samples(), first, std::min(experiment.batch, count - first),
                                  scalars.data() + s);
        }
        const Metrics metrics = backend->metrics();
        return metrics.batch_loss_sum / static_cast<double>(metrics.batches);
    }
};

void epoch(benchmark::State& state) {
    const auto threads = static_cast<int>(state.range(1));
    Setup setup(state.range(0), threads);
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
        setup.perceptron.test(setup.test.samples());
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
