#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "espalier/error.hpp"
#include "espalier/backends.hpp"
#include "host/commands/command.hpp"
#include "host/commands/validators.hpp"
#include "espalier/saved_network.hpp"
#include "espalier/dataset.hpp"
#include "espalier/model.hpp"
#include "espalier/network_file.hpp"
#include "host/system/utf8.hpp"
#include "host/run/checkpoint_folder.hpp"
#include "espalier/predictions.hpp"
#include "host/options/option_table.hpp"
#include "host/models/rbm.hpp"
#include "host/rbm/scores.hpp"

namespace espalier {
namespace {

struct EvaluateArguments {
    std::string network;
    OptionTexts overrides;
    bool json = false;
    AnnealingOptions annealing;
};

struct Tested : Evaluation {
    std::string backend;
    ClassFigures classes;   // of a classifier
    TargetFigures targets;  // of a regression
};

Tested test(const Experiment& experiment, const DataSet& data, const Network& network) {
    const auto backend = make_backend(experiment);
    Tested tested{evaluate(*backend, experiment, network, data, data.test), backend->name(), {}, {}};
    if (experiment.model != ModelKind::mlp) return tested;
    const Predictions answers = predict(*backend, experiment, network, data, data.test);
    if (data.targets() > 0) {
        tested.targets = target_figures(answers.values, data.test.targets, data.target_names);
    } else {
        tested.classes = class_figures(answers, data.test.labels, data.class_names);
    }
    return tested;
}

void print_classifier(const EvaluateArguments& arguments, const DataSet& data, const Tested& tested) {
    if (arguments.json) {
        nlohmann::ordered_json object{{"network", arguments.network},     {"dataset", data.name},
                                      {"test_accuracy", tested.accuracy}, {"test_loss", tested.loss},
                                      {"samples", tested.samples},        {"backend", tested.backend}};
        object.update(nlohmann::ordered_json::parse(class_figures_json(tested.classes)));
        std::cout << json_text(object) << '\n';
        return;
    }
    std::printf("%s on %s (%s): test loss %.4f, accuracy %.2f %% of %llu\n", arguments.network.c_str(),
                data.name.c_str(), data.source.c_str(), tested.loss, 100 * tested.accuracy,
                static_cast<unsigned long long>(tested.samples));
    std::printf("\n%s", class_figures_table(tested.classes).c_str());
}

void print_regression(const EvaluateArguments& arguments, const DataSet& data, const Tested& tested) {
    if (arguments.json) {
        nlohmann::ordered_json object{{"network", arguments.network},
                                      {"dataset", data.name},
                                      {"test_r2", tested.targets.mean_r2()},
                                      {"test_rmse", tested.targets.mean_rmse()},
                                      {"test_loss", tested.loss},
                                      {"samples", tested.samples},
                                      {"backend", tested.backend}};
        object["targets"] = nlohmann::ordered_json::parse(target_figures_json(tested.targets))["targets"];
        std::cout << json_text(object) << '\n';
        return;
    }
    std::printf("%s on %s (%s): test loss %.4f, R2 %.4f, RMSE %.6g of %llu samples\n\n", arguments.network.c_str(),
                data.name.c_str(), data.source.c_str(), tested.loss, tested.targets.mean_r2(),
                tested.targets.mean_rmse(), static_cast<unsigned long long>(tested.samples));
    std::printf("%s", target_figures_text(tested.targets).c_str());
}

void print_rbm(const EvaluateArguments& arguments, const DataSet& data, const Tested& tested, const RbmScores& scores) {
    const AnnealingResult& annealing = scores.annealing;
    if (arguments.json) {
        std::cout << json_text(nlohmann::ordered_json{{"network", arguments.network},
                                            {"dataset", data.name},
                                            {"reconstruction_error", tested.loss},
                                            {"units_reconstructed", tested.accuracy},
                                            {"test_log_probability", scores.test_log_probability()},
                                            {"drawn_log_probability", scores.drawn_log_probability()},
                                            {"log_partition", annealing.log_partition},
                                            {"log_partition_error", annealing.standard_error},
                                            {"ais_chains", annealing.log_weights.size()},
                                            {"ais_effective_chains", annealing.effective_chains},
                                            {"ais_temperatures", arguments.annealing.temperatures},
                                            {"train_free_energy", scores.train_free_energy},
                                            {"test_free_energy", scores.test_free_energy},
                                            {"test_free_energy_error", scores.test_free_energy_error},
                                            {"drawn_free_energy_error", scores.drawn_free_energy_error},
                                            {"free_energy_gap", scores.free_energy_gap()},
                                            {"samples", tested.samples},
                                            {"backend", tested.backend}})
                  << '\n';
        return;
    }
    std::printf("%s on %s (%s), %llu test samples\n", arguments.network.c_str(), data.name.c_str(), data.source.c_str(),
                static_cast<unsigned long long>(tested.samples));
    std::printf("reconstruction error  %.5f (mean square per unit); %.2f %% of the units right\n", tested.loss,
                100 * tested.accuracy);
    std::printf("log-probability       %.2f nats, standard errors %.2f (partition function) and %.2f (samples)\n",
                scores.test_log_probability(), annealing.standard_error, scores.test_free_energy_error);
    std::printf("  of binary samples   %.2f nats, %.2f (samples); drawn with the values as probabilities\n",
                scores.drawn_log_probability(), scores.drawn_free_energy_error);
    std::printf(
        "log partition         %.2f by annealed importance sampling, %zu chains (effective %.1f), %u "
        "temperatures\n",
        annealing.log_partition, annealing.log_weights.size(), annealing.effective_chains,
        arguments.annealing.temperatures);
    std::printf("free-energy gap       %.2f nats (test %.2f, training %.2f)\n", scores.free_energy_gap(),
                scores.test_free_energy, scores.train_free_energy);
}

int run_evaluate(const EvaluateArguments& arguments) {
    const SavedNetwork saved = open_network(arguments.network, arguments.overrides);
    const Experiment& experiment = saved.experiment;
    const Network& network = saved.network;
    DataSet data = load_data_for(saved);
    const bool is_rbm = experiment.model == ModelKind::rbm;
    if (is_rbm) {
        use_as_units(data);
        const std::string fault = rbm_fault(experiment, network);
        if (!fault.empty()) throw UserError(ExitCode::checkpoint, arguments.network + ": " + fault);
        if (data.train.count() == 0) {
            throw UserError(ExitCode::usage, "dataset: the free-energy gap of a restricted Boltzmann machine needs "
                                             "training samples too; name them before the test samples");
        }
    }
    const Tested tested = test(experiment, data, network);
    if (data.targets() > 0) {
        print_regression(arguments, data, tested);
        return 0;
    }
    if (!is_rbm) {
        print_classifier(arguments, data, tested);
        return 0;
    }
    AnnealingOptions options = arguments.annealing;
    options.seed = experiment.seed;
    options.threads = experiment.threads;
    print_rbm(arguments, data, tested, score_rbm(network, data, options));
    return 0;
}

}  // namespace

void add_evaluate_command(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("evaluate", "test a saved network");
    const auto arguments = std::make_shared<EvaluateArguments>();
    command->add_option("network", arguments->network, "a run folder, its network.safetensors or a checkpoint")->required();
    for (const std::string name :
         {"dataset", "data-dir", "test-samples", "split", "targets", "backend", "device", "threads", "spmm"}) {
        const auto& table = experiment_options();
        const auto option =
            std::find_if(table.begin(), table.end(), [&](const ExperimentOption& each) { return each.name == name; });
        command->add_option_function<std::string>(
            "--" + name, [arguments, name](const std::string& text) { arguments->overrides[name] = text; },
            option->help);
    }
    command
        ->add_option("--ais-chains", arguments->annealing.chains, "of an RBM: chains of annealed importance sampling")
        ->check(within(2, 1000000))
        ->capture_default_str();
    command->add_option("--ais-temperatures", arguments->annealing.temperatures, "of an RBM: steps of each chain")
        ->check(within(1, 10000000))
        ->capture_default_str();
    command->add_flag("--json", arguments->json, "results as one JSON object");
    command->callback([arguments, &action] { action = [arguments] { return run_evaluate(*arguments); }; });
}

}  // namespace espalier
