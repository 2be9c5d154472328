// Network files with tensors beside the network's own, as checkpoints are; the public side is espalier/network_file.hpp.
#pragma once

#include <filesystem>
#include <vector>

#include "espalier/network_file.hpp"
#include "host/formats/safetensors.hpp"

namespace espalier {

/// Like save_network; `extra` tensors are stored before the layers'. Their items should have 8 bytes, so that what
/// follows stays aligned.
void save_network(const std::filesystem::path& path, const Network& network, const NetworkMetadata& metadata,
                  const std::vector<TensorSource>& extra);

/// Like load_network, from an open file whose checksum was looked after.
Network read_network(const SafetensorsFile& file, NetworkMetadata* metadata = nullptr);

}  // namespace espalier
