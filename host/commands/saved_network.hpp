// A saved network with all it says of itself, and data as that network wants to see them.
#pragma once

#include <optional>
#include <string>

#include "espalier/experiment.hpp"
#include "espalier/layer.hpp"
#include "espalier/dataset.hpp"
#include "host/options/option_table.hpp"

namespace espalier {

struct SavedNetwork {
    std::string file;
    Network network;
    Experiment experiment;  // it was trained by, with a call's own data and machine
    DataMeaning meaning;    // of its data; no mean and deviation where the file does not say them
    [[nodiscard]] bool knows_its_data() const { return !meaning.mean.empty(); }
};

/// Opens a network file, a checkpoint or a run folder. `overrides` are applied to the experiment; another data set comes
/// whole. Throws UserError (checkpoint).
SavedNetwork open_network(const std::string& path, const OptionTexts& overrides);

/// Reads the data set the experiment names, normalised as the network's own were. Warns on stderr where the network does
/// not say how, and, where figures are made of labels, where it is another data set than the network's. Throws UserError as load_dataset() does.
DataSet load_data_for(const SavedNetwork& saved, bool needs_labels = true);

}  // namespace espalier
