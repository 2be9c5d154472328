#include "host/models/mlp.hpp"

#include <algorithm>

#include "espalier/error.hpp"

namespace espalier {
bool saves_apart(const Activation& activation, bool drops, bool unmasked) {
    return saves_input(activation) || (drops && (unmasked || !std::holds_alternative<Relu>(activation)));
}

Mlp::Mlp(Backend& backend, const Experiment& experiment, const Network& network)
    : Model(backend, experiment),
      widths_(experiment.layers),
      loss_(experiment.loss),
      dropout_(static_cast<float>(experiment.dropout)),
      test_scale_(test_scale(experiment)),
      dropout_unmasked_(experiment.dropout_gradient == DropoutGradient::unmasked),
      seed_(experiment.seed) {
    for (const Layer& layer : network.layers) {
        load(layer, {num_layers() > 0, experiment.optimizer, experiment.spmm, experiment.batch});
        activations_.push_back(layer.activation);
    }
    training_ = make_pass(test_batch(), experiment.batch);
}

Mlp::Pass Mlp::make_pass(Index samples, Index trained) const {
    const auto array = [&](Index rows) {
        return Buffer<float>(backend(), Activations{nullptr, rows, samples, backend().lanes()}.size());
    };
    Pass pass;
    pass.samples = samples;
    pass.input = array(widths_[0]);
    pass.labels = Buffer<std::int32_t>(backend(), Activations{nullptr, 1, samples, backend().lanes()}.size());
    for (std::size_t l = 0; l < activations_.size(); ++l) {
        const Index outputs = widths_[l + 1];
        Between between;
        between.output = array(outputs);
        between.gradient = array(outputs);
        const bool drops = dropout_ > 0 && l + 1 < activations_.size();
        if (saves_apart(activations_[l], drops, dropout_unmasked_)) between.saved = array(outputs);
        if (drops) {
            between.mask = Buffer<std::uint64_t>(backend(),
                                                 dropout_words({nullptr, outputs, trained, backend().lanes()}));
        }
        pass.between.push_back(std::move(between));
    }
    return pass;
}

Activations Mlp::view(const Buffer<float>& buffer, std::size_t widths_index, Index batch) const {
    return {buffer.data(), widths_[widths_index], batch, backend().lanes()};
}

Activations Mlp::input_of(const Pass& pass, std::size_t layer, Index batch) const {
    return view(layer == 0 ? pass.input : pass.between[layer - 1].output, layer, batch);
}

Activations Mlp::saved_of(const Pass& pass, std::size_t layer, Index batch) const {
    const Between& between = pass.between[layer];
    return view(between.saved.data() != nullptr ? between.saved : between.output, layer + 1, batch);
}

Activations Mlp::gradient_of(const Pass& pass, std::size_t layer, Index batch) const {
    return view(pass.between[layer].gradient, layer + 1, batch);
}

Dropout Mlp::dropout_of(const Pass& pass, std::size_t layer, const StepScalars* step) const {
    if (dropout_ == 0 || layer + 1 == num_layers()) return {};
    return {dropout_, seed_, static_cast<std::uint32_t>(layer), step, pass.between[layer].mask.data()};
}

void Mlp::enqueue_loss(const Pass& pass, const Samples& samples, const BatchChoice& choice, const StepScalars* step) {
    const std::size_t last = num_layers() - 1;
    const Index size = choice.size;
    backend().gather(samples, choice, input_of(pass, 0, size), pass.labels.data(), step);
    for (std::size_t l = 0; l <= last; ++l) {
        const Activations output = view(pass.between[l].output, l + 1, size);
        backend().forward(layer(l), input_of(pass, l, size), saved_of(pass, l, size), output,
                          dropout_of(pass, l, step));
        if (l < last) undo_scale(output);
    }
    backend().loss(loss_, view(pass.between[last].output, last + 1, size), pass.labels.data(),
                   gradient_of(pass, last, size), class_weights(), samples.targets);
}

void Mlp::undo_scale(Activations values) {
    if (dropout_ > 0 && test_scale_ != 1) scale(backend(), values, test_scale_);
}

template <class Step>
void Mlp::walk_back(const Pass& pass, Index size, std::size_t first, const StepScalars* step, const Step& each) {
    const std::size_t last = num_layers() - 1;
    for (std::size_t l = last + 1; l-- > first;) {
        const Activations gradient = gradient_of(pass, l, size);
        const bool masked = l < last && !dropout_unmasked_;
        if (masked) undo_scale(gradient);
        each(l, gradient, l > first ? gradient_of(pass, l - 1, size) : Activations{},
             masked ? dropout_of(pass, l, step) : Dropout{});
    }
}

void Mlp::train_step(const Samples& samples, std::uint32_t first, Index size, const StepScalars* step) {
    enqueue_loss(training_, samples, {first, size, true, seed_}, step);
    walk_back(training_, size, 0, step,
              [&](std::size_t l, Activations gradient, Activations dx, const Dropout& dropout) {
                  backend().backward(layer(l), input_of(training_, l, size), saved_of(training_, l, size), gradient, dx,
                                     step + scalars_stride() * l, dropout);
              });
}

void Mlp::probe(const Samples& samples, Index size, std::uint32_t event) {
    if (probe_.samples < size) probe_ = make_pass(size, size);
    if (probe_step_.data() == nullptr) probe_step_ = Buffer<StepScalars>(backend(), 1);
    StepScalars scalars;
    scalars.epoch = scalars.step = event;  // of the order of the samples, and of dropout
    probe_step_.upload(&scalars);
    probe_size_ = size;
    enqueue_loss(probe_, samples, {0, size, true, seed_, Purpose::probe}, probe_step_.data());
    std::size_t first = 0;
    while (first + 1 < num_layers() && !is_sparse(first)) ++first;
    walk_back(probe_, size, first, probe_step_.data(),
              [&](std::size_t l, Activations gradient, Activations dx, const Dropout& dropout) {
                  backend().differentiate(layer(l), saved_of(probe_, l, size), gradient, dx, dropout);
              });
    for (std::size_t l = first; l < num_layers(); ++l) {
        backend().share_tiles(input_of(probe_, l, size));
        backend().share_tiles(gradient_of(probe_, l, size));
    }
    static_cast<void>(backend().metrics());  // its loss is no part of the training's
}

Evidence Mlp::evidence(std::size_t layer) const {
    expects(probe_size_ > 0, "a probe before its evidence");
    return {input_of(probe_, layer, probe_size_), gradient_of(probe_, layer, probe_size_)};
}

void Mlp::evaluate(const Samples& samples) {
    for (std::uint32_t first = 0; first < samples.count; first += test_batch()) {
        const Index size = std::min(test_batch(), samples.count - first);
        const Pass& pass = training_;
        backend().gather(samples, {first, size, false, seed_}, input_of(pass, 0, size), pass.labels.data(), nullptr);
        Activations input = input_of(pass, 0, size);
        for (std::size_t l = 0; l < num_layers(); ++l) {
            const bool last = l + 1 == num_layers();
            const Activations output = last ? outputs_of(first, size) : view(pass.between[l].output, l + 1, size);
            backend().forward(layer(l), input, {}, output);
            if (l > 0 && test_scale_ != 1) scale(backend(), output, test_scale_);
            input = output;
        }
        backend().loss(loss_, input, pass.labels.data(), {}, nullptr, samples.targets);
        if (kept_.data() != nullptr) backend().share_tiles(input);
    }
}

Activations Mlp::outputs_of(std::uint32_t first, Index size) const {
    Activations outputs = view(training_.between.back().output, num_layers(), size);
    if (kept_.data() != nullptr) outputs.data = kept_.data() + first / test_batch() * training_.between.back().output.size();
    return outputs;
}

void Mlp::keep_outputs(std::uint32_t samples) {
    const std::size_t batches = (std::size_t{samples} + test_batch() - 1) / test_batch();
    kept_ = Buffer<float>(backend(), batches * training_.between.back().output.size());
}

std::vector<float> Mlp::kept_outputs(std::uint32_t samples) const {
    std::vector<float> tiles(kept_.size());
    kept_.download(tiles.data());
    std::vector<float> outputs;
    outputs.reserve(std::size_t{samples} * widths_.back());
    for (std::uint32_t s = 0; s < samples; ++s) {
        const std::size_t batch = s / test_batch();
        const Index size = std::min(test_batch(), samples - static_cast<Index>(batch) * test_batch());
        const ConstActivations z{tiles.data() + batch * training_.between.back().output.size(), widths_.back(), size,
                                 backend().lanes()};
        const Index place = s % test_batch();
        for (Index o = 0; o < z.rows; ++o) outputs.push_back(z.row(place / z.lanes, o)[place % z.lanes]);
    }
    return outputs;
}

}  // namespace espalier
