// Counts what layer_io.cpp allocates for a layer and evolve.cpp for an evolution.
#include "host/cpu/cpu_backend.hpp"
#include "host/cpu/layer_transfer.hpp"

namespace espalier {

std::uint64_t cpu_array_bytes(std::uint64_t bytes) {
    constexpr std::uint64_t huge_page = std::uint64_t{2} << 20;
    return bytes < huge_page ? bytes : (bytes + huge_page - 1) / huge_page * huge_page;
}

LayerBytes cpu_layer_bytes(const LayerShape& shape, const LayerUse& use, double zeta) {
    const auto& [num_inputs, num_outputs, edges, sparse] = shape;
    constexpr std::uint64_t word = 4;  // indices, slots, floats
    const auto states = static_cast<std::uint64_t>(num_states(use.optimizer));
    const std::uint64_t array = cpu_array_bytes(word * edges);
    LayerBytes bytes;
    bytes.resident = word * num_outputs * (1 + states);
    if (!sparse && edges > small_dense_weights) {
        bytes.resident += array * (1 + states);
        return bytes;
    }
    // column, weight, states; with the view by input also row and the weights' second copy
    const bool by_input = use.needs_input_gradient;
    bytes.resident += array * (2 + states + (by_input ? 2 : 0)) + word * (std::uint64_t{num_outputs} + 1);
    if (by_input) bytes.resident += word * (std::uint64_t{num_inputs} + 1);
    if (!sparse) return bytes;
    const std::uint64_t key = std::uint64_t{num_inputs} * num_outputs <= 0xffffffffU ? 4 : 8;
    const auto grown = static_cast<std::uint64_t>(zeta * static_cast<double>(edges));
    // column, origin and a moved array of the new topology; with the view by input also its arrays
    bytes.evolving = array * (3 + (by_input ? 2 + states : 0)) + 3 * cpu_array_bytes(key * grown) +
                     cpu_array_bytes(word * grown) * (by_input ? 6 : 5) +
                     cpu_array_bytes(word * (std::uint64_t{num_outputs} + 1));
    // between prune and regrow: the slots pruned, and by input a bit an edge
    bytes.resident += cpu_array_bytes(word * grown) + (by_input ? edges / 8 : 0);
    return bytes;
}

}  // namespace espalier
