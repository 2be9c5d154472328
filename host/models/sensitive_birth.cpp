#include "host/models/sensitive_birth.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

#include "espalier/common/evolve.hpp"
#include "espalier/error.hpp"
#include "espalier/initialize_network.hpp"
#include "host/models/birth_laws.hpp"

namespace espalier {
namespace {

/// Values of neurons, [neuron][sample].
struct NeuronValues {
    Index samples = 0;
    std::vector<float> values;

    NeuronValues(Index neurons, Index samples_) : samples(samples_), values(std::size_t{neurons} * samples_, 0.0F) {}
    [[nodiscard]] float* of(Index neuron) { return values.data() + std::size_t{neuron} * samples; }
    [[nodiscard]] const float* of(Index neuron) const { return values.data() + std::size_t{neuron} * samples; }
};

/// The cells of largest keys, of those that come in ascending order.
class LargestKeys {
public:
    explicit LargestKeys(Cell wanted) : wanted_(wanted) {}

    void add(std::uint32_t key, Cell cell) {
        if (key <= threshold_ || key > 0x7f800000U) return;  // an equal one came before; not NaN
        held_.push_back({key, cell});
        if (held_.size() >= 2 * wanted_ + 64) drop_others();
    }
    /// Ascending.
    [[nodiscard]] std::vector<Cell> cells() {
        drop_others();
        std::vector<Cell> result;
        for (const Ranked& each : held_) result.push_back(each.cell);
        std::sort(result.begin(), result.end());
        return result;
    }

private:
    struct Ranked {
        std::uint32_t key;
        Cell cell;
    };

    void drop_others() {
        if (held_.size() <= wanted_) return;
        if (wanted_ == 0) return held_.clear();
        const auto last = held_.begin() + static_cast<std::ptrdiff_t>(wanted_ - 1);
        std::nth_element(held_.begin(), last, held_.end(), [](const Ranked& a, const Ranked& b) {
            return a.key != b.key ? a.key > b.key : a.cell < b.cell;
        });
        threshold_ = last->key;
        held_.resize(wanted_);
    }

    Cell wanted_;
    std::vector<Ranked> held_;
    std::uint32_t threshold_ = 0;
};

/// Those, and as many of the other cells as are wanted besides, at random.
std::vector<Cell> with_random_others(const std::vector<Cell>& found, Cell wanted, Cell num_cells, const Stream& stream) {
    const auto count = static_cast<EdgeIndex>(found.size());
    std::vector<Cell> others(wanted - found.size());
    const auto more = static_cast<EdgeIndex>(others.size());
    if (more == 0) return found;
    draw_distinct(thrust::seq, num_cells - count, more, stream, others.data());
    complement<Cell, const Cell*>(thrust::seq, found.data(), count, others.data(), more, others.data());
    std::vector<Cell> all(wanted);
    std::merge(found.begin(), found.end(), others.begin(), others.end(), all.begin());
    return all;
}

/// The network with every cell, whose weights are drawn whenever they are looked at.
class FullNetwork {
public:
    FullNetwork(const Experiment& experiment, const DataSet& data)
        : experiment_(experiment), data_(data), samples_(sensitivity_samples(experiment, data.train.count())) {}

    std::vector<std::optional<Topology>> most_sensitive() {
        go_forward();
        const std::size_t layers = experiment_.layers.size() - 1;
        std::vector<std::optional<Topology>> topologies(layers);
        NeuronValues dz = loss_gradient();
        for (std::size_t l = layers; l-- > 0;) {
            NeuronValues dx(experiment_.layers[l], l > 0 ? samples_ : 0);
            topologies[l] = walk_back(l, dz, dx);
            if (l == 0) break;
            differentiate(l - 1, dx);
            dz = std::move(dx);
        }
        return topologies;
    }

private:
    [[nodiscard]] Index inputs(std::size_t layer) const { return experiment_.layers[layer]; }
    [[nodiscard]] Index outputs(std::size_t layer) const { return experiment_.layers[layer + 1]; }

