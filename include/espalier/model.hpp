// What the training loop trains: layers on a backend with the verbs of a training and of a test step. Knows nothing of
// epochs, evolution or files.
#pragma once

#include <memory>
#include <vector>

#include "espalier/backend.hpp"
#include "espalier/experiment.hpp"
#include "espalier/layer.hpp"

namespace espalier {

/// Small batches waste lanes of a tile; tests are free to use larger ones.
constexpr Index min_test_batch = 128;

class Model {
public:
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;
    virtual ~Model() = default;

    /// Enqueues one step on `size` samples from position `first` of the epoch's order: scores and updates.
    virtual void train_step(const Samples& samples, std::uint32_t first, Index size, const StepScalars* step) = 0;
    /// From step on layer l reads its scalars `stride` * l behind `step`; 0, at first: all read the same.
    void set_scalars_stride(std::size_t stride) { scalars_stride_ = stride; }
    /// From the next step on a sample's loss and gradient count as often as the weight of its class says; one weight
    /// for each output. Scores of evaluate() are not weighted.
    void set_class_weights(const std::vector<float>& weights);
    /// Enqueues, where several processes train, that each has the whole of what is kept from step to step.
    virtual void share_state() {}
    /// Enqueues the scores of all samples.
    virtual void evaluate(const Samples& samples) = 0;
    /// From now on evaluate() keeps the outputs of up to so many samples. Of perceptrons only.
    virtual void keep_outputs(std::uint32_t samples);
    /// The outputs of the last evaluate(), of `samples` samples: [samples][outputs]; waits.
    [[nodiscard]] virtual std::vector<float> kept_outputs(std::uint32_t samples) const;
    /// How many right or wrong answers the metrics count per sample: one class, or each of an RBM's visible units.
    [[nodiscard]] virtual Index answers_per_sample() const = 0;
    /// The network at rest; waits.
    [[nodiscard]] virtual Network store();

    [[nodiscard]] std::size_t num_layers() const { return layers_.size(); }
    [[nodiscard]] bool is_sparse(std::size_t layer) const { return sparse_[layer]; }
    [[nodiscard]] DeviceLayer& layer(std::size_t index) { return *layers_[index]; }
    /// Samples per test batch; no training batch is larger.
    [[nodiscard]] Index test_batch() const { return test_batch_; }

protected:
    Model(Backend& backend, const Experiment& experiment);

    [[nodiscard]] Backend& backend() const { return backend_; }
    [[nodiscard]] std::size_t scalars_stride() const { return scalars_stride_; }
    /// In the backend's memory; null where all classes count alike.
    [[nodiscard]] const float* class_weights() const { return class_weights_.data(); }
    void load(const Layer& layer, const LayerUse& use);
    /// Memory for activations of `rows` neurons, as large as the largest batch.
    [[nodiscard]] Buffer<float> activations(Index rows) const;

private:
    Backend& backend_;
    Index test_batch_;
    std::size_t scalars_stride_ = 0;
    Buffer<float> class_weights_;
    std::vector<std::unique_ptr<DeviceLayer>> layers_;
    std::vector<bool> sparse_;
};

/// The model of an experiment's kind. `network` must fit the experiment.
std::unique_ptr<Model> make_model(Backend& backend, const Experiment& experiment, const Network& network);

}  // namespace espalier
