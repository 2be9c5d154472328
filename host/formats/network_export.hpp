// A network in other programs' formats. Optimizer memory stays behind; nothing else is lost.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "espalier/layer.hpp"
#include "espalier/network_file.hpp"

namespace espalier {

/// One safetensors file: layers.n.crow_indices, .col_indices, .values, .bias as torch.sparse_csr_tensor takes them (a
/// dense layer: .weight [outputs][inputs]); shapes and activations in __metadata__, there also of `said` under "data" what the
/// data mean (meaning_json()) and under "experiment" how it was trained. load_network() reads it. Throws UserError (io).
void export_safetensors(const Network& network, const std::filesystem::path& file, const NetworkMetadata& said = {});

/// A folder with network.json (shapes, activations), and for each layer n layer<n>.npz as scipy.sparse.load_npz reads it
/// ([outputs x inputs], CSR; of a dense layer every cell), layer<n>-bias.npy [outputs] and, where the activation trained
/// numbers of its own, layer<n>-activation.npy [parameters][outputs]. Returns the files. Throws UserError (io), also for
/// arrays beyond a ZIP file.
std::vector<std::filesystem::path> export_scipy(const Network& network, const std::filesystem::path& folder);

/// The same with, in the archives' place, layer<n>-weight.npy [outputs][inputs], zeros where there is no edge, and
/// layer<n>-mask.npy, true where there is one: an edge may weigh 0. Returns the files. Throws UserError (io).
std::vector<std::filesystem::path> export_npy(const Network& network, const std::filesystem::path& folder);

}  // namespace espalier
