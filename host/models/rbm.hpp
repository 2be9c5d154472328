// A restricted Boltzmann machine of Bernoulli units on a backend, trained by contrastive divergence. Its network is one
// layer from the visible to the hidden units (linear: the backend's units turn fields into probabilities; the bias c is
// the hidden units') and the array of the visible biases b, so that
//   energy(v, h) = -b.v - h.(W v + c);
// with persistent chains also the array of the chains' hidden states.
// Both gradients are a backward pass over a batch of twice the samples: the data with the signals -p/B and the model's
// samples with +p/B. Sources: Hinton, "Training products of experts by minimizing contrastive divergence", 2002, and
// Tieleman, "Training restricted Boltzmann machines using approximations to the likelihood gradient", ICML 2008.
#pragma once

#include <algorithm>

#include "espalier/model.hpp"

namespace espalier {

struct DataSet;

/// What a machine's network is called, and its arrays.
constexpr const char* rbm_model = "rbm";
constexpr const char* visible_bias_array = "visible_bias";  // [visible units], trained
constexpr const char* chains_array = "chains";              // [chains][hidden units], states 0 or 1

/// Where the model's half of a batch begins: a power of two, so that the tiles of a sample of the data and of one of the
/// model are added first, and a multiple of the ranks, so that they belong to the same one. Tiles of a phase: at most `tiles`.
Index rbm_model_tile(Index tiles, Index ranks);
/// Samples of its backward pass by so many of the data and as many of the model.
Index rbm_gradient_batch(const Backend& backend, Index batch);

class Rbm final : public Model {
public:
    Rbm(Backend& backend, const Experiment& experiment, const Network& network);

    /// Enqueues the positive phase, the Gibbs steps and the update; the score is that of one reconstruction.
    void train_step(const Samples& samples, std::uint32_t first, Index size, const StepScalars* step) override;
    void share_state() override;
    /// Enqueues the scores of mean-field reconstructions, sigmoid(W^T sigmoid(W v + c) + b): nothing is drawn.
    void evaluate(const Samples& samples) override;
    [[nodiscard]] Index answers_per_sample() const override { return num_visible_; }
    [[nodiscard]] Network store() override;

private:
    // On the backend the visible biases are the weights of a dense layer from the visible units to one output, so that
    // the verbs of any layer train them.
    enum LayerNumber : std::size_t { hidden = 0, visible_bias = 1 };
    /// `batch` samples of one phase: the data's in the first half of a buffer, the model's behind them.
    [[nodiscard]] Activations view(const Buffer<float>& buffer, Index rows, Index batch, Index tiles_before = 0) const;
    [[nodiscard]] Index tiles(Index batch) const { return (batch + backend().lanes() - 1) / backend().lanes(); }
    [[nodiscard]] Index model_tile(Index size, Index chains) const {
        return rbm_model_tile(std::max(tiles(size), tiles(chains)), backend().ranks());
    }
    /// Zeros where an earlier batch left something between the data's last tile and the model's first.
    void clear_gap(Index size, Index chains, const StepScalars* step);
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

/// What a new machine has besides its layer: visible biases 0 and, with persistent chains, hidden states by fair coins.
void add_rbm_arrays(const Experiment& experiment, Network& network);

/// Visible biases of a machine without edges that fits units of these means; `samples` smooths means of 0 and 1.
std::vector<double> base_biases(const std::vector<double>& means, double samples);

/// Gives a new machine the visible biases that would fit the training data if it had no edges: its edges need not learn
/// first which pixels are rarely on. Source: Hinton, "A practical guide to training restricted Boltzmann machines",
/// 2012, section 8.
void fit_visible_biases(const DataSet& data, Network& network);

/// Makes or drops the chains of a loaded machine as the experiment wants them.
void fit_rbm_chains(const Experiment& experiment, Network& network);

/// What is wrong with a network as a machine of `experiment`'s widths, in words; empty if nothing is.
std::string rbm_fault(const Experiment& experiment, const Network& network);

/// Lets a network see the data as they are, units in [0, 1]: no normalisation. Throws UserError (data) naming the
/// first value outside.
void use_as_units(DataSet& data);

}  // namespace espalier
