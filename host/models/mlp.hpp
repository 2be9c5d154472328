// A multi-layer perceptron on a backend: its layers, the activations between them, and the verbs of a training and of
// a test step.
#pragma once

#include <vector>

#include "espalier/model.hpp"

namespace espalier {

/// Whether what the derivative is made of needs memory beside the output: where it is no output, and where dropout
/// changes the output. (Of ReLU only the sign counts, and a dropped unit's gradient is 0 either way.)
bool saves_apart(const Activation& activation, bool drops);

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

private:
    struct Between {  // what a layer puts out
        Buffer<float> output, saved, gradient;
        Buffer<std::uint64_t> mask;  // of dropout
    };
    [[nodiscard]] Activations view(const Buffer<float>& buffer, std::size_t widths_index, Index batch) const;

    /// Where evaluate() leaves the outputs of the batch that begins with sample `first`.
    [[nodiscard]] Activations outputs_of(std::uint32_t first, Index size) const;

    std::vector<Index> widths_;
    Loss loss_;
    float dropout_;
    std::uint64_t seed_;
    Buffer<float> input_;
    Buffer<std::int32_t> labels_;
    std::vector<Between> between_;
    Buffer<float> kept_;  // outputs of one test batch after the other; empty: not kept
};

}  // namespace espalier
