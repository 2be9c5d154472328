#include "espalier/saved_network.hpp"

#include <iostream>

#include "espalier/error.hpp"
#include "espalier/version.hpp"
#include "host/options/config_text.hpp"
#include "host/run/checkpoint_folder.hpp"
#include "host/training/run_training.hpp"

namespace espalier {
namespace {

/// What can be known of the data of a network that does not say: as many features and classes as it has.
DataMeaning unknown_meaning(const Network& network) {
    DataMeaning meaning;
    meaning.height = 1;
    meaning.width = network.layers.front().num_inputs;
    meaning.classes = network.layers.back().num_outputs;
    for (Index c = 0; c < meaning.classes; ++c) meaning.class_names.push_back(std::to_string(c));
    return meaning;
}

/// As --targets would say it, of a network that was not trained on a file.
std::string targets_by_name(const DataMeaning& meaning, const std::string& data) {
    if (!data.starts_with("csv:")) return "all";
    std::string names;
    for (const std::string& name : meaning.target_names) names += (names.empty() ? "" : ",") + name;
    return names;
}

}  // namespace

NetworkMetadata network_metadata(const Experiment& experiment, const DataMeaning& data, std::size_t epochs) {
    return {{"experiment", experiment_text(experiment)},
            {"epochs", std::to_string(epochs)},
            {"dataset", data.name},
            {"dataset_digest", data.digest},
            {meaning_key, meaning_json(data)},
            {"program", version()}};
}

void save_network(const std::filesystem::path& path, Trainer& trainer) {
    Experiment experiment = trainer.experiment();
    experiment.dataset = trainer.data_meaning().name;  // the library takes its data from the caller, not by this name
    save_network(path, trainer.network(),
                 network_metadata(experiment, trainer.data_meaning(), trainer.history().size()));
}

/// The network with what its file says of it.
static SavedNetwork with_meaning(const std::string& file, Network network, const NetworkMetadata& metadata) {
    SavedNetwork saved;
    saved.file = file;
    saved.network = std::move(network);
    const auto text = metadata.find("experiment");
    if (text == metadata.end()) {
        throw UserError(ExitCode::checkpoint, saved.file + " does not say which experiment it comes from");
    }
    saved.experiment = recorded_experiment(parse_config(text->second, saved.file), saved.file);
    const auto meaning = metadata.find(meaning_key);
    saved.meaning =
        meaning == metadata.end() ? unknown_meaning(saved.network) : parse_meaning(meaning->second, saved.file);
    return saved;
}

SavedNetwork open_rewritten_network(const std::string& path) {
    NetworkMetadata metadata;
    Network network = load_rewritten_network(path, &metadata);
    return with_meaning(path, std::move(network), metadata);
}

SavedNetwork open_network_bytes(std::string_view bytes, const std::string& shown) {
    NetworkMetadata metadata;
    Network network = network_from_bytes(bytes, &metadata, shown);
    return with_meaning(shown, std::move(network), metadata);
}

SavedNetwork open_network(const std::string& path, const std::map<std::string, std::string>& overrides) {
    const std::string file = network_of(path).string();
    NetworkMetadata metadata;
    Network network = load_network(file, &metadata);
    SavedNetwork saved = with_meaning(file, std::move(network), metadata);
    if (overrides.contains("dataset")) {
        saved.experiment.split = 0;
        saved.experiment.train_samples = saved.experiment.test_samples = 0;
    }
    apply(overrides, "command line", saved.experiment);
    return saved;
}

DataSet load_data_for(const SavedNetwork& saved, bool needs_labels) {
    DataRequest request = request_of(saved.experiment);
    request.network = &saved.meaning;
    request.needs_labels = needs_labels;
    if (!request.targets.empty() && saved.meaning.targets() == 0) {
        throw UserError(ExitCode::usage, "targets: " + saved.file + " was trained on classes, not on real-valued targets");
    }
    if (request.targets.empty() && saved.meaning.targets() > 0) request.targets = targets_by_name(saved.meaning, request.name);
    DataSet data = load_dataset(request);
    check_against_data(saved.experiment, data);
    if (!saved.knows_its_data()) {
        data.remarks.push_back("warning: " + saved.file +
                               " does not say how its data were normalised, as older networks do not: the mean and "
                               "deviation of " + data.name + " are used");
    } else if (needs_labels && data.digest != saved.meaning.digest) {
        data.remarks.push_back("warning: " + data.name + " is not the data the network was trained and tested on (" +
                               saved.meaning.name + "): another digest; it is normalised as those were");
    }
    for (const std::string& remark : data.remarks) std::cerr << remark << '\n';
    return data;
}

Predictions predict(Backend& backend, const SavedNetwork& saved, const Split& samples) {
    if (saved.experiment.model != ModelKind::mlp) {
        throw UserError(ExitCode::usage, saved.file + " is a restricted Boltzmann machine; only perceptrons predict");
    }
    const std::size_t values = samples.bytes.size() + samples.floats.size();
    if (values != std::size_t{samples.count()} * saved.meaning.features()) {
        throw UserError(ExitCode::data, saved.file + " takes " + std::to_string(saved.meaning.features()) +
                                            " features a sample; " + std::to_string(samples.count()) + " samples of " +
                                            std::to_string(values) + " values in all have not");
    }
    DataSet data;
    static_cast<DataMeaning&>(data) = saved.meaning;
    if (!saved.knows_its_data()) {  // as they are
        data.mean = {0};
        data.deviation = {1};
        data.channels = 1;
    }
    return predict(backend, saved.experiment, saved.network, data, samples);
}

}  // namespace espalier
