#include "espalier/predictions.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "espalier/error.hpp"
#include "espalier/model.hpp"

namespace espalier {
namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// One sample's outputs, `stride` floats apart, as probabilities.
void write_probabilities(const Loss& loss, const float* z, std::size_t stride, Index outputs, float* probabilities) {
    if (std::visit([](const auto& rule) { return requires { rule.sigmoid_outputs; }; }, loss)) {
        for (Index c = 0; c < outputs; ++c) probabilities[c] = Sigmoid{}.value(z[c * stride]);
        return;
    }
    double highest = z[0];
    for (Index c = 1; c < outputs; ++c) highest = std::max(highest, static_cast<double>(z[c * stride]));
    double sum = 0;
    for (Index c = 0; c < outputs; ++c) sum += std::exp(static_cast<double>(z[c * stride]) - highest);
    for (Index c = 0; c < outputs; ++c) {
        probabilities[c] = static_cast<float>(std::exp(static_cast<double>(z[c * stride]) - highest) / sum);
    }
}

/// The layers of a perceptron on a backend, for one batch at a time.
class ForwardPass {
public:
    ForwardPass(Backend& backend, const Experiment& experiment, const Network& network, Index batch)
        : backend_(backend),
          batch_(batch),
          scale_(test_scale(experiment)),
          labels_(backend, ConstActivations{nullptr, 1, batch, backend.lanes()}.size()) {
        buffers_.push_back(buffer(network.layers.front().num_inputs));
        widths_.push_back(network.layers.front().num_inputs);
        for (const Layer& layer : network.layers) {
            layers_.push_back(
                backend.load(layer, {!layers_.empty(), experiment.optimizer, experiment.spmm, experiment.batch}));
            buffers_.push_back(buffer(layer.num_outputs));
            widths_.push_back(layer.num_outputs);
        }
        host_.resize(buffers_.back().size());
    }

    /// The outputs of `size` samples from `first` on, in host memory.
    ConstActivations outputs(const Samples& samples, std::uint32_t first, Index size) {
        const auto view = [&](std::size_t l) {
            return Activations{buffers_[l].data(), widths_[l], size, backend_.lanes()};
        };
        backend_.gather(samples, {first, size, false, 0}, view(0), labels_.data(), nullptr);
        for (std::size_t l = 0; l < layers_.size(); ++l) {
            backend_.forward(*layers_[l], view(l), {}, view(l + 1));
            if (l > 0 && scale_ != 1) scale(backend_, view(l + 1), scale_);
        }
        buffers_.back().download(host_.data());
        return {host_.data(), widths_.back(), size, backend_.lanes()};
    }

private:
    Buffer<float> buffer(Index rows) const {
        return {backend_, Activations{nullptr, rows, batch_, backend_.lanes()}.size()};
    }

    Backend& backend_;
    Index batch_;
    float scale_;  // of the outputs of all layers but the first
    std::vector<std::unique_ptr<DeviceLayer>> layers_;
    std::vector<Buffer<float>> buffers_;  // of the samples, then of each layer's outputs
    std::vector<Index> widths_;
    Buffer<std::int32_t> labels_;
    std::vector<float> host_;
};

nlohmann::ordered_json number_or_null(double value) {
    return std::isnan(value) ? nlohmann::ordered_json() : nlohmann::ordered_json(value);
}

std::string percent(double value) {
    if (std::isnan(value)) return "-";
    char text[32];
    std::snprintf(text, sizeof text, "%.2f %%", 100 * value);
    return text;
}

/// Characters, not bytes.
std::size_t width_of(const std::string& text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char each) { return (each & 0xc0) != 0x80; }));
}

/// The first column to the left, all others to the right.
std::string aligned(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths(rows.front().size(), 0);
    for (const auto& row : rows) {
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
    }
    std::string text;
    for (const auto& row : rows) {
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::string blanks(widths[i] - width_of(row[i]), ' ');
            text += (i == 0 ? "" : "  ") + (i == 0 ? row[i] + blanks : blanks + row[i]);
        }
        text += '\n';
    }
    return text;
}

}  // namespace

Evaluation evaluate(Backend& backend, const Experiment& experiment, const Network& network, const DataSet& data,
                    const Split& split) {
    const UploadedSplit uploaded(backend, data, split);
    expects(is_regression(experiment.loss) == (data.targets() > 0), "targets for a regression, and for nothing else");
    const auto model = make_model(backend, experiment, network);
    model->evaluate(uploaded.samples());
    const Metrics metrics = backend.metrics();
    const auto samples = static_cast<double>(metrics.samples);
    const double answers = samples * model->answers_per_sample();
    return {metrics.sample_loss_sum / samples,
            is_regression(experiment.loss) ? not_a_number : static_cast<double>(metrics.correct) / answers,
            metrics.samples};
}

namespace {

/// Classes and probabilities of a batch's outputs z, whose first sample is number `first`.
void add_classes(const Loss& loss, ConstActivations z, std::size_t first, Predictions& predictions) {
    for (Index s = 0; s < z.batch; ++s) {
        const float* values = z.row(s / z.lanes, 0) + s % z.lanes;
        Index best = 0;
        for (Index c = 1; c < z.rows; ++c) {
            if (values[std::size_t{c} * z.lanes] > values[std::size_t{best} * z.lanes]) best = c;
        }
        predictions.classes[first + s] = static_cast<std::int32_t>(best);
        write_probabilities(loss, values, z.lanes, z.rows, predictions.probabilities.data() + (first + s) * z.rows);
    }
}

}  // namespace

