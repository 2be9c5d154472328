#include "host/options/density_options.hpp"

#include <algorithm>
#include <cmath>

#include "espalier/number_text.hpp"
#include "host/options/option_kinds.hpp"

namespace espalier {
namespace {

using option_kinds::refuse;

bool shares_sparsity(const Experiment& e) { return e.density == Density::sparsity || e.density == Density::erk; }

ExperimentOption layer_density_option() {
    return {"layer-density", "Topology",
            "instead of epsilon and sparsity: share of cells with an edge for each layer, e.g. 0.01,0.1,1; 1 is dense",
            [](Experiment& e, const std::string& text) {
                if (text.empty()) return;
                e.layer_density = option_kinds::read_numbers(text, 0, 1);
                for (const double density : e.layer_density) {
                    if (density == 0) refuse("0 leaves no edge");
                }
                e.density = Density::by_layer;
            },
            [](const Experiment& e) {
                return e.density == Density::by_layer ? option_kinds::numbers_text(e.layer_density) : std::string{};
            }};
}

void validate_schedule(const std::string& name, const Schedule& schedule, double epochs) {
    std::visit(
        [&](const auto& rule) {
            if constexpr (requires { rule.begin; rule.finish; }) {
                if (rule.begin > epochs || rule.finish > epochs) {
                    refuse(name + ": " + rule_text(rule) + " goes on beyond the run of " + number_text(epochs) +
                           (epochs == 1 ? " epoch" : " epochs") + "; take --epochs " +
                           number_text(std::ceil(std::max(rule.begin, rule.finish))) +
                           " or more, or give a schedule that ends earlier");
                }
                const double end = rule.finish > 0 ? rule.finish : epochs;
                if (end < rule.begin) {
                    refuse(name + ": " + rule_text(rule) + " finishes at epoch " + number_text(end) +
                           ", before it begins at epoch " + number_text(rule.begin));
                }
            }
        },
        schedule);
}

/// A share that a schedule multiplies stays one, and a schedule's stages come one after another.
void validate_steps(const std::string& name, const Schedule& schedule, bool is_share) {
    std::visit(
        [&](const auto& rule) {
            if constexpr (requires { rule.factor; }) {
                if (is_share && rule.factor > 1) {
                    refuse(name + ": " + rule_text(rule) + " grows beyond every share; take a factor of at most 1");
                }
            }
            if constexpr (requires { rule.third; }) {
                double before = 0;
                for (const double stage : {rule.first, rule.second, rule.third}) {
                    if (stage == 0) continue;
                    if (stage <= before) {
                        refuse(name + ": " + rule_text(rule) + " has a stage at epoch " + number_text(stage) +
                               " after one at epoch " + number_text(before) + "; give them in order");
                    }
                    before = stage;
                }
            }
        },
        schedule);
}

/// A share that starts at 0 would remove nearly every edge at first.
void expect_no_warmup(const std::string& name, const Schedule& schedule) {
    std::visit(
        [&](const auto& rule) {
            if (rule.warmup > 0) refuse(name + ": " + rule_text(rule) + " begins at 0 with its warm-up; use begin");
        },
        schedule);
}

}  // namespace

bool is_sparse_layer(const Experiment& experiment, std::size_t layer) {
    if (experiment.topology == TopologyKind::dense) return false;
    if (experiment.density == Density::by_layer) return experiment.layer_density[layer] < 1;
    const bool last = layer + 2 == experiment.layers.size();
    return !(last && experiment.dense_output);
}

void add_density_options(std::vector<ExperimentOption>& table) {
    const std::string group = "Topology";
    table.push_back({"epsilon", group, "edges of a sparse layer: floor(epsilon * (inputs + outputs))",
                     [](Experiment& e, const std::string& text) {
                         e.epsilon = option_kinds::read_number<double>(text, 0, 1e9);
                         if (e.epsilon == 0) refuse("0 leaves no edge");
                         e.density = Density::epsilon;
                     },
                     [](const Experiment& e) { return e.density == Density::epsilon ? number_text(e.epsilon) : ""; }});
    table.push_back({"sparsity", group, "instead of epsilon: share of cells without an edge, in [0, 1)",
                     [](Experiment& e, const std::string& text) {
                         e.sparsity = option_kinds::read_number<double>(text, 0, 1);
                         if (e.sparsity == 1) refuse("1 leaves no edge");
                         if (!shares_sparsity(e)) e.density = Density::sparsity;
                     },
                     [](const Experiment& e) { return shares_sparsity(e) ? number_text(e.sparsity) : ""; }});
    table.push_back({"distribution", group, "how sparsity is shared out between layers: uniform, erk",
                     [](Experiment& e, const std::string& text) {
                         const bool erk = option_kinds::place_of(text, {"uniform", "erk"}) == 1;
                         if (!shares_sparsity(e)) {
                             const bool each = e.density == Density::by_layer;
                             refuse(text + " needs --sparsity, not " + (each ? "--layer-density" : "--epsilon"));
                         }
                         e.density = erk ? Density::erk : Density::sparsity;
                     },
                     [](const Experiment& e) {
                         return !shares_sparsity(e) ? "" : e.density == Density::erk ? "erk" : "uniform";
                     },
                     {"uniform", "erk"}});
    table.push_back(layer_density_option());
}

void expect_one_density(const OptionTexts& texts, const std::string& source) {
    const auto given = [&](const char* name) {
        const auto found = texts.find(name);
        return found != texts.end() && !found->second.empty();
    };
    const auto exclude = [&](const char* one, const char* other) {
        if (!given(one) || !given(other)) return;
        refuse(source + ": " + one + " and " + other + " exclude each other; give one");
    };
    exclude("epsilon", "sparsity");
    exclude("epsilon", "layer-density");
    exclude("sparsity", "layer-density");
    exclude("distribution", "layer-density");
}

void validate_density(const Experiment& experiment) {
    const std::size_t layers = experiment.layers.size() - 1;
    if (experiment.density != Density::by_layer || experiment.layer_density.size() == layers) return;
    refuse("layer-density: " + std::to_string(experiment.layer_density.size()) + " densities for " +
           std::to_string(layers) + (layers == 1 ? " layer" : " layers"));
}

void validate_schedules(const Experiment& experiment) {
    const double epochs = experiment.epochs;
    if (experiment.topology == TopologyKind::set) {  // else nothing evolves, and a recipe's control keeps its schedules
        validate_schedule("zeta", experiment.zeta, epochs);
        validate_schedule("edges-kept", experiment.edges_kept, epochs);
        expect_no_warmup("edges-kept", experiment.edges_kept);
        validate_steps("zeta", experiment.zeta, true);
        validate_steps("edges-kept", experiment.edges_kept, true);
    }
    validate_steps("learning-rate", experiment.learning_rate, false);
    validate_steps("weight-decay", experiment.weight_decay, false);
    validate_steps("l1", experiment.l1, false);
    validate_schedule("learning-rate", experiment.learning_rate, epochs);
    validate_schedule("weight-decay", experiment.weight_decay, epochs);
    validate_schedule("l1", experiment.l1, epochs);
}

}  // namespace espalier
