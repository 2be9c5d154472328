// What options do not go together.
#include "espalier/error.hpp"
#include "espalier/options.hpp"
#include "host/options/density_options.hpp"
#include "host/options/option_kinds.hpp"
#include "host/options/program_options.hpp"

namespace espalier {
namespace {

using option_kinds::refuse;

void validate_rbm(const Experiment& experiment) {
    if (experiment.layers.size() != 2) {
        refuse("layers: a restricted Boltzmann machine has two widths, visible and hidden units, e.g. 784-500, not " +
               find_option("layers")->get(experiment));
    }
    if (experiment.dense_output) refuse("dense-output: a restricted Boltzmann machine has no output layer");
    if (experiment.dropout > 0) refuse("dropout: not used by restricted Boltzmann machines");
    if (!experiment.targets.empty()) refuse("targets: a restricted Boltzmann machine learns from samples alone");
    if (probe_samples(experiment.grow).has_value()) {
        refuse("grow: " + rule_text(experiment.grow) + " is not yet for restricted Boltzmann machines");
    }
    if (!experiment.class_weights.empty()) refuse("class-weights: a restricted Boltzmann machine knows no classes");
}

void validate_targets(const Experiment& experiment) {
    if (!experiment.targets.empty() && !is_regression(experiment.loss)) {
        refuse("loss: " + rule_text(experiment.loss) + " is for classes; real-valued targets (--targets) have squared-error");
    }
    if (is_regression(experiment.loss) && !experiment.class_weights.empty()) {
        refuse("class-weights: real-valued targets know no classes");
    }
}

}  // namespace

void validate(const Experiment& experiment) {
    if (experiment.model == ModelKind::rbm) {
        validate_rbm(experiment);
    } else if (experiment.init_from == init_from_data) {
        refuse(
            "init-from: only the visible biases of a restricted Boltzmann machine begin with the data (--model rbm)");
    }
    validate_targets(experiment);
    validate_density(experiment);
    validate_schedules(experiment);
    validate_dropout(experiment);
    const std::size_t factors = experiment.layer_decay.size();
    const bool is_rbm = experiment.model == ModelKind::rbm;
    const std::size_t expected = is_rbm ? 2 : experiment.layers.size() - 1;
    if (factors != 0 && factors != expected) {
        refuse("layer-decay: " + std::to_string(factors) + " factors for the " + std::to_string(expected) +
               (is_rbm ? " layers of an RBM (weights with the hidden biases, and the visible biases)"
                       : " layers of " + find_option("layers")->get(experiment)));
    }
}

}  // namespace espalier
