#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "espalier/error.hpp"
#include "host/backends.hpp"
#include "host/command.hpp"
#include "host/data/dataset.hpp"
#include "host/network_file.hpp"
#include "host/option_table.hpp"
#include "host/perceptron.hpp"
#include "host/training_run.hpp"

namespace espalier {
namespace {

struct EvaluateArguments {
    std::string network;
    OptionTexts overrides;
    bool json = false;
};

/// The experiment a network file was trained by, with this call's data and machine.
Experiment experiment_of(const NetworkMetadata& metadata, const EvaluateArguments& arguments) {
    Experiment experiment;
    const auto text = metadata.find("experiment");
    if (text == metadata.end()) {
        throw UserError(ExitCode::checkpoint, arguments.network + " does not say which experiment it comes from");
    }
    apply(parse_config(text->second, arguments.network), arguments.network, experiment);
    apply(arguments.overrides, "command line", experiment);
    return experiment;
}

int evaluate(const EvaluateArguments& arguments) {
    NetworkMetadata metadata;
    const Network network = load_network(arguments.network, &metadata);
    const Experiment experiment = experiment_of(metadata, arguments);
    const auto backend = make_backend(experiment);
    const DataSet data =
        load_dataset(experiment.dataset, experiment.data_dir, experiment.train_samples, experiment.test_samples);
    check_against_data(experiment, data);
    const UploadedSplit test(*backend, data, data.test);
    Perceptron perceptron(*backend, experiment, network);
    perceptron.test(test.samples());
    const Metrics metrics = backend->metrics();
    const auto samples = static_cast<double>(metrics.samples);
    const double loss = metrics.sample_loss_sum / samples;
    const double accuracy = static_cast<double>(metrics.correct) / samples;
    if (arguments.json) {
        std::cout << nlohmann::ordered_json{{"network", arguments.network}, {"dataset", data.name},
                                            {"test_accuracy", accuracy},    {"test_loss", loss},
                                            {"samples", metrics.samples},   {"backend", backend->name()}}
                         .dump()
                  << '\n';
    } else {
        std::printf("%s on %s (%s): test loss %.4f, accuracy %.2f %% of %llu\n", arguments.network.c_str(),
                    data.name.c_str(), data.source.c_str(), loss, 100 * accuracy,
                    static_cast<unsigned long long>(metrics.samples));
    }
    return 0;
}

}  // namespace

void add_evaluate_command(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("evaluate", "test a saved network");
    const auto arguments = std::make_shared<EvaluateArguments>();
    command->add_option("network", arguments->network, "network.safetensors of a run folder")->required();
    for (const std::string name : {"dataset", "data-dir", "test-samples", "backend", "threads", "spmm"}) {
        const auto& table = experiment_options();
        const auto option =
            std::find_if(table.begin(), table.end(), [&](const ExperimentOption& each) { return each.name == name; });
        command->add_option_function<std::string>(
            "--" + name, [arguments, name](const std::string& text) { arguments->overrides[name] = text; },
            option->help);
    }
    command->add_flag("--json", arguments->json, "results as one JSON object");
    command->callback([arguments, &action] { action = [arguments] { return evaluate(*arguments); }; });
}

}  // namespace espalier
