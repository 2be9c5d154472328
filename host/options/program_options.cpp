#include "host/options/program_options.hpp"

#include "host/options/option_kinds.hpp"

namespace espalier {

void add_program_options(std::vector<ExperimentOption>& table) {
    using E = Experiment;
    table.push_back(option_kinds::choice("dropout-scale", "Network",
                                         "when dropout makes up for what it drops, test as in SET's programs",
                                         &E::dropout_scale, {"training", "test"}));
    table.push_back(option_kinds::choice("dropout-gradient", "Network",
                                         "whether dropped outputs pass no gradient on, or one, as in SET's programs",
                                         &E::dropout_gradient, {"masked", "unmasked"}));
    table.push_back(option_kinds::choice("sample-choice", "What",
                                         "which samples --train-samples and --test-samples take, numpy as SET's programs",
                                         &E::sample_choice, {"first", "numpy"}));
    table.push_back(option_kinds::choice("train-figures", "Training",
                                         "training loss and accuracy: of an epoch's steps, or of a pass after it",
                                         &E::train_figures, {"running", "after"}));
}

void validate_dropout(const Experiment& experiment) {
    if (experiment.dropout_scale != DropoutScale::test || experiment.dropout == 0) return;
    const bool scales = std::visit([](const auto& rule) { return requires { rule.scales_with_input; }; },
                                   experiment.activation);
    if (scales) return;
    option_kinds::refuse("dropout-scale: test wants an activation that grows with its input (relu, leaky-relu, allrelu), not " +
           rule_text(experiment.activation));
}

}  // namespace espalier
