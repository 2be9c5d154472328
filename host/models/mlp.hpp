// A multi-layer perceptron on a backend: its layers, the activations between them, and the verbs of a training and of
// a test step.
#pragma once

#include <vector>

#include "espalier/model.hpp"

namespace espalier {

/// Whether what the derivative is made of needs memory beside the output: where it is no output, and where dropout
/// changes the output. (Of ReLU only the sign counts, and a dropped unit's gradient is 0 either way, unless it is
/// `unmasked`.)
bool saves_apart(const Activation& activation, bool drops, bool unmasked);

class Mlp final : public Model {
public:
    /// Loads `network`; batches may have up to max(experiment.batch, test_batch()) samples.
    Mlp(Backend& backend, const Experiment& experiment, const Network& network);

    /// Enqueues forward, loss, backward and update.
    void train_step(const Samples& samples, std::uint32_t first, Index size, const StepScalars* step) override;
    /// Enqueues forward and loss over all samples.
    void evaluate(const Samples& samples) override;
    [[nodiscard]] Index answers_per_sample() const override { return 1; }
    void keep_outputs(std::uint32_t samples) override;
    [[nodiscard]] std::vector<float> kept_outputs(std::uint32_t samples) const override;

    void probe(const Samples& samples, Index size, std::uint32_t event) override;
    [[nodiscard]] Evidence evidence(std::size_t layer) const override;

private:
    struct Between {  // what a layer puts out
        Buffer<float> output, saved, gradient;
        Buffer<std::uint64_t> mask;  // of dropout
    };
    /// The activations of a batch of up to so many samples, with dropout masks of up to `trained`.
    struct Pass {
        Index samples = 0;
        Buffer<float> input;
        Buffer<std::int32_t> labels;
        std::vector<Between> between;
    };
    [[nodiscard]] Pass make_pass(Index samples, Index trained) const;
    [[nodiscard]] Activations view(const Buffer<float>& buffer, std::size_t widths_index, Index batch) const;
    [[nodiscard]] Activations input_of(const Pass& pass, std::size_t layer, Index batch) const;
    [[nodiscard]] Activations saved_of(const Pass& pass, std::size_t layer, Index batch) const;
    [[nodiscard]] Activations gradient_of(const Pass& pass, std::size_t layer, Index batch) const;
    /// Of a layer's output in a step; none behind the last layer.
    [[nodiscard]] Dropout dropout_of(const Pass& pass, std::size_t layer, const StepScalars* step) const;
    /// Takes the scale of inverted dropout back where it is made up for at the test.
    void undo_scale(Activations values);
    /// Forward as in training, and the loss with its gradient by the outputs.
    void enqueue_loss(const Pass& pass, const Samples& samples, const BatchChoice& choice, const StepScalars* step);
    /// The way back: calls step(layer, gradient by the output, gradient by the input, dropout of the gradient) from the
    /// last layer to layer `first`, whose gradient by the input is empty.
    template <class Step>
    void walk_back(const Pass& pass, Index size, std::size_t first, const StepScalars* step, const Step& each);

    /// Where evaluate() leaves the outputs of the batch that begins with sample `first`.
    [[nodiscard]] Activations outputs_of(std::uint32_t first, Index size) const;

    std::vector<Index> widths_;
    std::vector<Activation> activations_;
    Loss loss_;
    float dropout_;
    float test_scale_;
    bool dropout_unmasked_;  // whether dropped outputs pass a gradient on
    std::uint64_t seed_;
    Pass training_;
    Buffer<float> kept_;  // outputs of one test batch after the other; empty: not kept
    // of the last probe
    Pass probe_;
    Buffer<StepScalars> probe_step_;
    Index probe_size_ = 0;
};

}  // namespace espalier
