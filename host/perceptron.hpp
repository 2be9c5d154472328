// A multi-layer perceptron on a backend: its layers, the activations between them, and the verbs of a training and of
// a test step. Knows nothing of epochs, evolution or files.
#pragma once

#include <memory>
#include <vector>

#include "espalier/backend.hpp"
#include "espalier/experiment.hpp"
#include "espalier/layer.hpp"

namespace espalier {

/// Small batches waste lanes of a tile; tests are free to use larger ones.
constexpr Index least_test_batch = 128;

class Perceptron {
public:
    /// Loads `network`; batches may have up to max(experiment.batch, test_batch()) samples.
    Perceptron(Backend& backend, const Experiment& experiment, const Network& network);

    /// Samples per test batch.
    [[nodiscard]] Index test_batch() const;

    /// From now on layer l reads its scalars `stride` * l behind `now`; 0, at first: all read the same.
    void set_scalars_stride(std::size_t stride) { scalars_stride_ = stride; }
    /// Enqueues forward, loss, backward and update on `size` samples from position `first` of the epoch's order.
    void train_step(const Samples& samples, std::uint32_t first, Index size, const StepScalars* now);
    /// Enqueues forward and loss over all samples.
    void test(const Samples& samples);

    [[nodiscard]] std::size_t num_layers() const { return layers_.size(); }
    [[nodiscard]] bool is_sparse(std::size_t layer) const { return sparse_[layer]; }
    [[nodiscard]] DeviceLayer& layer(std::size_t index) { return *layers_[index]; }
    /// The network at rest; waits.
    [[nodiscard]] Network store();

private:
    struct Between {  // what a layer puts out
        Buffer<float> output, saved, gradient;
    };
    [[nodiscard]] Activations view(const Buffer<float>& buffer, std::size_t widths_index, Index batch) const;

    Backend& backend_;
    std::vector<Index> widths_;
    Loss loss_;
    float dropout_;
    std::uint64_t seed_;
    Index train_batch_;
    std::size_t scalars_stride_ = 0;
    std::vector<std::unique_ptr<DeviceLayer>> layers_;
    std::vector<bool> sparse_;
    Buffer<float> input_;
    Buffer<std::int32_t> labels_;
    std::vector<Between> between_;
};

}  // namespace espalier
