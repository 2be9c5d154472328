#include "host/models/model.hpp"

#include <algorithm>

#include "host/models/mlp.hpp"
#include "host/models/rbm.hpp"

namespace espalier {

Learner::Learner(Backend& backend, const Experiment& experiment)
    : backend_(backend), test_batch_(std::max(experiment.batch, least_test_batch)) {}

void Learner::load(const Layer& layer, const LayerUse& use) {
    layers_.push_back(backend_.load(layer, use));
    sparse_.push_back(layer.is_sparse());
}

Buffer<float> Learner::activations(Index rows) const {
    return {backend_, Activations{nullptr, rows, test_batch_, backend_.lanes()}.size()};
}

Network Learner::store() {
    Network network;
    for (const auto& layer : layers_) network.layers.push_back(backend_.store(*layer));
    return network;
}

std::unique_ptr<Learner> make_learner(Backend& backend, const Experiment& experiment, const Network& network) {
    if (experiment.model == ModelKind::rbm) return std::make_unique<Rbm>(backend, experiment, network);
    return std::make_unique<Perceptron>(backend, experiment, network);
}

}  // namespace espalier