Predictions predict(Backend& backend, const Experiment& experiment, const Network& network, const DataSet& data,
                    const Split& split) {
    Predictions predictions;
    predictions.outputs = network.layers.back().num_outputs;
    if (split.count() == 0) return predictions;
    const bool regression = is_regression(experiment.loss);
    expects(!regression || data.targets() == predictions.outputs, "an output for each target");
    const UploadedSplit uploaded(backend, data, split);
    const Index batch = std::min(split.count(), std::max(experiment.batch, min_test_batch));
    ForwardPass pass(backend, experiment, network, batch);
    const std::size_t outputs = std::size_t{split.count()} * predictions.outputs;
    if (!regression) {
        predictions.probabilities.resize(outputs);
        predictions.classes.resize(split.count());
    }
    std::vector<float> values;
    for (std::uint32_t first = 0; first < split.count(); first += batch) {
        const ConstActivations z = pass.outputs(uploaded.samples(), first, std::min(batch, split.count() - first));
        if (!regression) {
            add_classes(experiment.loss, z, first, predictions);
            continue;
        }
        for (Index s = 0; s < z.batch; ++s) {
            for (Index o = 0; o < z.rows; ++o) values.push_back(z.row(s / z.lanes, o)[s % z.lanes]);
        }
    }
    if (regression) predictions.values = in_target_units(values, data);
    return predictions;
}

double ClassFigures::precision(std::size_t label) const {
    return predicted[label] == 0 ? not_a_number
                                 : static_cast<double>(right[label]) / static_cast<double>(predicted[label]);
}

double ClassFigures::recall(std::size_t label) const {
    return samples[label] == 0 ? not_a_number
                               : static_cast<double>(right[label]) / static_cast<double>(samples[label]);
}

double ClassFigures::f1(std::size_t label) const {
    const std::uint64_t all = samples[label] + predicted[label];
    return all == 0 ? not_a_number : 2 * static_cast<double>(right[label]) / static_cast<double>(all);
}

double ClassFigures::mean_of(double (ClassFigures::*figure)(std::size_t) const) const {
    double sum = 0;
    std::size_t count = 0;
    for (std::size_t c = 0; c < names.size(); ++c) {
        if (samples[c] == 0) continue;
        sum += (this->*figure)(c);
        ++count;
    }
    return count == 0 ? not_a_number : sum / static_cast<double>(count);
}

double ClassFigures::balanced_accuracy() const { return mean_of(&ClassFigures::recall); }

double ClassFigures::macro_f1() const { return mean_of(&ClassFigures::f1); }

ClassFigures class_figures(const Predictions& predictions, const std::vector<std::int32_t>& labels,
                           const std::vector<std::string>& class_names) {
    expects(labels.size() == predictions.classes.size(), "a label for each prediction");
    std::size_t count = class_names.size();
    for (const auto* each : {&labels, &predictions.classes}) {
        for (const std::int32_t c : *each) count = std::max(count, static_cast<std::size_t>(c) + 1);
    }
    ClassFigures figures;
    for (std::size_t c = 0; c < count; ++c) {
        figures.names.push_back(c < class_names.size() ? class_names[c] : std::to_string(c));
    }
    for (auto* each : {&figures.samples, &figures.predicted, &figures.right}) each->assign(count, 0);
    const bool matrix = count <= max_confusion_classes;
    if (matrix) figures.confusion.assign(count, std::vector<std::uint64_t>(count, 0));
    for (std::size_t i = 0; i < labels.size(); ++i) {
        const auto label = static_cast<std::size_t>(labels[i]);
        const auto answer = static_cast<std::size_t>(predictions.classes[i]);
        ++figures.samples[label];
        ++figures.predicted[answer];
        figures.right[label] += label == answer ? 1 : 0;
        if (matrix) ++figures.confusion[label][answer];
    }
    return figures;
}

std::string class_figures_json(const ClassFigures& figures) {
    auto classes = nlohmann::ordered_json::array();
    for (std::size_t c = 0; c < figures.names.size(); ++c) {
        classes.push_back({{"class", figures.names[c]},
                           {"samples", figures.samples[c]},
                           {"precision", number_or_null(figures.precision(c))},
                           {"recall", number_or_null(figures.recall(c))},
                           {"f1", number_or_null(figures.f1(c))}});
    }
    nlohmann::ordered_json object{{"balanced_accuracy", number_or_null(figures.balanced_accuracy())},
                                  {"macro_f1", number_or_null(figures.macro_f1())},
                                  {"classes", std::move(classes)}};
    if (!figures.confusion.empty()) object["confusion"] = figures.confusion;
    return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string class_figures_table(const ClassFigures& figures) {
    constexpr std::size_t max_matrix = 20;
    const std::string means =
        "balanced accuracy " + percent(figures.balanced_accuracy()) + ", macro F1 " + percent(figures.macro_f1()) + "\n";
    if (figures.confusion.empty()) return means;
    std::vector<std::vector<std::string>> rows{{"class", "samples", "precision", "recall", "F1"}};
    for (std::size_t c = 0; c < figures.names.size(); ++c) {
        rows.push_back({figures.names[c], std::to_string(figures.samples[c]), percent(figures.precision(c)),
                        percent(figures.recall(c)), percent(figures.f1(c))});
    }
    std::string text = aligned(rows) + means;
    if (figures.names.size() > max_matrix) return text;
    rows = {{"label \\ answer"}};
    rows[0].insert(rows[0].end(), figures.names.begin(), figures.names.end());
    for (std::size_t c = 0; c < figures.names.size(); ++c) {
        rows.push_back({figures.names[c]});
        for (const std::uint64_t each : figures.confusion[c]) rows.back().push_back(std::to_string(each));
    }
    return text + "\n" + aligned(rows);
}

}  // namespace espalier
