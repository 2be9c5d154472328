// The CPU kernels, compiled for several instruction sets and chosen at run time. Each works on a part of the batch or
// of the layer given by its arguments and knows nothing of threads; `scratch` is memory of the calling thread.
#pragma once

#include <array>
#include <string>

#include "espalier/backend.hpp"
#include "espalier/common/dropout_mask.hpp"
#include "host/cpu/layer.hpp"
#include "host/cpu/team.hpp"

namespace espalier {

/// Samples per tile.
constexpr Index cpu_lanes = 64;

/// Lanes of a tile that the kernels work on where `used` hold a sample: whole groups of 16. What lies beyond is neither
/// read nor, unless said, written.
constexpr Index worked_lanes(Index used) { return (used + 15) / 16 * 16; }

/// The instruction set in use, by Highway's name.
std::string instruction_set();

/// Which of a layer's outputs dropout sets to 0: [tile][neuron], a bit a lane; all others are multiplied by `scale`.
/// Empty: nothing is dropped.
struct Dropped {
    std::uint64_t* bits = nullptr;
    Index rows = 0;
    float scale = 1;
    [[nodiscard]] std::uint64_t* row(Index tile, Index row) const { return bits + std::size_t{tile} * rows + row; }
    explicit operator bool() const { return bits != nullptr; }
};

/// What the forward pass left for the backward one.
struct Saved {
    ConstActivations values;
    Dropped dropped;
};

/// y = activation(W x + b) of `rows` in one tile, but for what is dropped.
void forward_rows(const SparseCpuLayer& layer, ConstActivations x, Activations saved, Activations y,
                  const Dropped& dropped, Index tile, Range rows);

struct RowPart;

/// The edges of a layer by input, their weights wherever they lie.
struct InputEdges {
    const EdgeIndex* start;  // [num_inputs + 1]
    const Index* output;     // of each edge
    const float* weights;    // of each edge
};
/// Of a layer with a CSC view.
inline InputEdges input_edges(const SparseCpuLayer& layer) {
    return {layer.column_start.data(), layer.row.data(), layer.input_weights.data()};
}

/// x = W^T y + offsets of the inputs `columns` of the layer in one tile.
void transposed_rows(const CpuLayer& layer, const InputEdges& edges, const float* offsets, ConstActivations y,
                     Activations x, Index tile, Range columns);

/// y holds preactivations without bias: adds it and applies the activation, as the end of forward_rows.
void finish_rows(const CpuLayer& layer, Activations saved, Activations y, const Dropped& dropped, Index tile,
                 Range rows);

/// Turns dy of `rows` in one tile into the gradient by the preactivation. `sums` receives the rows' gradients of the
/// bias and, `stride` floats further each, of the activation's parameters.
void differentiate(const CpuLayer& layer, const Saved& saved, Activations dy, Index tile, Range rows, float* sums,
                   std::size_t stride);

/// The gradients of the edges of `columns` in one tile, and dx (may be empty); dy is the gradient by the preactivation.
/// Up to three floats behind the last gradient are overwritten too.
void column_gradients(const InputEdges& edges, ConstActivations x, ConstActivations dy, Activations dx, Index tile,
                      Range columns, float* gradient);

/// The gradients of the edges of `rows`, likewise; no input gradient.
void row_gradients(const SparseCpuLayer& layer, ConstActivations x, ConstActivations dy, Index tile, Range rows,
                   float* gradient);

/// A batch of at most max_narrow_lanes samples, packed: [neuron][lanes], lanes 1, 2, 4 or 8, those past the batch 0.
struct Packed {
    const float* values;
    Index lanes;
};
constexpr Index max_narrow_lanes = 8;
inline bool is_narrow(ConstActivations values) { return values.batch <= max_narrow_lanes; }
constexpr Index narrow_lanes(Index batch) { return batch <= 2 ? batch : batch <= 4 ? 4 : 8; }

/// Packs narrow activations into `memory`, rows * max_narrow_lanes floats.
Packed pack_lanes(ConstActivations values, float* memory);

// For narrow batches: the same bits as the functions of these names above, from packed values of what edges meet in no
// order. `saved` and `y` are 0 past the batch as far as lanes are worked on.
void narrow_forward(const SparseCpuLayer& layer, const Packed& x, Activations saved, Activations y,
                    const Dropped& dropped, Range rows);
/// W x + b of some rows from edges by input, which need no weights in canonical order: the sums [row][lanes], of the part's
/// first row at sums[0]. Room in `sums`: [row][2][lanes], in `odd`: [row].
void narrow_forward_by_input(const InputEdges& edges, const RowPart& part, const Packed& x, Index num_inputs,
                             const float* bias, std::uint8_t* odd, float* sums);
void narrow_transposed(const SparseCpuLayer& layer, const float* offsets, const Packed& y, Activations x,
                       Range columns);
void narrow_column_gradients(const InputEdges& edges, ConstActivations x, const Packed& dy, Activations dx,
                             Range columns, float* gradient);
void narrow_row_gradients(const SparseCpuLayer& layer, const Packed& x, ConstActivations dy, Range rows,
                          float* gradient);

/// sum[i] += term[i]
void add_floats(float* sum, const float* term, std::size_t count);

/// Where an optimizer's memory of some parameters begins, one array per state; null beyond its num_states.
using StateArrays = std::array<float*, max_states>;

/// Updates `count` parameters, `states` being the optimizer's arrays for them.
void update_parameters(const Optimizer& optimizer, float* parameters, const float* gradient, const StateArrays& states,
                       std::size_t count, const UpdateStep& step);

/// Gathers features `features` of one tile; the lanes past the batch become 0. Who has feature 0 also writes the tile's
/// labels, -1 past the batch, unless `labels` is null.
void gather_rows(const Samples& samples, const BatchChoice& choice, Activations x, std::int32_t* labels,
                 std::uint32_t epoch, Index tile, Range features);

/// Features `features` of one tile from samples [batch][stride], or into them. Lanes that are worked on past the batch
/// become 0.
void pack_rows(const float* samples, std::size_t stride, Activations values, Index tile, Range features);
void unpack_rows(ConstActivations values, Index tile, Range features, float* samples, std::size_t stride);

/// Draws the dropout mask of `rows` in one tile, `used` lanes of which hold a sample.
void draw_dropped(const DropoutMask& mask, const Dropped& dropped, Index tile, Index used, Range rows);

/// Draws the dropout mask of `rows` in one tile and applies it.
void dropout_rows(Activations values, const DropoutMask& mask, Index tile, Range rows);

/// Means and states of `rows` in one tile; either may be empty. Lanes past the batch become 0.
void sample_rows(const BernoulliUnits& units, const UnitDraw& draw, ConstActivations values, Activations means,
                 Activations states, Index tile, Range rows);

/// Scores the reconstructions in lanes first_lane .. first_lane + 16 of one tile, adding to `sums` all but `batches`.
void reconstruction_lanes(ConstActivations probabilities, ConstActivations data, Index tile, Index first_lane,
                          Metrics& sums);

/// Scores lanes first_lane .. first_lane + 16 of one tile, adding to `sums` all but `batches`.
void loss_lanes(const Loss& loss, ConstActivations z, const std::int32_t* labels, Activations dz,
                const float* class_weights, const float* targets, Index tile, Index first_lane, Metrics& sums);

}  // namespace espalier
