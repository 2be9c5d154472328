// Network files: one safetensors file, which PyTorch, JAX and NumPy users open with that format's standard library.
// Layer n (from 1) is stored as layers.n.weight, .bias, .activation_parameters and optimizer memory as
// layers.n.weight_state.k and so on, all F32; a sparse one also as layers.n.row_start and .column (CSR, I32, or I64
// where an index needs it). __metadata__ holds the format's name, espalier-network-1, and each layer's inputs, outputs
// and activation. A model that is more than its layers (an RBM) has the format espalier-network-2: __metadata__ says
// "model" and "arrays", the names of its arrays, which are stored as arrays.NAME and arrays.NAME_state.k. Version 0.1
// stored an RBM's arrays as layers marked layers.n.beside; such files are read as if they were of today.
// The last tensor is the SHA-256 of all before it. Other tensors beside layers.* are left to other readers.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "espalier/layer.hpp"

namespace espalier {

/// What a network file says besides the network; strings only, as the format wants. The keys "format", "layers",
/// "layers.*", "model", "arrays" and "arrays.*" are the format's own.
using NetworkMetadata = std::map<std::string, std::string>;

/// Writes the whole file or leaves the old one; equal arguments give equal bytes. Throws UserError: io with path and
/// reason, nonfinite if a number is NaN or infinite.
void save_network(const std::filesystem::path& path, const Network& network, const NetworkMetadata& metadata = {});

/// Reads and checks everything (checksum if there is one, sizes before allocation, topology invariants, finite
/// weights). Throws UserError (checkpoint) with file, offset, expected and found.
Network load_network(const std::filesystem::path& path, NetworkMetadata* metadata = nullptr);

/// The same of a file that another program has rewritten, the safetensors library say, after which its checksum is an old
/// one: everything else is checked, so that what was damaged may pass where it is a number.
Network load_rewritten_network(const std::filesystem::path& path, NetworkMetadata* metadata = nullptr);

/// The bytes of the file that save_network() would write. Throws UserError: nonfinite, or device without memory.
std::string network_bytes(const Network& network, const NetworkMetadata& metadata = {});

/// Reads them as load_network() reads a file; `shown` stands for its name in errors.
Network network_from_bytes(std::string_view bytes, NetworkMetadata* metadata = nullptr,
                           const std::string& shown = "memory");

}  // namespace espalier