    /// The weights of an output's cells.
    class Weights {
    public:
        Weights(const FullNetwork& network, std::size_t layer)
            : law_(birth_weights(network.experiment_, layer).weights),
              stream_{network.experiment_.seed, Purpose::initial_weight, static_cast<std::uint32_t>(layer), 0},
              row_(network.inputs(layer)) {}

        const std::vector<float>& of(Index output) {
            const auto num_inputs = static_cast<Index>(row_.size());
            std::visit(
                [&](const auto& rule) {
                    for (Index i = 0; i < num_inputs; ++i) {
                        row_[i] = rule(stream_.bits(Cell{output} * num_inputs + i), num_inputs);
                    }
                },
                law_);
            return row_;
        }

    private:
        WeightLaw law_;
        Stream stream_;
        std::vector<float> row_;
    };

    [[nodiscard]] std::uint32_t sample_at(Index place) const {
        const Permutation order(data_.train.count(), Stream{experiment_.seed, Purpose::probe, 0, ~std::uint32_t{0}});
        return static_cast<std::uint32_t>(order(place));
    }

    /// What the first layer sees.
    [[nodiscard]] NeuronValues first_inputs() const {
        const Index features = inputs(0);
        const bool by_channel = data_.mean.size() == data_.channels;
        NeuronValues x(features, samples_);
        for (Index s = 0; s < samples_; ++s) {
            const std::size_t row = std::size_t{sample_at(s)} * features;
            for (Index f = 0; f < features; ++f) {
                const std::size_t c = by_channel ? f / (features / data_.channels) : f;
                const double value =
                    data_.train.bytes.empty() ? static_cast<double>(data_.train.floats[row + f]) : data_.train.bytes[row + f];
                x.of(f)[s] = static_cast<float>((value * data_.scale - data_.mean[c]) / data_.deviation[c]);
            }
        }
        return x;
    }

    void go_forward() {
        inputs_.push_back(first_inputs());
        for (std::size_t l = 0; l + 1 < experiment_.layers.size(); ++l) {
            const NeuronValues& x = inputs_[l];
            NeuronValues z(outputs(l), samples_);
            Weights weights(*this, l);
            const Stream biases{experiment_.seed, Purpose::initial_bias, static_cast<std::uint32_t>(l), 0};
            const WeightLaw bias = birth_weights(experiment_, l).bias;
            for (Index o = 0; o < outputs(l); ++o) {
                const std::vector<float>& w = weights.of(o);
                float* const sum = z.of(o);
                const float first = std::visit([&](const auto& rule) { return rule(biases.bits(o), inputs(l)); }, bias);
                std::fill_n(sum, samples_, first);
                for (Index i = 0; i < inputs(l); ++i) {
                    const float* const values = x.of(i);
                    for (Index s = 0; s < samples_; ++s) sum[s] += w[i] * values[s];
                }
            }
            NeuronValues y = z;
            std::visit([&](const auto& rule) { for (float& value : y.values) value = rule.value(value); },
                       activation_of(experiment_, l));
            sums_.push_back(std::move(z));
            inputs_.push_back(std::move(y));
        }
    }

    /// Of the mean loss, by the last layer's preactivations.
    [[nodiscard]] NeuronValues loss_gradient() const {
        const Index count = experiment_.layers.back();
        const NeuronValues& z = sums_.back();
        NeuronValues dz(count, samples_);
        std::vector<float> targets;
        for (Index s = 0; s < samples_; ++s) {
            const std::uint32_t sample = sample_at(s);
            const bool classes = data_.targets() == 0;
            targets.clear();
            for (std::size_t t = 0; t < data_.targets(); ++t) {
                const double target = data_.train.targets[std::size_t{sample} * data_.targets() + t];
                targets.push_back(static_cast<float>((target - data_.target_mean[t]) / data_.target_deviation[t]));
            }
            const auto label = classes ? static_cast<Index>(data_.train.labels[sample]) : Index{0};
            std::visit(
                [&](const auto& rule) {
                    score_one(rule, z.values.data() + s, dz.values.data() + s, count, samples_, label,
                              1.0F / static_cast<float>(samples_), classes ? nullptr : targets.data());
                },
                experiment_.loss);
        }
        return dz;
    }

