// What the numbers mean that a network takes and gives: the shape of a sample, how its values are normalised, and the
// names of its classes or of its real-valued targets with their units. Stored with every network and every export, so that whoever runs it gets the same figures.
#pragma once

#include <string>
#include <vector>

#include "espalier/index.hpp"

namespace espalier {

struct DataMeaning {
    std::string name;    // of the data set
    std::string digest;  // SHA-256 over the decompressed files' digests; of the generator's parameters for "synthetic"
    Index height = 0, width = 0, channels = 1;  // image shape; height 1 for plain features
    Index classes = 0;
    double scale = 1;                       // x = (value * scale - mean) / deviation, per channel or per column
    std::vector<double> mean;               // [channels] or [features]
    std::vector<double> deviation;          // likewise
    std::vector<std::string> class_names;   // [classes]; empty: not known
    std::vector<std::string> column_names;  // [features]; empty: not known
    std::vector<std::string> target_names;  // of a regression, which has no classes; empty: a classification
    std::vector<double> target_mean;        // [targets]; an output z stands for z * deviation + mean
    std::vector<double> target_deviation;   // likewise

    [[nodiscard]] Index features() const { return height * width * channels; }
    [[nodiscard]] Index targets() const { return static_cast<Index>(target_names.size()); }
};

/// The option "standardize" of experiments that older programs wrote down without it: images were made alike by channel,
/// and so were tables.
inline const char* standardize_before_the_option(const std::string& dataset) {
    return dataset.find(':') == std::string::npos ? "auto" : "channels";
}

/// The key of network files and exports under which meaning_json() stands.
inline constexpr const char* meaning_key = "data";

/// One line of JSON: {"name", "digest", "height", "width", "channels", "scale", "mean", "deviation", "classes",
/// "columns"}, of a regression also {"targets", "target_mean", "target_deviation"}; numbers read back exactly.
std::string meaning_json(const DataMeaning& meaning);

/// Reads it. Throws UserError (checkpoint) naming `source` and what is wrong.
DataMeaning parse_meaning(const std::string& json, const std::string& source);

}  // namespace espalier
