// A restricted Boltzmann machine of Bernoulli units on a backend, trained by contrastive divergence. Its network is a
// layer from the visible to the hidden units (linear: the backend's units turn fields into probabilities; the bias is
// the hidden units') and a dense layer from the visible units to 1 whose weights are the visible biases, so that
// energy(v, h) = -(layer 2)(v) - sum of h * (layer 1)(v). With persistent chains a third one, dense from the hidden
// units to as many outputs as there are chains, holds the chains' hidden states where weights would be.
// Both gradients are a backward pass over a batch of twice the samples: the data with the signals -p/B and the model's
// samples with +p/B. Sources: Hinton, "Training products of experts by minimizing contrastive divergence", 2002, and
// Tieleman, "Training restricted Boltzmann machines using approximations to the likelihood gradient", ICML 2008.
#pragma once

#include "espalier/model.hpp"

namespace espalier {

struct DataSet;

class Rbm final : public Model {
public:
    Rbm(Backend& backend, const Experiment& experiment, const Network& network);

    /// Enqueues the positive phase, the Gibbs steps and the update; the score is that of one reconstruction.
    void train_step(const Samples& samples, std::uint32_t first, Index size, const StepScalars* step) override;
    /// Enqueues the scores of mean-field reconstructions, sigmoid(W^T sigmoid(W v + c) + b): nothing is drawn.
    void evaluate(const Samples& samples) override;
    [[nodiscard]] Index answers_per_sample() const override { return num_visible_; }
    [[nodiscard]] Network store() override;

private:
    enum LayerNumber : std::size_t { hidden = 0, visible_bias = 1 };
    /// `batch` samples of one phase: the data's in the first half of a buffer, the model's behind them.
    [[nodiscard]] Activations view(const Buffer<float>& buffer, Index rows, Index batch, Index tiles_before = 0) const;
    [[nodiscard]] Index tiles(Index batch) const { return (batch + backend().lanes() - 1) / backend().lanes(); }
    void reconstruct(ConstActivations hidden_states, Activations visible);
    void update(Index size, Index chains, const StepScalars* step);

    Index num_visible_, num_hidden_;
    std::uint32_t steps_;
    bool persistent_;
    bool sample_data_;
    std::uint64_t seed_;
    Index num_chains_;
    Buffer<float> visible_;         // [2 halves][num_visible]
    Buffer<float> hidden_signal_;   // [2 halves][num_hidden]
    Buffer<float> visible_signal_;  // [2 halves][1]
    Buffer<float> visible_mean_, hidden_field_, hidden_state_;
    Buffer<float> chain_;  // persistent chains' hidden states
    Buffer<float> ones_;   // [1]
    Buffer<std::int32_t> labels_;
};

/// A machine at birth behind its first layer: visible biases 0 and, with persistent chains, hidden states by fair
/// coins.
void add_rbm_layers(const Experiment& experiment, Network& network);

/// Visible biases of a machine without edges that fits units of these means; `samples` smooths means of 0 and 1.
std::vector<double> base_biases(const std::vector<double>& means, double samples);

/// Gives a new machine the visible biases that would fit the training data if it had no edges: its edges need not learn
/// first which pixels are rarely on. Source: Hinton, "A practical guide to training restricted Boltzmann machines",
/// 2012, section 8.
void fit_visible_biases(const DataSet& data, Network& network);

/// Makes or drops the chains' layer of a loaded machine as the experiment wants it.
void fit_rbm_chains(const Experiment& experiment, Network& network);

/// Layers of an experiment's network that are no layers of its widths: a machine's behind the first.
std::size_t rbm_carriers(const Experiment& experiment);

/// What is wrong with a network as a machine of `experiment`'s widths, in words; empty if nothing is.
std::string rbm_fault(const Experiment& experiment, const Network& network);

/// Lets a network see the data as they are, units in [0, 1]: no normalisation. Throws UserError (data) naming the
/// first value outside.
void use_as_units(DataSet& data);

}  // namespace espalier
