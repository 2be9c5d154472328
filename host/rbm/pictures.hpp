// What a restricted Boltzmann machine of images has learned, as PNG files in its run folder: receptive-fields.png (the
// weights of the hidden units with most edges, blue below 0 and red above), samples.png (probabilities of the visible
// units of Gibbs chains), reconstructions.png (test samples, each above its mean-field reconstruction).
#pragma once

#include <filesystem>

#include "espalier/layer.hpp"

namespace espalier {

struct DataSet;

/// Draws nothing for data that are no images. `data` as use_as_units leaves them. Throws UserError (io).
void write_rbm_pictures(const std::filesystem::path& folder, const Network& network, const DataSet& data,
                        std::uint64_t seed, int threads);

}  // namespace espalier
