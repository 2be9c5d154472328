// A network in a file with all it says of itself, and data as that network wants to see them.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "espalier/data_meaning.hpp"
#include "espalier/dataset.hpp"
#include "espalier/experiment.hpp"
#include "espalier/layer.hpp"
#include "espalier/network_file.hpp"
#include "espalier/predictions.hpp"
#include "espalier/trainer.hpp"

namespace espalier {

struct SavedNetwork {
    std::string file;
    Network network;
    Experiment experiment;  // it was trained by, with a call's own data and machine
    DataMeaning meaning;    // of its data; no mean and deviation where the file does not say them
    [[nodiscard]] bool knows_its_data() const { return !meaning.mean.empty(); }
};

/// Opens a network file, a checkpoint or a run folder. `overrides`, option texts by name, are applied to the experiment;
/// another data set comes whole. Throws UserError (checkpoint).
SavedNetwork open_network(const std::string& path, const std::map<std::string, std::string>& overrides = {});

/// The same of a file that another program has rewritten (load_rewritten_network()).
SavedNetwork open_rewritten_network(const std::string& path);

/// The same of a file's bytes (network_bytes()); `shown` is its name in errors.
SavedNetwork open_network_bytes(std::string_view bytes, const std::string& shown = "memory");

/// The trained network with all that open_network() and `espalier evaluate` need: experiment, epochs, data's meaning.
/// Writes the whole file or leaves the old one. Throws UserError: io, or nonfinite.
void save_network(const std::filesystem::path& path, Trainer& trainer);

/// What a network file says besides the network, after so many epochs.
NetworkMetadata network_metadata(const Experiment& experiment, const DataMeaning& data, std::size_t epochs);

/// Reads the data set the experiment names, normalised as the network's own were. Warns on stderr where the network does
/// not say how, and, where figures are made of labels, where it is another data set than the network's. Throws UserError
/// as load_dataset() does.
DataSet load_data_for(const SavedNetwork& saved, bool needs_labels = true);

/// Answers of a saved classifier to samples [samples][features] as its data were stored, normalised as those were.
/// Throws UserError (data) when there are not as many features, usage when it is no classifier.
Predictions predict(Backend& backend, const SavedNetwork& saved, const Split& samples);

}  // namespace espalier
