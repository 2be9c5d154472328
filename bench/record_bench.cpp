// What recording costs beside an epoch of SparseNet (784-512-128-10, eps 11): reading the network back, following its
// edges, counting its weights, writing all of a run folder's growing files. An iteration is one epoch's records, after
// a real evolution of every layer; the counter `of_epoch` is its share of a training epoch of 60,000 samples timed in
// the same process on one thread, the goal being below 0.05. Argument: epochs between two written records.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "espalier/error.hpp"
#include "host/bench/ceiling.hpp"
#include "host/options/config_text.hpp"
#include "host/cpu/cpu_backend.hpp"
#include "espalier/initialize_network.hpp"
#include "host/models/mlp.hpp"
#include "host/run/recorder.hpp"
#include "host/run/run_reader.hpp"
#include "host/run/topology_records.hpp"

namespace espalier {
namespace {

struct Folder {
    std::filesystem::path path;
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "espalier-bench-XXXXXX").string();
        expects(mkdtemp(name.data()) != nullptr, "a temporary folder");
        path = name;
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() { std::filesystem::remove_all(path); }
};

std::vector<std::uint8_t> random_bytes(std::size_t count) {
    std::vector<std::uint8_t> bytes(count);
    const Stream stream{3, Purpose::synthetic, 0, 0};
    for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::uint8_t>(stream.bits(i));
    return bytes;
}

/// Fastest of three training epochs, without tests and evolution.
double epoch_seconds(Backend& backend, Mlp& perceptron, const Experiment& experiment) {
    constexpr std::uint32_t count = 60000;
    const std::vector<std::uint8_t> images = random_bytes(std::size_t{count} * 784);
    std::vector<std::int32_t> classes(count);
    for (std::uint32_t i = 0; i < count; ++i) classes[i] = images[std::size_t{i} * 784] % 10;
    Buffer<std::uint8_t> bytes(backend, images.size());
    Buffer<std::int32_t> labels(backend, count);
    bytes.upload(images.data());
    labels.upload(classes.data());
    Samples samples;
    samples.bytes = bytes.data();
    samples.labels = labels.data();
    samples.count = count;
    samples.features = 784;
    samples.factor[0] = 1.0F / 255;
    const std::uint32_t steps = (count + experiment.batch - 1) / experiment.batch;
    std::vector<StepScalars> now(steps);
    for (std::uint32_t s = 0; s < steps; ++s)
        now[s] = {update_step(experiment.optimizer, Coupled{}, 0.01, 0, s + 1), 0, s};
    Buffer<StepScalars> scalars(backend, steps);
    scalars.upload(now.data());
    double fastest = 1e9;
    for (int round = 0; round < 3; ++round) {
        const double start = wall_seconds();
        for (std::uint32_t s = 0; s < steps; ++s) {
            const std::uint32_t first = s * experiment.batch;
            perceptron.train_step(samples, first, std::min(experiment.batch, count - first), scalars.data() + s);
        }
        static_cast<void>(backend.metrics());
        fastest = std::min(fastest, wall_seconds() - start);
    }
    return fastest;
}

void records(benchmark::State& state) {
    const auto backend = make_cpu_backend(1);
    Experiment experiment;
    experiment.epochs = 1000000;
    experiment.record_every = static_cast<std::uint32_t>(state.range(0));
    const Network network = initialize_network(experiment);
    Mlp perceptron(*backend, experiment, network);
    const double epoch_time = epoch_seconds(*backend, perceptron, experiment);
    const Folder folder;
    std::vector<RecordedLayer> layers;
    for (const Layer& layer : network.layers)
        layers.push_back({layer.num_inputs, layer.num_outputs, layer.is_sparse()});
    Recorder recorder(folder.path / "run", false, config_text(experiment), layers);
    const RecordPlan plan{experiment.record_every, experiment.epochs};
    TopologyRecords topology(recorder.folder(), perceptron.store(), plan);
    EpochRecord record;
    std::vector<double> seconds;
    for (auto each : state) {
        static_cast<void>(each);
        ++record.epoch;
        for (std::uint32_t l = 0; l < 2; ++l) {
            static_cast<void>(backend->prune(perceptron.layer(l), {PruneBySign{}, 0.3}));
            backend->regrow(perceptron.layer(l), {GrowRandom{}, HeNormal{}, true, {1, l, record.epoch}});
        }
        const double start = wall_seconds();
        if (is_recorded(record.epoch, plan.every, plan.epochs)) {
            for (std::size_t l = 0; l < 2; ++l) {
                const Degrees degrees = backend->degrees(perceptron.layer(l));
                recorder.degrees(l, degrees, degrees);
            }
        }
        recorder.epoch(record);
        topology.epoch(record.epoch, perceptron.store());
        seconds.push_back(wall_seconds() - start);
        state.SetIterationTime(seconds.back());
    }
    topology.finish();
    const RunFolder run = read_run_folder(recorder.folder());
    const auto recorded = recorded_epochs(record.epoch, plan.every, plan.epochs);
    if (run.edges.at("epoch").size() != 2 * recorded.size() || run.weights[0].counts.size() != recorded.size() + 1 ||
        run.connections()->at(recorded.size()) != backend->degrees(perceptron.layer(0)).inputs) {
        return state.SkipWithError("the records are not what was given");
    }
    std::sort(seconds.begin(), seconds.end());
    state.counters["median_s"] = seconds[seconds.size() / 2];
    state.counters["epoch_s"] = epoch_time;
    state.counters["of_epoch"] = seconds[seconds.size() / 2] / epoch_time;
}

BENCHMARK(records)->ArgName("every")->Arg(1)->Arg(10)->Iterations(200)->UseManualTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace espalier

BENCHMARK_MAIN();
