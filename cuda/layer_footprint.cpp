#include "cuda/layer_footprint.hpp"

#include <algorithm>
#include <variant>

#include "cuda/evolution.hpp"
#include "cuda/layer.hpp"
#include "cuda/limits.hpp"
#include "cuda/memory.hpp"
#include "cuda/products/blas.hpp"
#include "cuda/rank_share.hpp"
#include "cuda/tile.hpp"

namespace espalier::cuda {
namespace {

constexpr std::uint64_t word = 4;  // indices, slots, floats

/// How one direction is multiplied. The longest row is not known before the layer is born: taken as the mean.
SpmmChoice expected_choice(Spmm asked, SpmmShape shape, const SpmmDevice& device) {
    shape.longest_row = static_cast<EdgeIndex>(shape.num_edges / std::max<Index>(1, shape.num_rows));
    return choose_spmm(asked, shape, device);
}

/// One direction's tables.
std::uint64_t product_bytes(const SpmmChoice& choice, const SpmmShape& shape, const SpmmDevice& device) {
    switch (choice.kernel) {
        case Spmm::panel: {
            const PanelLayout layout = panel_layout(choice.block, shape.num_rows, shape.num_others, device.shared_bytes);
            return word * (layout.size() + layout.num_groups(choice.block) + 1) +
                   sizeof(EdgePair) * most_pairs(choice.block, layout, shape.num_edges);
        }
        case Spmm::coo: {
            const std::uint64_t tiles = std::max<Index>(1, tiles_of(shape.batch));
            return word * padded_edges(shape.num_edges) +
                   tiles * word * shape.num_edges;  // 2 x 128 floats a chunk of 256
        }
        case Spmm::cusparse:
            return word * shape.num_edges;
        default:
            return 0;
    }
}

/// Of the gradient of the weights, and how many kernels more it takes.
struct GradientCost {
    std::uint64_t bytes = 0;
    std::uint64_t launches = 0;
};
GradientCost gradient_cost(Spmm asked, SpmmShape shape, const SpmmDevice& device) {
    shape.longest_row = static_cast<EdgeIndex>(shape.num_edges / std::max<Index>(1, shape.num_rows));
    const SpmmChoice choice = choose_gradient(asked, shape, device);
    if (choice.kernel != Spmm::panel) return {};
    const std::uint64_t tiles = std::max<Index>(1, tiles_of(shape.backward_batch()));
    const auto table = gradient_layout(choice.block, shape.num_rows, shape.num_others, device.shared_bytes).size();
    return {word * (table + tiles * shape.num_edges), tiles > 1 ? 3U : 2U};
}

/// For every rule but GrowRandom: three candidates an edge with their places, the distinct of them, and what sorting
/// them takes.
std::uint64_t candidate_bytes(const GrowRule& rule, std::uint64_t key, std::uint64_t grown) {
    if (std::holds_alternative<GrowRandom>(rule)) return 0;
    const std::uint64_t most = 3 * grown + 64;
    return 3 * (scratch_size(key * most) + scratch_size(word * most));
}

std::uint64_t evolution_bytes(const LayerShape& shape, const LayerUse& use, double zeta) {
    const Cell cells = Cell{shape.num_inputs} * shape.num_outputs;
    const std::uint64_t key = cells <= 0xffffffffU ? 4 : 8;
    const auto grown = static_cast<std::uint64_t>(zeta * static_cast<double>(shape.num_edges));
    const std::uint64_t edges = scratch_size(word * shape.num_edges);
    const auto states = static_cast<std::uint64_t>(num_states(use.optimizer));
    // Pruned slots and ranks of what comes for them; columns, weights and optimizer memory before they are put back. What
    // is sorted is a set of bits, one at a time, or else the ranks beside their copies, and columns and slots beside theirs.
    const bool as_set = sorts_as_set(cells, shape.num_edges);
    const std::uint64_t sorted_by_input =
        use.needs_input_gradient && !as_set ? edges + scratch_size(2 * word * shape.num_edges) : 0;
    const std::uint64_t set = as_set ? scratch_size(cell_set_bytes(cells)) : 0;
    return (2 + states) * edges + scratch_size(word * grown) + (as_set ? 1 : 3) * scratch_size(key * grown) + set +
           sorted_by_input + candidate_bytes(use.grow, key, grown);
}

/// Kernels of a training step, at most, beside the update of all layers at once. A library's product, cuBLAS's as well,
/// may be several; its gradient of the weights and what that changes come on top. A product that gathers dx multiplies
/// by the derivative of the layer below; others leave that to a kernel of its own.
std::uint64_t step_launches(Spmm forward, Spmm backward, bool needs_input_gradient) {
    const auto of_product = [](Spmm kernel) -> std::uint64_t {
        return kernel == Spmm::cusparse ? 3 : kernel == Spmm::coo ? 2 : 1;
    };
    const bool by_library = forward == Spmm::cusparse;
    std::uint64_t count = of_product(forward) + (by_library ? 1 + 4 : 0);  // the activation; the weights
    if (needs_input_gradient) count += of_product(backward) + (backward == Spmm::gather ? 0 : 1);
    return count;
}

}  // namespace

LayerBytes layer_bytes(const LayerShape& shape, const LayerUse& use, double zeta, bool has_blas,
                       const SpmmDevice& device) {
    const auto states = static_cast<std::uint64_t>(num_states(use.optimizer));
    const std::uint64_t array = word * padded_edges(shape.num_edges);
    LayerBytes bytes;
    bytes.resident = array * (1 + states) + word * shape.num_outputs * (1 + states);
    if (!shape.sparse && has_blas && shape.num_edges > small_dense_weights) {
        bytes.resident += array * (levels_of_halves(tiles_of(use.backward_batch())) + 1);  // the gradient
        bytes.shared = blas_workspace_bytes;
        bytes.launches = step_launches(Spmm::cusparse, Spmm::cusparse, use.needs_input_gradient);
        return bytes;
    }
    bytes.resident += array + 2 * word * shape.num_outputs;
    const auto edges = static_cast<EdgeIndex>(std::min(shape.num_edges, max_edges));
    const SpmmShape by_output{shape.num_outputs, shape.num_inputs, edges, 0, use.batch, use.gradient_batch};
    const SpmmShape by_input{shape.num_inputs, shape.num_outputs, edges, 0, use.batch};
    const SpmmChoice forward = expected_choice(use.spmm, by_output, device);
    const SpmmChoice backward = expected_choice(use.spmm, by_input, device);
    const GradientCost gradient = gradient_cost(use.spmm, by_output, device);
    bytes.resident += product_bytes(forward, by_output, device) + gradient.bytes;
    if (use.needs_input_gradient) {
        bytes.resident += 2 * array + 2 * word * shape.num_inputs;
        bytes.resident += product_bytes(backward, by_input, device);
    }
    const bool packs = forward.kernel == Spmm::panel || (use.needs_input_gradient && backward.kernel == Spmm::panel);
    bytes.launches =
        step_launches(forward.kernel, backward.kernel, use.needs_input_gradient) + gradient.launches + (packs ? 1 : 0);
    if (shape.sparse) bytes.evolving = evolution_bytes(shape, use, zeta);
    return bytes;
}

}  // namespace espalier::cuda
