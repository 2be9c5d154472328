#include "host/models/mlp.hpp"

#include <algorithm>

namespace espalier {
bool saves_apart(const Activation& activation, bool drops) {
    return saves_input(activation) || (drops && !std::holds_alternative<Relu>(activation));
}

Mlp::Mlp(Backend& backend, const Experiment& experiment, const Network& network)
    : Model(backend, experiment),
      widths_(experiment.layers),
      loss_(experiment.loss),
      dropout_(static_cast<float>(experiment.dropout)),
      seed_(experiment.seed) {
    input_ = activations(widths_[0]);
    labels_ = Buffer<std::int32_t>(backend, Activations{nullptr, 1, test_batch(), backend.lanes()}.size());
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
        const Layer& layer = network.layers[l];
        load(layer, {l > 0, experiment.optimizer, experiment.spmm, experiment.batch});
        Between between;
        between.output = activations(layer.num_outputs);
        between.gradient = activations(layer.num_outputs);
        const bool drops = dropout_ > 0 && l + 1 < network.layers.size();
        if (saves_apart(layer.activation, drops)) between.saved = activations(layer.num_outputs);
        if (drops) {
            between.mask = Buffer<std::uint64_t>(
                backend, dropout_words({nullptr, layer.num_outputs, experiment.batch, backend.lanes()}));
        }
        between_.push_back(std::move(between));
    }
}

Activations Mlp::view(const Buffer<float>& buffer, std::size_t widths_index, Index batch) const {
    return {buffer.data(), widths_[widths_index], batch, backend().lanes()};
}

void Mlp::train_step(const Samples& samples, std::uint32_t first, Index size, const StepScalars* step) {
    const std::size_t last = num_layers() - 1;
    const auto input_of = [&](std::size_t l) {
        return l == 0 ? view(input_, 0, size) : view(between_[l - 1].output, l, size);
    };
    const auto saved_of = [&](std::size_t l) {
        const Between& between = between_[l];
        return view(between.saved.data() != nullptr ? between.saved : between.output, l + 1, size);
    };
    const auto dropout_of = [&](std::size_t l) {
        if (l == last) return Dropout{};
        return Dropout{dropout_, seed_, static_cast<std::uint32_t>(l), step, between_[l].mask.data()};
    };
    backend().gather(samples, {first, size, true, seed_}, input_of(0), labels_.data(), step);
    for (std::size_t l = 0; l <= last; ++l) {
        backend().forward(layer(l), input_of(l), saved_of(l), view(between_[l].output, l + 1, size), dropout_of(l));
    }
    backend().loss(loss_, view(between_[last].output, last + 1, size), labels_.data(),
                   view(between_[last].gradient, last + 1, size), class_weights(), samples.targets);
    for (std::size_t l = last + 1; l-- > 0;) {
        backend().backward(layer(l), input_of(l), saved_of(l), view(between_[l].gradient, l + 1, size),
                           l > 0 ? view(between_[l - 1].gradient, l, size) : Activations{},
                           step + scalars_stride() * l, dropout_of(l));
    }
}

void Mlp::evaluate(const Samples& samples) {
    for (std::uint32_t first = 0; first < samples.count; first += test_batch()) {
        const Index size = std::min(test_batch(), samples.count - first);
        backend().gather(samples, {first, size, false, seed_}, view(input_, 0, size), labels_.data(), nullptr);
        Activations input = view(input_, 0, size);
        for (std::size_t l = 0; l < num_layers(); ++l) {
            const bool last = l + 1 == num_layers();
            const Activations output = last ? outputs_of(first, size) : view(between_[l].output, l + 1, size);
            backend().forward(layer(l), input, {}, output);
            input = output;
        }
        if (kept_.data() != nullptr) backend().share_tiles(input);
        backend().loss(loss_, input, labels_.data(), {}, nullptr, samples.targets);
    }
}

Activations Mlp::outputs_of(std::uint32_t first, Index size) const {
    Activations outputs = view(between_.back().output, num_layers(), size);
    if (kept_.data() != nullptr) outputs.data = kept_.data() + first / test_batch() * between_.back().output.size();
    return outputs;
}

void Mlp::keep_outputs(std::uint32_t samples) {
    const std::size_t batches = (std::size_t{samples} + test_batch() - 1) / test_batch();
    kept_ = Buffer<float>(backend(), batches * between_.back().output.size());
}

std::vector<float> Mlp::kept_outputs(std::uint32_t samples) const {
    std::vector<float> tiles(kept_.size());
    kept_.download(tiles.data());
    std::vector<float> outputs;
    outputs.reserve(std::size_t{samples} * widths_.back());
    for (std::uint32_t s = 0; s < samples; ++s) {
        const std::size_t batch = s / test_batch();
        const Index size = std::min(test_batch(), samples - static_cast<Index>(batch) * test_batch());
        const ConstActivations z{tiles.data() + batch * between_.back().output.size(), widths_.back(), size,
                                 backend().lanes()};
        const Index place = s % test_batch();
        for (Index o = 0; o < z.rows; ++o) outputs.push_back(z.row(place / z.lanes, o)[place % z.lanes]);
    }
    return outputs;
}

}  // namespace espalier
