// A user's own files as a data set: tables as CSV, arrays as NPY, NPZ and IDX.
#pragma once

#include "espalier/dataset.hpp"

namespace espalier {

/// True for "csv:...", "npy:...", "npz:..." and "idx:...".
bool is_own_data(const std::string& name);

/// Reads what the request names; see load_dataset(). Mean and deviation are the network's, where there is one that says
/// them, and not set otherwise.
void load_own_data(const DataRequest& request, DataSet& data);

/// SHA-256 over digests.
std::string digest_over(const std::vector<std::string>& digests);

}  // namespace espalier
