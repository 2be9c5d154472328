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
    if (std::holds_alternative<ConnectionSensitivity>(experiment.birth_law)) {
        refuse("birth: " + rule_text(experiment.birth_law) + " is not yet for restricted Boltzmann machines");
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

void validate_percolation(const Experiment& experiment) {
    if (!experiment.percolate || !std::holds_alternative<ByChance>(experiment.cadence)) return;
    refuse("percolate: wants all layers to evolve together, not each " + rule_text(experiment.cadence));
}

/// One cut over all layers compares what only their magnitudes tell.
void validate_scope(const Experiment& experiment) {
    if (experiment.prune_scope == PruneScope::layer) return;
    if (!std::holds_alternative<PruneByMagnitude>(experiment.prune)) {
        refuse("prune-scope: network goes with --prune magnitude, not " + rule_text(experiment.prune));
    }
    if (std::holds_alternative<Constant>(experiment.edges_kept) && std::get<Constant>(experiment.edges_kept).value == 1) {
        refuse("prune-scope: network wants a schedule of edges kept, e.g. --edges-kept 'cubic(value=1,end=0.1)'");
    }
    if (std::holds_alternative<ByChance>(experiment.cadence)) {
        refuse("prune-scope: network wants all layers to evolve together, not each " + rule_text(experiment.cadence));
    }
}

/// What a growing rule of its own cannot tell.
void validate_growth(const Experiment& experiment) {
    const auto* gradient = std::get_if<GrowGradient>(&experiment.grow);
    if (gradient == nullptr || !gradient->per_output) return;
    if (gradient->candidates > 0) {
        refuse("grow: " + rule_text(experiment.grow) + ": per_output looks at every cell; take candidates=0");
    }
    if (!gradient->allow_removed) {
        refuse("grow: " + rule_text(experiment.grow) +
               ": an output may have no other free cells than those it lost; take allow_removed=1");
    }
}

void validate_redistribution(const Experiment& experiment) {
    const std::string name = find_option("redistribute")->get(experiment);
    if (experiment.redistribute == Redistribution::none) {
        if (experiment.room != default_room) refuse("room: needs --redistribute momentum, magnitude or survivors");
        return;
    }
    const auto sparse = [&] {
        std::size_t count = 0;
        for (std::size_t l = 0; l + 1 < experiment.layers.size(); ++l) count += is_sparse_layer(experiment, l) ? 1 : 0;
        return count;
    };
    if (experiment.model == ModelKind::rbm || sparse() < 2) {
        refuse("redistribute: " + name + " wants two sparse layers or more, between which edges move");
    }
    if (experiment.redistribute == Redistribution::momentum &&
        (num_states(experiment.optimizer) == 0 || std::holds_alternative<RmsProp>(experiment.optimizer))) {
        refuse("redistribute: momentum needs an optimizer that has one, not " + rule_text(experiment.optimizer));
    }
    if (!std::holds_alternative<Constant>(experiment.edges_kept) || std::get<Constant>(experiment.edges_kept).value != 1) {
        refuse("redistribute: " + name + " moves edges between layers, of each of which --edges-kept " +
               schedule_text(experiment.edges_kept) + " wants a number; give one of the two");
    }
    if (std::holds_alternative<ByChance>(experiment.cadence)) {
        refuse("redistribute: wants all layers to evolve together, not each " + rule_text(experiment.cadence));
    }
    if (experiment.reset_state == ResetState::none) {
        refuse("redistribute: a layer's additional edges replace none whose optimizer memory they could take; "
               "take --reset-state new");
    }
    if (const auto* gradient = std::get_if<GrowGradient>(&experiment.grow); gradient != nullptr && gradient->per_output) {
        refuse("redistribute: per_output grows in each output what it lost; give one of the two");
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
    validate_scope(experiment);
    validate_percolation(experiment);
    validate_density(experiment);
    if (experiment.topology == TopologyKind::set) {  // else nothing evolves, and a recipe's control keeps its rules
        validate_growth(experiment);
        validate_redistribution(experiment);
    }
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
