// What the benchmarks of whole training steps and epochs train: named networks on MNIST where it is found, else on
// random bytes of its shape.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "espalier/backend.hpp"
#include "espalier/dataset.hpp"
#include "espalier/initialize_network.hpp"
#include "host/models/mlp.hpp"

namespace espalier {

inline Split random_split(std::uint32_t count) {
    Split split;
    split.bytes.resize(std::size_t{count} * 784);
    split.labels.resize(count);
    const Stream stream{3, Purpose::synthetic, 0, count};
    for (std::size_t i = 0; i < split.bytes.size(); ++i) split.bytes[i] = static_cast<std::uint8_t>(stream.bits(i));
    for (std::uint32_t i = 0; i < count; ++i) split.labels[i] = split.bytes[std::size_t{i} * 784] % 10;
    return split;
}

inline const DataSet& images() {
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

/// 0: SparseNet 784-512-128-10, eps 11; 1: 784-1000-1000-1000-10; 2: 784-4000-1000-4000-10, both eps 20; any other
/// number is the width w of 784-w-w-w-10, eps 12: about 60 w edges in its sparse layers.
inline Experiment experiment_of(std::int64_t network) {
    Experiment experiment;
    if (network == 1) experiment.layers = {784, 1000, 1000, 1000, 10};
    if (network == 2) experiment.layers = {784, 4000, 1000, 4000, 10};
    if (network > 2) {
        const auto width = static_cast<Index>(network);
        experiment.layers = {784, width, width, width, 10};
    }
    experiment.epsilon = network == 0 ? 11 : network <= 2 ? 20 : 12;
    return experiment;
}

/// The numbers of a training epoch's useful work: 2 for a multiply-add; the first layer needs no input gradient.
inline double flops_per_sample(const Network& network) {
    double flops = 0;
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
        flops += (l == 0 ? 4.0 : 6.0) * static_cast<double>(network.layers[l].num_weights());
    }
    return flops;
}

/// A perceptron with its data and an epoch's scalars on a backend.
struct TrainingSetup {
    std::unique_ptr<Backend> backend;
    Experiment experiment;
    Network network;
    UploadedSplit train, test;
    Mlp perceptron;
    std::uint32_t steps;
    Buffer<StepScalars> scalars;
    std::uint32_t epoch = 0;

    TrainingSetup(std::unique_ptr<Backend> on, const Experiment& what)
        : backend(std::move(on)),
          experiment(what),
          network(initialize_network(experiment)),
          train(*backend, images(), images().train),
          test(*backend, images(), images().test),
          perceptron(*backend, experiment, network),
          steps((train.samples().count + experiment.batch - 1) / experiment.batch),
          scalars(*backend, steps) {}

    void begin_epoch() {
        std::vector<StepScalars> now(steps);
        for (std::uint32_t s = 0; s < steps; ++s) {
            now[s] = {update_step(experiment.optimizer, Coupled{}, 0.01, 0, s + 1), epoch, epoch * steps + s};
        }
        scalars.upload(now.data());
        ++epoch;
    }
    /// Enqueues one step of the epoch.
    void train_step(std::uint32_t step) {
        const std::uint32_t first = step * experiment.batch;
        perceptron.train_step(train.samples(), first, std::min<Index>(experiment.batch, train.samples().count - first),
                              scalars.data() + step);
    }
    /// Trains an epoch; the mean loss.
    double train_epoch() {
        begin_epoch();
        for (std::uint32_t s = 0; s < steps; ++s) train_step(s);
        const Metrics metrics = backend->metrics();
        return metrics.batch_loss_sum / static_cast<double>(metrics.batches);
    }
};

}  // namespace espalier
