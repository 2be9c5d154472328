#include "host/commands/saved_network.hpp"

#include <iostream>

#include "espalier/error.hpp"
#include "espalier/network_file.hpp"
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

}  // namespace

SavedNetwork open_network(const std::string& path, const OptionTexts& overrides) {
    SavedNetwork saved;
    saved.file = network_of(path).string();
    NetworkMetadata metadata;
    saved.network = load_network(saved.file, &metadata);
    const auto text = metadata.find("experiment");
    if (text == metadata.end()) {
        throw UserError(ExitCode::checkpoint, saved.file + " does not say which experiment it comes from");
    }
    saved.experiment = recorded_experiment(parse_config(text->second, saved.file), saved.file);
    if (overrides.contains("dataset")) {
        saved.experiment.split = 0;
        saved.experiment.train_samples = saved.experiment.test_samples = 0;
    }
    apply(overrides, "command line", saved.experiment);
    const auto meaning = metadata.find(meaning_key);
    saved.meaning =
        meaning == metadata.end() ? unknown_meaning(saved.network) : parse_meaning(meaning->second, saved.file);
    return saved;
}

DataSet load_data_for(const SavedNetwork& saved, bool needs_labels) {
    DataRequest request = request_of(saved.experiment);
    request.network = &saved.meaning;
    request.needs_labels = needs_labels;
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

}  // namespace espalier
