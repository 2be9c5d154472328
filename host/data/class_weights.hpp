// How much each class counts in the training loss, for data in which some classes are rare.
#pragma once

#include <string>
#include <vector>

#include "espalier/index.hpp"

namespace espalier {

struct DataSet;

/// The weights of `outputs` classes: "balanced" gives class c samples / (classes * samples of c), counted in the
/// training samples, so that every class that occurs counts alike and the mean weight of a sample is 1. Else the name
/// of a text file with a line "CLASS,WEIGHT" for each class of the data, CLASS being its name or its number. Outputs that are no class of the data get 1. Throws UserError: usage, or data with file and line.
std::vector<float> class_weights(const std::string& asked, const DataSet& data, Index outputs);

}  // namespace espalier
