#include "espalier/model.hpp"

#include <algorithm>

#include "espalier/error.hpp"
#include "host/models/mlp.hpp"
#include "host/models/rbm.hpp"

namespace espalier {

float test_scale(const Experiment& experiment) {
    return experiment.dropout_scale == DropoutScale::test ? static_cast<float>(1 - experiment.dropout) : 1.0F;
}

void scale(Backend& backend, Activations values, float factor) {
    // the means of units whose values are their probabilities already
    backend.sample({0, 0, true, factor}, values, values, {}, nullptr);
}

Model::Model(Backend& backend, const Experiment& experiment)
    : backend_(backend), test_batch_(std::max(experiment.batch, min_test_batch)) {}

void Model::set_class_weights(const std::vector<float>& weights) {
    class_weights_ = Buffer<float>(backend_, weights.size());
    class_weights_.upload(weights.data());
}

void Model::load(const Layer& layer, const LayerUse& use) {
    layers_.push_back(backend_.load(layer, use));
    sparse_.push_back(layer.is_sparse());
}

void Model::keep_outputs(std::uint32_t /*samples*/) { expects(false, "a perceptron, whose outputs can be kept"); }

std::vector<float> Model::kept_outputs(std::uint32_t /*samples*/) const {
    expects(false, "a perceptron, whose outputs can be kept");
    return {};
}

Buffer<float> Model::activations(Index rows) const {
    return {backend_, Activations{nullptr, rows, test_batch_, backend_.lanes()}.size()};
}

void Model::probe(const Samples& /*samples*/, Index /*size*/, std::uint32_t /*event*/) {
    expects(false, "a model that gradients can be taken of");
}

Evidence Model::evidence(std::size_t /*layer*/) const { return {}; }

Network Model::store() {
    Network network;
    for (const auto& layer : layers_) network.layers.push_back(backend_.store(*layer));
    return network;
}

std::unique_ptr<Model> make_model(Backend& backend, const Experiment& experiment, const Network& network) {
    if (experiment.model == ModelKind::rbm) return std::make_unique<Rbm>(backend, experiment, network);
    return std::make_unique<Mlp>(backend, experiment, network);
}

}  // namespace espalier
