// Network files: one safetensors file (8-byte little-endian header length, JSON header, data), which PyTorch, JAX and
// NumPy users open with that format's standard library. Layer n (from 1) of a sparse layer is stored as
// layers.n.{row_start,column,weight,bias,...}, of a dense one as layers.n.{weight,bias,...}, optimizer memory as
// layers.n.weight_state.k and so on; shapes and activations in __metadata__.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "espalier/layer.hpp"

namespace espalier {

/// What a network file says besides the network; strings only, as the format wants.
using NetworkMetadata = std::map<std::string, std::string>;

/// Writes to a temporary file in the same folder, syncs, renames. Throws UserError (io) with the path; nothing half
/// written is left.
void save_network(const std::filesystem::path& path, const Network& network, const NetworkMetadata& metadata);

/// Reads and checks everything (sizes before allocation, topology invariants, finite weights).
/// Throws UserError (checkpoint) with file, offset, expected and found.
Network load_network(const std::filesystem::path& path, NetworkMetadata* metadata = nullptr);

}  // namespace espalier
