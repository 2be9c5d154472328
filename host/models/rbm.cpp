#include "host/models/rbm.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "espalier/error.hpp"
#include "espalier/rule.hpp"
#include "espalier/dataset.hpp"
#include "host/data/pixel_statistics.hpp"

namespace espalier {
namespace {

/// The visible biases as a backend trains them.
Layer layer_of_biases(const NamedArray& biases) {
    Layer layer;
    layer.num_inputs = static_cast<Index>(biases.values.size());
    layer.num_outputs = 1;
    layer.activation = Identity{};
    layer.weights = biases.values;
    layer.bias = {0};  // of no use to anyone
    layer.weight_state = biases.state;
    layer.bias_state.assign(biases.state.size(), {0});
    return layer;
}

NamedArray visible_biases(Index num_visible) {
    return {visible_bias_array, {num_visible}, std::vector<float>(num_visible, 0.0F), {}};
}

NamedArray chains_of(Index num_chains, Index num_hidden) {
    return {chains_array, {num_chains, num_hidden}, std::vector<float>(std::size_t{num_chains} * num_hidden), {}};
}

/// What is wrong with one of a machine's arrays.
std::string array_fault(const Network& network, const std::string& name, const std::vector<std::uint64_t>& shape) {
    const auto text = [](const std::vector<std::uint64_t>& extents) {
        std::string written;
        for (const std::uint64_t each : extents) written += (written.empty() ? "" : " x ") + std::to_string(each);
        return written;
    };
    const NamedArray* array = network.array(name);
    if (array == nullptr) return "it has no array '" + name + "'";
    if (array->shape == shape) return {};
    return "its array '" + name + "' is " + text(array->shape) + ", the experiment's " + text(shape);
}

}  // namespace

Index rbm_model_tile(Index tiles, Index ranks) { return (std::bit_ceil(tiles) + ranks - 1) / ranks * ranks; }

Index rbm_gradient_batch(const Backend& backend, Index batch) {
    const Index tiles = (batch + backend.lanes() - 1) / backend.lanes();
    return rbm_model_tile(tiles, backend.ranks()) * backend.lanes() + batch;
}

Rbm::Rbm(Backend& backend, const Experiment& experiment, const Network& network)
    : Model(backend, experiment),
      num_visible_(experiment.layers.at(0)),
      num_hidden_(experiment.layers.at(1)),
      steps_(experiment.cd_steps),
      persistent_(experiment.persistent),
      sample_data_(experiment.sample_data),
      seed_(experiment.seed),
      num_chains_(experiment.batch) {
    expects(rbm_fault(experiment, network).empty(), "a machine of the experiment's shape");
    LayerUse use{true, experiment.optimizer, experiment.spmm, experiment.batch};
    use.gradient_batch = rbm_gradient_batch(backend, experiment.batch);
    load(network.layers[hidden], use);
    use.needs_input_gradient = false;
    load(layer_of_biases(*network.array(visible_bias_array)), use);
    const auto halves = [&](Index rows) {
        // zeros: the lanes behind the data's last sample are inside the batch of both halves
        const std::size_t held = std::size_t{model_tile(test_batch(), test_batch())} + tiles(test_batch());
        Buffer<float> buffer(backend, held * rows * backend.lanes());
        buffer.upload(std::vector<float>(buffer.size(), 0.0F).data());
        return buffer;
    };
    visible_ = halves(num_visible_);
    hidden_signal_ = halves(num_hidden_);
    visible_signal_ = halves(1);
    visible_mean_ = activations(num_visible_);
    hidden_field_ = activations(num_hidden_);
    hidden_state_ = activations(num_hidden_);
    ones_ = activations(1);
    ones_.upload(std::vector<float>(ones_.size(), 1.0F).data());
    labels_ = Buffer<std::int32_t>(backend, ones_.size());
    if (!persistent_) return;
    chain_ = activations(num_hidden_);
    std::vector<float> states(chain_.size(), 0.0F);
    const Activations chains{states.data(), num_hidden_, num_chains_, backend.lanes()};
    const std::vector<float>& stored = network.array(chains_array)->values;
    for (Index c = 0; c < num_chains_; ++c) {
        for (Index j = 0; j < num_hidden_; ++j) chains.at(j, c) = stored[std::size_t{c} * num_hidden_ + j];
    }
    chain_.upload(states.data());
}

Activations Rbm::view(const Buffer<float>& buffer, Index rows, Index batch, Index tiles_before) const {
    return {buffer.data() + std::size_t{tiles_before} * rows * backend().lanes(), rows, batch, backend().lanes()};
}

void Rbm::clear_gap(Index size, Index chains, const StepScalars* step) {
    const Index before = model_tile(size, chains);
    if (before == tiles(size)) return;
    const UnitDraw nothing{seed_, 0, false, 0};
    const auto clear = [&](const Buffer<float>& buffer, Index rows) {
        const Activations half = view(buffer, rows, before * backend().lanes());
        backend().sample(nothing, half, half, {}, step);
    };
    clear(visible_, num_visible_);
    clear(hidden_signal_, num_hidden_);
    clear(visible_signal_, 1);
}

void Rbm::share_state() {
    if (persistent_) backend().share_tiles(view(chain_, num_hidden_, num_chains_));
}

void Rbm::reconstruct(ConstActivations hidden_states, Activations visible) {
    backend().transposed(layer(hidden), layer(visible_bias), hidden_states, visible);
}

void Rbm::train_step(const Samples& samples, std::uint32_t first, Index size, const StepScalars* step) {
    const Index chains = persistent_ ? num_chains_ : size;
    const Index before = model_tile(size, chains);
    const Activations data = view(visible_, num_visible_, size);
    const Activations visible = view(visible_, num_visible_, chains, before);
    const Activations mean = view(visible_mean_, num_visible_, chains);
    const Activations field = view(hidden_field_, num_hidden_, chains);
    const Activations state = view(persistent_ ? chain_ : hidden_state_, num_hidden_, chains);
    UnitDraw draw{seed_, 0, false, 1};
    const auto next = [&](bool probabilities, float scale) {
        draw.probabilities = probabilities;
        draw.scale = scale;
        ++draw.number;
        return draw;
    };

    clear_gap(size, chains, step);
    backend().gather(samples, {first, size, true, seed_}, data, labels_.data(), step);
    if (sample_data_) backend().sample(next(true, 1), data, {}, data, step);
    const Activations data_field = view(hidden_field_, num_hidden_, size);
    const Activations data_state = view(hidden_state_, num_hidden_, size);
    backend().forward(layer(hidden), data, {}, data_field);
    backend().sample(next(false, -1.0F / static_cast<float>(size)), data_field, view(hidden_signal_, num_hidden_, size),
                     data_state, step);
    if (persistent_) {  // the chains do not come by a reconstruction of the data
        const Activations data_mean = view(visible_mean_, num_visible_, size);
        reconstruct(data_state, data_mean);
        backend().sample({seed_, 0, false, 1}, data_mean, data_mean, {}, step);
        backend().score_reconstruction(data_mean, data);
    }
    for (std::uint32_t k = 1; k <= steps_; ++k) {
        const bool scored = k == 1 && !persistent_;
        const bool last = k == steps_;
        reconstruct(state, mean);
        backend().sample(next(false, 1), mean, scored ? mean : Activations{}, visible, step);
        if (scored) backend().score_reconstruction(mean, data);
        backend().forward(layer(hidden), visible, {}, field);
        backend().sample(next(false, 1.0F / static_cast<float>(chains)), field,
                         last ? view(hidden_signal_, num_hidden_, chains, before) : Activations{},
                         last && !persistent_ ? Activations{} : state, step);
    }
    update(size, chains, step);
}

void Rbm::update(Index size, Index chains, const StepScalars* step) {
    const Index before = model_tile(size, chains);
    const Index both = before * backend().lanes() + chains;
    const Activations visible = view(visible_, num_visible_, both);
    const Activations hidden_signal = view(hidden_signal_, num_hidden_, both);
    backend().backward(layer(hidden), visible, hidden_signal, hidden_signal, {}, step);
    const UnitDraw data{seed_, 0, true, -1.0F / static_cast<float>(size)};
    const UnitDraw model{seed_, 0, true, 1.0F / static_cast<float>(chains)};
    backend().sample(data, view(ones_, 1, size), view(visible_signal_, 1, size), {}, step);
    backend().sample(model, view(ones_, 1, chains), view(visible_signal_, 1, chains, before), {}, step);
    const Activations visible_signal = view(visible_signal_, 1, both);
    backend().backward(layer(visible_bias), visible, visible_signal, visible_signal, {}, step + scalars_stride());
}

void Rbm::evaluate(const Samples& samples) {
    const UnitDraw means{seed_, 0, false, 1};
    for (std::uint32_t first = 0; first < samples.count; first += test_batch()) {
        const Index size = std::min(test_batch(), samples.count - first);
        const Activations data = view(visible_, num_visible_, size);
        const Activations field = view(hidden_field_, num_hidden_, size);
        const Activations mean = view(visible_mean_, num_visible_, size);
        backend().gather(samples, {first, size, false, seed_}, data, labels_.data(), nullptr);
        backend().forward(layer(hidden), data, {}, field);
        backend().sample(means, field, field, {}, nullptr);
        reconstruct(field, mean);
        backend().sample(means, mean, mean, {}, nullptr);
        backend().score_reconstruction(mean, data);
    }
}

Network Rbm::store() {
    Network network = Model::store();
    network.model = rbm_model;
    Layer& biases = network.layers.at(visible_bias);
    network.arrays.push_back(
        {visible_bias_array, {num_visible_}, std::move(biases.weights), std::move(biases.weight_state)});
    network.layers.resize(visible_bias);
    if (!persistent_) return network;
    std::vector<float> states(chain_.size());
    chain_.download(states.data());
    const Activations chains{states.data(), num_hidden_, num_chains_, backend().lanes()};
    std::vector<float>& stored = network.arrays.emplace_back(chains_of(num_chains_, num_hidden_)).values;
    for (Index c = 0; c < num_chains_; ++c) {
        for (Index j = 0; j < num_hidden_; ++j) stored[std::size_t{c} * num_hidden_ + j] = chains.at(j, c);
    }
    return network;
}

void add_rbm_arrays(const Experiment& experiment, Network& network) {
    network.model = rbm_model;
    network.arrays = {visible_biases(experiment.layers.at(0))};
    fit_rbm_chains(experiment, network);
}

std::vector<double> base_biases(const std::vector<double>& means, double samples) {
    std::vector<double> biases;
    for (const double mean : means) {
        const double smoothed = (mean * samples + 1) / (samples + 2);
        biases.push_back(std::log(smoothed / (1 - smoothed)));
    }
    return biases;
}

void fit_visible_biases(const DataSet& data, Network& network) {
    const std::vector<double> biases = base_biases(pixel_statistics(data).mean, data.train.count());
    NamedArray* array = network.array(visible_bias_array);
    expects(array != nullptr && array->values.size() == biases.size(), "a machine of the data's width");
    array->values.assign(biases.begin(), biases.end());
}

void fit_rbm_chains(const Experiment& experiment, Network& network) {
    const Index num_hidden = experiment.layers.at(1);
    if (experiment.persistent && array_fault(network, chains_array, {experiment.batch, num_hidden}).empty()) return;
    std::erase_if(network.arrays, [](const NamedArray& each) { return each.name == chains_array; });
    if (!experiment.persistent || network.model != rbm_model) return;
    NamedArray chains = chains_of(experiment.batch, num_hidden);
    const Stream stream{experiment.seed, Purpose::gibbs_start, 0, 0};
    for (std::size_t i = 0; i < chains.values.size(); ++i) {
        chains.values[i] = bernoulli(stream.bits(i), 0.5) ? 1.0F : 0.0F;
    }
    network.arrays.push_back(std::move(chains));
}

std::string rbm_fault(const Experiment& experiment, const Network& network) {
    const Index num_visible = experiment.layers.at(0);
    const Index num_hidden = experiment.layers.at(1);
    if (network.model != rbm_model) return "it is no restricted Boltzmann machine";
    if (network.layers.size() != 1) {
        return "it has " + std::to_string(network.layers.size()) + " layers, a machine has one";
    }
    const Layer& layer = network.layers[0];
    if (layer.num_inputs != num_visible || layer.num_outputs != num_hidden) {
        return "it goes from " + std::to_string(layer.num_inputs) + " to " + std::to_string(layer.num_outputs) +
               " units, the experiment's from " + std::to_string(num_visible) + " to " + std::to_string(num_hidden);
    }
    if (!std::holds_alternative<Identity>(layer.activation)) {
        return "its layer has the activation " + rule_text(layer.activation) + ", a machine's is linear";
    }
    std::string fault = array_fault(network, visible_bias_array, {num_visible});
    if (fault.empty() && experiment.persistent) {
        fault = array_fault(network, chains_array, {experiment.batch, num_hidden});
    }
    return fault;
}

void use_as_units(DataSet& data) {
    for (const auto& [split, name] : {std::pair{&data.train, "training"}, std::pair{&data.validation, "validation"},
                                      std::pair{&data.test, "test"}}) {
        for (std::size_t i = 0; i < split->floats.size(); ++i) {
            const double value = split->floats[i] * data.scale;
            if (value >= 0 && value <= 1) continue;
            throw UserError(ExitCode::data,
                            data.source + ": expected values in [0, 1], as the units of an RBM have, found " +
                                number_text(value) + " in " + name + " sample " + std::to_string(i / data.features()) +
                                ", feature " + std::to_string(i % data.features()) + "; rescale the data first");
        }
    }
    data.mean.assign(data.channels, 0.0);
    data.deviation.assign(data.channels, 1.0);
}

}  // namespace espalier
