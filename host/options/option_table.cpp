#include "host/options/option_table.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "espalier/number_text.hpp"
#include "espalier/topology.hpp"
#include "host/options/density_options.hpp"
#include "host/options/machine_options.hpp"
#include "host/options/option_kinds.hpp"
#include "host/options/program_options.hpp"
#include "host/system/did_you_mean.hpp"

namespace espalier {
namespace {

using option_kinds::boolean;
using option_kinds::choice;
using option_kinds::number;
using option_kinds::place_of;
using option_kinds::read_number;
using option_kinds::read_rule;
using option_kinds::refuse;
using option_kinds::rule;
using option_kinds::rule_lines;
using option_kinds::same_name;
using option_kinds::schedule;
using option_kinds::text_option;
using option_kinds::with_rules;

std::vector<Index> read_widths(const std::string& text) {
    std::vector<Index> widths;
    std::string word;
    std::istringstream words(text);
    while (std::getline(words, word, text.find(',') != std::string::npos ? ',' : '-')) {
        widths.push_back(read_number<Index>(std::string(detail::trimmed(word)), 1, 4294967295.0));
    }
    if (widths.size() < 2) refuse("'" + text + "' needs at least two widths, inputs and outputs, e.g. 784-512-128-10");
    return widths;
}

std::string widths_text(const std::vector<Index>& widths) {
    std::string text;
    for (const Index width : widths) text += (text.empty() ? "" : "-") + std::to_string(width);
    return text;
}

ExperimentOption layer_decay_option() {
    return {"layer-decay", "Training",
            "factor on weight-decay and l1 for each layer, e.g. 1,0.5,0 (default: 1 each); an RBM has two, the second "
            "its visible biases",
            [](Experiment& e, const std::string& text) { e.layer_decay = option_kinds::read_numbers(text, 0, 1e6); },
            [](const Experiment& e) {
                return option_kinds::numbers_text(e.layer_decay);
            }};
}

ExperimentOption layers_option() {
    return {"layers", "Network", "widths, inputs first and outputs last, e.g. 784-512-128-10",
            [](Experiment& e, const std::string& text) { e.layers = read_widths(text); },
            [](const Experiment& e) { return widths_text(e.layers); }};
}

ExperimentOption momentum_option() {
    return {"momentum", "Training", "the optimizer's momentum, short for --optimizer 'NAME(momentum=X)'",
            [](Experiment& e, const std::string& text) {
                std::visit(
                    [&](auto& optimizer) {
                        if constexpr (requires { optimizer.momentum; }) {
                            optimizer.momentum = read_number<float>(text, 0, 1);
                        } else {
                            refuse("the optimizer " + std::string(optimizer.name) +
                                   " has no momentum; momentum, set-momentum and nesterov have");
                        }
                    },
                    e.optimizer);
            },
            [](const Experiment& /*e*/) { return std::string{}; }};
}

ExperimentOption new_weights_option() {
    return {"new-weights", "Evolution",
            with_rules<WeightLaw>("law of new edges' weights: initial (as at birth), or"),
            [](Experiment& e, const std::string& text) {
                e.new_weights = same_name(text, "initial") ? "initial" : rule_text(read_rule<WeightLaw>(text));
            },
            [](const Experiment& e) { return e.new_weights; }};
}

ExperimentOption decay_form_option() {
    return {"decay-form", "Training",
            with_rules<DecayForm>("how weight decay enters: default (the optimizer's own), or"),
            [](Experiment& e, const std::string& text) {
                e.decay_form = same_name(text, "default") ? "default" : rule_text(read_rule<DecayForm>(text));
            },
            [](const Experiment& e) { return e.decay_form; }};
}

ExperimentOption patience_option() {
    return {"patience", "Training",
            "end when the validation loss (without --validation: the test loss) has not fallen for N epochs, and keep "
            "the best network",
            [](Experiment& e, const std::string& text) { e.patience = read_number<std::uint32_t>(text, 0, 1e9); },
            [](const Experiment& e) { return e.patience == 0 ? "" : number_text(e.patience); }};
}

ExperimentOption validation_option() {
    return {"validation", "What",
            "samples that choose the best epoch: a share of the training samples such as 0.1, csv:FILE or npy:X,Y",
            [](Experiment& e, const std::string& text) {
                if (!text.empty() && text.find(':') == std::string::npos) {
                    if (!number_from<double>(text)) {
                        refuse("unknown value '" + text + "'; expected a share such as 0.1, csv:FILE or npy:X,Y");
                    }
                    const auto share = read_number<double>(text, 0, 1);
                    if (share == 0 || share == 1) refuse(text + " leaves no sample on one side");
                }
                e.validation = text;
            },
            [](const Experiment& e) { return e.validation; }};
}

ExperimentOption targets_option() {
    return {"targets", "What",
            "real-valued targets instead of classes (then the loss is squared-error): columns of a CSV by name, by number "
            "from 1, first or last, commas between; of arrays their second file: all, or numbers",
            [](Experiment& e, const std::string& text) {
                e.targets = text;
                if (!text.empty()) e.loss = SquaredError{};
            },
            [](const Experiment& e) { return e.targets; }};
}

ExperimentOption model_option() {
    return {"model", "Network",
            "what is trained: perceptron, or rbm (a restricted Boltzmann machine; layers: two widths)",
            [](Experiment& e, const std::string& text) {
                e.model = place_of(text, {"perceptron", "rbm"}) == 1 ? ModelKind::rbm : ModelKind::mlp;
                if (e.model == ModelKind::rbm) e.dense_output = false;  // its one layer is not an output's
            },
            [](const Experiment& e) { return e.model == ModelKind::rbm ? "rbm" : "perceptron"; },
            {"perceptron", "rbm"}};
}

/// An option that only an RBM has: other experiments do not print it.
ExperimentOption of_rbm(ExperimentOption option) {
    option.get = [get = std::move(option.get)](const Experiment& e) {
        return e.model == ModelKind::rbm ? get(e) : std::string{};
    };
    return option;
}

void add_rbm_options(std::vector<ExperimentOption>& table) {
    using E = Experiment;
    const std::string group = "Restricted Boltzmann machine";
    table.push_back(
        of_rbm(number("cd-steps", group, "Gibbs steps per update (contrastive divergence)", &E::cd_steps, 1, 1e6)));
    table.push_back(
        of_rbm(boolean("persistent", group, "Gibbs chains go on from one update to the next", &E::persistent)));
    table.push_back(of_rbm(
        boolean("sample-data", group, "draw binary training data, values being probabilities", &E::sample_data)));
}

std::vector<ExperimentOption> make_table() {
    using E = Experiment;
    std::vector<ExperimentOption> table;
    table.push_back(text_option("recipe", "What", "named set of options to start from (--list-recipes)", &E::recipe));
    table.push_back(text_option("dataset", "What",
                                "mnist, fashion-mnist, emnist-..., cifar-10, synthetic, csv:TRAIN,TEST, "
                                "npy:TRAIN_X,TRAIN_Y,TEST_X,TEST_Y, idx: alike or npz:FILE (espalier data list)",
                                &E::dataset));
    table.back().set = [](Experiment& e, const std::string& text) {
        if (text.empty()) refuse("an empty name; expected one of `espalier data list`, csv:... or npy:...");
        e.dataset = text;
    };
    table.push_back(
        text_option("data-dir", "What", "look for data in this folder only (default: a search path)", &E::data_dir));
    table.push_back(
        number("train-samples", "What", "use the first N training samples, 0: all", &E::train_samples, 0, 4e9));
    table.push_back(number("test-samples", "What", "use the first N test samples, 0: all", &E::test_samples, 0, 4e9));
    table.push_back(number("split", "What", "share of the samples of one file that is held out as test samples, e.g. 0.2",
                           &E::split, 0, 0.99));
    table.push_back(choice("standardize", "What", "what gets mean 0 and deviation 1, auto: columns of tables, else channels",
                           &E::standardize, {"auto", "columns", "channels", "none"}));
    table.push_back(targets_option());
    table.push_back(validation_option());
    table.push_back(model_option());
    table.push_back(layers_option());
    table.push_back(rule("activation", "Network", "of the hidden layers", &E::activation));
    table.push_back(rule("loss", "Network", "of the outputs", &E::loss));
    table.push_back(
        number("dropout", "Network", "share of hidden outputs dropped while training", &E::dropout, 0, 0.999));
    add_program_options(table);
    add_rbm_options(table);
    table.push_back(choice("topology", "Topology", "set evolves, fixed is random and stays, dense has every edge",
                           &E::topology, {"set", "fixed", "dense"}));
    add_density_options(table);
    table.push_back(
        boolean("dense-output", "Topology", "the last layer is dense and does not evolve", &E::dense_output));
    table.push_back(
        rule("birth", "Topology", "law of the first edges: at random, or where the data say", &E::birth_law));
    table.push_back(rule("initial-weights", "Topology", "law of sparse layers' first weights", &E::initial_weights));
    table.push_back(rule("initial-bias", "Topology", "law of sparse layers' first biases", &E::initial_bias));
    table.push_back(
        rule("dense-weights", "Topology", "law of dense layers' first weights and biases", &E::dense_weights));
    table.push_back(schedule("zeta", "Evolution", "share of edges replaced", &E::zeta, 0, 1));
    table.push_back(schedule("edges-kept", "Evolution",
                             "share of the edges at birth that sparse layers keep, e.g. linear(value=1,end=0.5)",
                             &E::edges_kept, 0, 1));
    table.push_back(rule("prune", "Evolution", "which edges go", &E::prune));
    table.push_back(choice("prune-scope", "Evolution",
                           "which edges compete for those that edges-kept leaves: each layer's, or the network's",
                           &E::prune_scope, {"layer", "network"}));
    table.push_back(boolean("percolate", "Evolution", "edges of neurons that pruning leaves without inputs or outputs go too",
                            &E::percolate));
    table.push_back(rule("grow", "Evolution", "where new edges appear", &E::grow));
    table.push_back(choice("redistribute", "Evolution",
                           "by what pruned edges are shared out between layers: each grows its own again, or by the mean "
                           "magnitude of its edges' optimizer memory or weights, or by the edges it kept",
                           &E::redistribute, {"none", "momentum", "magnitude", "survivors"}));
    table.push_back(number("room", "Evolution",
                           "with redistribute: how many times its edges at birth a layer may come to have", &E::room, 1, 1e6));
    table.push_back(new_weights_option());
    table.push_back(rule("evolve", "Evolution", "when layers evolve", &E::cadence));
    table.push_back(boolean("zero-before-test", "Evolution",
                            "pruned edges rest at 0 during the test pass, replaced after", &E::zero_before_test));
    table.push_back(choice("last-epoch", "Evolution",
                           "after the last epoch: evolve as ever, leave pruned edges at zero, "
                           "remove them, or keep everything",
                           &E::last_epoch, {"evolve", "zero", "remove", "keep"}));
    table.push_back(choice("reset-state", "Evolution", "whose optimizer memory an evolution clears", &E::reset_state,
                           {"new", "none", "all"}));
    table.push_back(rule("optimizer", "Training", "update rule", &E::optimizer));
    table.push_back(momentum_option());
    table.push_back(schedule("learning-rate", "Training", "step size", &E::learning_rate, 0, 1e6));
    table.push_back(schedule("weight-decay", "Training", "L2 decay of weights and biases", &E::weight_decay, 0, 1e6));
    table.push_back(schedule("l1", "Training", "L1 decay of weights and biases", &E::l1, 0, 1e6));
    table.push_back(layer_decay_option());
    table.push_back(decay_form_option());
    table.push_back(number("batch", "Training", "samples per step", &E::batch, 1, 1048576));
    table.push_back(number("epochs", "Training", "passes over the training set", &E::epochs, 1, 1e9));
    table.push_back(choice("train-loss", "Training",
                           "an epoch's training loss is the mean over its samples, or over its batches' means, as in "
                           "the published programs",
                           &E::train_loss_mean, {"samples", "batches"}));
    table.push_back(text_option("class-weights", "Training",
                                "how much each class counts in the training loss: balanced (rare ones count as much as "
                                "frequent ones) or a file of lines CLASS,WEIGHT",
                                &E::class_weights));
    table.push_back(patience_option());
    table.push_back(number("seed", "Training", "of everything random", &E::seed, 0, 1.8446744073709552e19));
    table.push_back(text_option(
        "init-from", "Training",
        "network file or run folder to start from; recipe:NAME to train that first; data: an RBM's visible biases fit them",
        &E::init_from));
    table.push_back(boolean("reset-optimizer", "Training", "with --init-from: start with fresh optimizer memory",
                            &E::reset_optimizer));
    table.push_back(backend_option());
    table.push_back(device_option());
    table.push_back(number("threads", "Machine", "CPU threads, 0: one per core granted; results do not depend on it",
                           &E::threads, 0, 1024));
    table.push_back(number("record-every", "Records",
                           "epochs between two records of topology and weights; first and last are always recorded",
                           &E::record_every, 1, 1e9));
    table.push_back(choice("graph", "Machine", "CUDA: replay steps as a graph; results do not depend on it", &E::graph,
                           {"on", "off"}));
    table.push_back(choice("spmm", "Machine", "how CUDA multiplies sparse layers, auto by their shape", &E::spmm,
                           {"auto", "gather", "panel", "coo", "cusparse"}));
    return table;
}

/// What other programs call the same thing.
void add_synonyms(std::vector<ExperimentOption>& table) {
    const std::map<std::string, std::vector<std::string>> others{
        {"learning-rate", {"lr"}}, {"batch", {"batch-size"}}, {"weight-decay", {"wd"}}};
    for (ExperimentOption& option : table) {
        if (const auto found = others.find(option.name); found != others.end()) option.synonyms = found->second;
    }
}

}  // namespace

const std::vector<ExperimentOption>& experiment_options() {
    static const std::vector<ExperimentOption> table = [] {
        std::vector<ExperimentOption> all = make_table();
        add_synonyms(all);
        return all;
    }();
    return table;
}

const ExperimentOption* find_option(const std::string& name) {
    const auto is_meant = [&](const ExperimentOption& option) {
        return same_name(option.name, name) || std::any_of(option.synonyms.begin(), option.synonyms.end(),
                                                           [&](const auto& other) { return same_name(other, name); });
    };
    const auto found = std::find_if(experiment_options().begin(), experiment_options().end(), is_meant);
    return found == experiment_options().end() ? nullptr : &*found;
}

std::vector<std::string> schedule_lines() { return rule_lines(static_cast<Schedule*>(nullptr)); }

namespace {

/// Paths end at a zero byte wherever the system reads them.
void expect_no_zero_byte(const std::string& value) {
    if (value.find('\0') != std::string::npos) refuse("the value holds a zero byte");
}

/// The texts by the options' own names. Throws UserError (usage) for unknown names and for an option given twice.
OptionTexts by_own_names(const OptionTexts& given, const std::string& source) {
    std::vector<std::string> names;
    for (const auto& option : experiment_options()) names.push_back(option.name);
    OptionTexts texts;
    for (const auto& [name, text] : given) {
        const ExperimentOption* option = find_option(name);
        if (option == nullptr) refuse(source + ": unknown option '" + name + "'" + did_you_mean(name, names));
        if (!texts.emplace(option->name, text).second) refuse(source + ": " + option->name + " is given twice");
    }
    expect_one_backend(texts, source);
    return texts;
}

}  // namespace

void apply(const OptionTexts& given, const std::string& source, Experiment& experiment) {
    const OptionTexts texts = by_own_names(given, source);
    expect_one_density(texts, source);
    if (texts.contains("sparsity")) experiment.density = Density::sparsity;
    for (const auto& option : experiment_options()) {
        const auto found = texts.find(option.name);
        if (found == texts.end()) continue;
        try {
            expect_no_zero_byte(found->second);
            option.set(experiment, found->second);
        } catch (const UserError& error) {
            throw UserError(error.code(), source + ": " + option.name + ": " + error.what());
        }
    }
}

OptionTexts experiment_texts(const Experiment& experiment) {
    OptionTexts texts;
    for (const ExperimentOption& option : experiment_options()) {
        const bool aside = option.group == "Machine" || option.group == "Records";
        if (option.name == "seed" || option.name == "data-dir" || aside) continue;
        texts[option.name] = option.get(experiment);
    }
    return texts;
}

}  // namespace espalier
