// What a restricted Boltzmann machine of images has learned, as PNG files: receptive fields (the weights of the hidden
// units with most edges, blue below 0 and red above), samples (probabilities of the visible units of Gibbs chains),
// reconstructions (test samples, each above its mean-field reconstruction).
#pragma once

#include <filesystem>

#include "espalier/layer.hpp"

namespace espalier {

struct DataSet;

/// Where they go.
struct RbmPictures {
    std::filesystem::path receptive_fields, reconstructions, samples;
};

/// Draws nothing for data that are no images. `data` as use_as_units leaves them. Throws UserError (io).
void write_rbm_pictures(const RbmPictures& files, const Network& network, const DataSet& data, std::uint64_t seed,
                        int threads);

}  // namespace espalier
