// The checks of the seam: what every verb wants of its arguments, whatever the backend.
#include "espalier/backend.hpp"

#include "espalier/error.hpp"

namespace espalier {
namespace {

bool same_shape(ConstActivations a, ConstActivations b) {
    return a.rows == b.rows && a.batch == b.batch && a.lanes == b.lanes;
}

void expect_states(const std::vector<std::vector<float>>& states, std::size_t num_states, std::size_t parameters) {
    expects(states.empty() || states.size() == num_states, "as many state arrays as the optimizer has");
    for (const auto& state : states) expects(state.size() == parameters, "state arrays of their parameters' shape");
}

void expect_consistent(const Layer& layer, const LayerUse& use) {
    const std::size_t outputs = layer.num_outputs;
    const std::size_t parameters = static_cast<std::size_t>(num_parameters(layer.activation)) * outputs;
    const auto states = static_cast<std::size_t>(num_states(use.optimizer));
    expects(layer.bias.size() == outputs, "a bias per output");
    expects(layer.activation_parameters.size() == parameters, "the activation's parameters per output");
    if (layer.topology) {
        expects(layer.topology->num_inputs == layer.num_inputs && layer.topology->num_outputs == layer.num_outputs &&
                    layer.topology->row_start.size() == outputs + 1,
                "a topology of the layer's shape");
        expects(layer.weights.size() == layer.topology->column.size(), "a weight per edge");
    } else {
        expects(layer.weights.size() == layer.num_inputs * outputs, "a weight per cell of a dense layer");
    }
    expect_states(layer.weight_state, states, layer.weights.size());
    expect_states(layer.bias_state, states, outputs);
    expect_states(layer.activation_state, states, parameters);
}

/// x and y of the layer's shape, of one batch and in tiles of the backend's.
void expect_tiles(const Backend& backend, const DeviceLayer& layer, ConstActivations x, ConstActivations y) {
    expects(x.rows == layer.num_inputs && y.rows == layer.num_outputs, "activations of the layer's shape");
    expects(x.lanes == backend.lanes() && y.lanes == backend.lanes(), "tiles of the backend's width");
    expects(x.batch == y.batch && x.batch > 0, "activations of one batch");
}

void expect_dropout(const Dropout& dropout) {
    expects(dropout.rate >= 0 && dropout.rate < 1, "a dropout rate in [0, 1)");
    expects(dropout.rate == 0 || dropout.step != nullptr, "the step of a dropout mask");
    expects(dropout.rate == 0 || dropout.mask != nullptr, "room for a dropout mask");
}

}  // namespace

std::unique_ptr<DeviceLayer> Backend::load(const Layer& layer, const LayerUse& use) {
    expect_consistent(layer, use);
    auto result = do_load(layer, use);
    result->has_input_gradient = use.needs_input_gradient;
    return result;
}

void Backend::gather(const Samples& samples, const BatchChoice& choice, Activations x, std::int32_t* labels,
                     const StepScalars* step) {
    expects(x.lanes == lanes() && x.batch > 0, "tiles of the backend's width");
    expects(choice.size == x.batch && x.rows == samples.features, "a buffer of the batch's and the samples' shape");
    expects(std::uint64_t{choice.first} + choice.size <= samples.count, "a batch within the samples");
    expects(step != nullptr || !choice.shuffled, "the epoch of a shuffled order");
    do_gather(samples, choice, x, labels, step);
}

void Backend::forward(const DeviceLayer& layer, ConstActivations x, Activations saved, Activations y,
                      const Dropout& dropout) {
    expect_tiles(*this, layer, x, y);
    expects(!saved || same_shape(saved, y), "saved of the shape of y");
    expect_dropout(dropout);
    if (dropout.rate == 0) return do_forward(layer, x, saved, y);
    do_forward_dropout(layer, x, saved, y, dropout);
}

void Backend::dropout(Activations values, float rate, std::uint64_t seed, std::uint32_t layer,
                      const StepScalars* step) {
    expects(values.lanes == lanes() && values.batch > 0, "tiles of the backend's width");
    expects(rate >= 0 && rate < 1, "a dropout rate in [0, 1)");
    expects(step != nullptr, "the step of a dropout mask");
    do_dropout(values, rate, seed, layer, step);
}

void Backend::loss(const Loss& loss, ConstActivations z, const std::int32_t* labels, Activations dz,
                   const float* class_weights, const float* targets) {
    expects(is_regression(loss) == (targets != nullptr), "targets for a regression, and for nothing else");
    expects(targets == nullptr || class_weights == nullptr, "class weights where there are classes");
    expects(z.lanes == lanes() && z.batch > 0, "tiles of the backend's width");
    expects(!dz || same_shape(dz, z), "dz of the shape of z");
    do_loss(loss, z, labels, dz, class_weights, targets);
}

void Backend::backward(DeviceLayer& layer, ConstActivations x, ConstActivations saved, Activations dy, Activations dx,
                       const StepScalars* step, const Dropout& dropout) {
    expect_tiles(*this, layer, x, dy);
    expects(same_shape(saved, dy), "saved of the shape of dy");
    expects(!dx || same_shape(dx, x), "dx of the shape of x");
    expects(!dx || layer.has_input_gradient, "a layer loaded with needs_input_gradient where dx is given");
    expects(step != nullptr, "the scalars of a step");
    expect_dropout(dropout);
    if (dropout.rate == 0) return do_backward(layer, x, saved, dy, dx, step);
    do_backward_dropout(layer, x, saved, dy, dx, step, dropout);
}

void Backend::differentiate(const DeviceLayer& layer, ConstActivations saved, Activations dy, Activations dx,
                            const Dropout& dropout) {
    expects(dy.rows == layer.num_outputs && dy.lanes == lanes() && dy.batch > 0, "gradients of the layer's outputs");
    expects(same_shape(saved, dy), "saved of the shape of dy");
    expects(!dx || (dx.rows == layer.num_inputs && dx.lanes == dy.lanes && dx.batch == dy.batch),
            "dx of the layer's inputs and the batch of dy");
    expects(!dx || layer.has_input_gradient, "a layer loaded with needs_input_gradient where dx is given");
    expect_dropout(dropout);
    if (dropout.rate > 0) do_dropout(dy, dropout.rate, dropout.seed, dropout.layer, dropout.step);
    do_differentiate(layer, saved, dy, dx);
}

void Backend::transposed(const DeviceLayer& layer, const DeviceLayer& offsets, ConstActivations y, Activations x) {
    expect_tiles(*this, layer, x, y);
    expects(!offsets.is_sparse && offsets.num_inputs == x.rows && offsets.num_outputs == 1,
            "dense offsets from the layer's inputs to 1");
    expects(layer.has_input_gradient, "a layer loaded with needs_input_gradient");
    do_transposed(layer, offsets, y, x);
}

void Backend::sample(const UnitDraw& draw, ConstActivations values, Activations means, Activations states,
                     const StepScalars* step) {
    expects(values.lanes == lanes() && values.batch > 0, "tiles of the backend's width");
    expects(!means || same_shape(means, values), "means of the shape of the values");
    expects(!states || same_shape(states, values), "states of the shape of the values");
    expects(step != nullptr || !states, "the step of drawn states");
    do_sample(draw, values, means, states, step);
}

void Backend::score_reconstruction(ConstActivations probabilities, ConstActivations data) {
    expects(data.lanes == lanes() && data.batch > 0, "tiles of the backend's width");
    expects(same_shape(probabilities, data), "probabilities of the data's shape");
    do_score_reconstruction(probabilities, data);
}

Pruned Backend::prune(DeviceLayer& layer, const Pruning& pruning) {
    expects(layer.is_sparse, "a sparse layer");
    expects(pruning.zeta >= 0 && pruning.zeta <= 1, "zeta in [0, 1]");
    expects(!layer.is_pruned, "regrow() or remove() after each prune()");
    const Pruned pruned = do_prune(layer, pruning);
    layer.is_pruned = true;
    return pruned;
}

Pruned Backend::prune_ends(DeviceLayer& layer, const DeadEnds& dead, Degrees& left) {
    expects(layer.is_sparse && layer.is_pruned, "a sparse layer after its prune()");
    expects(dead.inputs.empty() || dead.inputs.size() == layer.num_inputs, "an input's fate each");
    expects(dead.outputs.empty() || dead.outputs.size() == layer.num_outputs, "an output's fate each");
    return do_prune_ends(layer, dead, left);
}

std::uint32_t Backend::regrow(DeviceLayer& layer, const Regrowth& regrowth) {
    expects(layer.is_sparse, "a sparse layer");
    const Evidence& evidence = regrowth.evidence;
    expects(!probe_samples(regrowth.rule).has_value() || (evidence.x && evidence.dz), "evidence for a rule of gradients");
    if (evidence.x) expect_tiles(*this, layer, evidence.x, evidence.dz);
    const auto* gradient = std::get_if<GrowGradient>(&regrowth.rule);
    const bool by_output = gradient != nullptr && gradient->per_output;
    expects(!by_output || gradient->allow_removed, "cells just left for outputs that regrow what they lost");
    expects(!regrowth.count || (!by_output && regrowth.reset_state && name() == "cpu"),
            "a number of new edges where a layer may grow");
    const std::uint32_t grown = do_replace(layer, &regrowth);
    layer.is_pruned = false;
    return grown;
}

void Backend::remove(DeviceLayer& layer) {
    expects(layer.is_sparse, "a sparse layer");
    do_replace(layer, nullptr);
    layer.is_pruned = false;
}

Degrees Backend::degrees(const DeviceLayer& layer) {
    expects(layer.is_sparse, "a sparse layer");
    return do_degrees(layer);
}

}  // namespace espalier