    /// From a layer's outputs to its preactivations.
    void differentiate(std::size_t layer, NeuronValues& gradient) const {
        std::visit(
            [&](const auto& rule) {
                const NeuronValues& from = rule.saves_input ? sums_[layer] : inputs_[layer + 1];
                for (std::size_t i = 0; i < gradient.values.size(); ++i) {
                    gradient.values[i] *= rule.derivative(from.values[i]);
                }
            },
            activation_of(experiment_, layer));
    }

    /// Adds the gradient by the layer's inputs to `dx`, unless that is empty; returns its most sensitive cells.
    std::optional<Topology> walk_back(std::size_t layer, const NeuronValues& dz, NeuronValues& dx) {
        const bool sparse = is_sparse_layer(experiment_, layer);
        const Cell wanted = initial_edge_count(experiment_, layer);
        const NeuronValues& x = inputs_[layer];
        Weights weights(*this, layer);
        LargestKeys best(sparse ? wanted : 0);
        for (Index o = 0; o < outputs(layer); ++o) {
            const std::vector<float>& w = weights.of(o);
            const float* const slope = dz.of(o);
            for (Index i = 0; i < inputs(layer); ++i) {
                const float* const values = x.of(i);
                double gradient = 0;
                for (Index s = 0; sparse && s < samples_; ++s) gradient += double{slope[s]} * values[s];
                const auto score = static_cast<float>(gradient * w[i]);
                if (sparse) best.add(std::bit_cast<std::uint32_t>(score) & 0x7fffffffU, Cell{o} * inputs(layer) + i);
                float* const back = dx.of(i);
                for (Index s = 0; s < dx.samples; ++s) back[s] += w[i] * slope[s];
            }
        }
        if (!sparse) return std::nullopt;
        const Stream stream{experiment_.seed, Purpose::topology, static_cast<std::uint32_t>(layer), 0};
        const Cell cells = Cell{inputs(layer)} * outputs(layer);
        return from_cells(inputs(layer), outputs(layer), with_random_others(best.cells(), wanted, cells, stream));
    }

    const Experiment& experiment_;
    const DataSet& data_;
    Index samples_;
    std::vector<NeuronValues> inputs_;  // of each layer, and the outputs of the last
    std::vector<NeuronValues> sums_;    // preactivations
};

}  // namespace

Index sensitivity_samples(const Experiment& experiment, std::uint32_t train_samples) {
    const auto& law = std::get<ConnectionSensitivity>(experiment.birth_law);
    if (law.samples == 0) return std::min<Index>(experiment.batch, train_samples);
    if (static_cast<std::uint32_t>(law.samples) > train_samples) {
        throw UserError(ExitCode::usage, "birth: " + rule_text(experiment.birth_law) + " wants " +
                                             std::to_string(law.samples) + " samples, the training set has " +
                                             std::to_string(train_samples));
    }
    return static_cast<Index>(law.samples);
}

std::vector<std::optional<Topology>> sensitive_topologies(const Experiment& experiment, const DataSet& data) {
    return FullNetwork(experiment, data).most_sensitive();
}

std::uint64_t sensitive_birth_bytes(const Experiment& experiment, std::uint32_t train_samples) {
    const std::uint64_t neurons = std::accumulate(experiment.layers.begin(), experiment.layers.end(), std::uint64_t{0});
    std::uint64_t edges = 0;
    for (std::size_t l = 0; l + 1 < experiment.layers.size(); ++l) {
        if (is_sparse_layer(experiment, l)) edges = std::max(edges, initial_edge_count(experiment, l));
    }
    // inputs, preactivations, gradients; a list of keys that grows by copying, then the cells
    return sizeof(float) * 3 * neurons * sensitivity_samples(experiment, train_samples) + 16 * 3 * edges;
}

}  // namespace espalier
