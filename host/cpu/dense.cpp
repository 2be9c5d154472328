#include "host/cpu/dense.hpp"

#include <algorithm>
#include <cstring>

#include "host/cpu/dense_library.hpp"
#include "host/cpu/halves.hpp"
#include "host/cpu/operations.hpp"

namespace espalier {

namespace {

int blas(Index number) { return static_cast<int>(number); }

}  // namespace

void dense_product(const DenseCpuLayer& layer, ConstActivations x, Activations y, Index tile, Range outputs) {
    const float* weights = layer.weights.data() + std::size_t{outputs.begin} * layer.num_inputs;
    DenseLibrary::get().sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, blas(outputs.end - outputs.begin),
                              blas(worked_lanes(x.used(tile))), blas(layer.num_inputs), 1.0F, weights,
                              blas(layer.num_inputs), x.row(tile, 0), blas(cpu_lanes), 0.0F,
                              y.row(tile, outputs.begin), blas(cpu_lanes));
}

void dense_input_gradient(const DenseCpuLayer& layer, ConstActivations dy, Activations dx, Index tile, Range inputs) {
    const Index lanes = worked_lanes(dy.used(tile));
    DenseLibrary::get().sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, blas(inputs.end - inputs.begin), blas(lanes),
                              blas(layer.num_outputs), 1.0F, layer.weights.data() + inputs.begin,
                              blas(layer.num_inputs), dy.row(tile, 0), blas(cpu_lanes), 0.0F,
                              dx.row(tile, inputs.begin), blas(cpu_lanes));
    for (Index r = inputs.begin; r < inputs.end && lanes < cpu_lanes; ++r) {
        std::memset(dx.row(tile, r) + lanes, 0, (cpu_lanes - lanes) * sizeof(float));
    }
}

std::size_t dense_scratch(const DenseCpuLayer& layer, Index tiles) {
    return blocks_of_halves(tiles) * std::min(dense_block, layer.num_outputs) * layer.num_inputs;
}

void dense_gradient(const DenseCpuLayer& layer, ConstActivations x, ConstActivations dy, Index tile, Range outputs,
                    float* gradient) {
    DenseLibrary::get().sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, blas(outputs.end - outputs.begin),
                              blas(layer.num_inputs), blas(worked_lanes(x.used(tile))), 1.0F,
                              dy.row(tile, outputs.begin), blas(cpu_lanes), x.row(tile, 0), blas(cpu_lanes), 0.0F,
                              gradient, blas(layer.num_inputs));
}

void dense_update(DenseCpuLayer& layer, ConstActivations x, ConstActivations dy, Range outputs, const UpdateStep& step,
                  float* scratch) {
    const std::size_t weights = std::size_t{outputs.end - outputs.begin} * layer.num_inputs;
    sum_by_halves(x.tiles(), scratch, weights, weights,
                  [&](Index tile, float* to) { dense_gradient(layer, x, dy, tile, outputs, to); });
    update_dense_weights(layer, std::size_t{outputs.begin} * layer.num_inputs, weights, scratch, step);
}

void update_dense_weights(DenseCpuLayer& layer, std::size_t first, std::size_t count, const float* gradient,
                          const UpdateStep& step) {
    StateArrays states{};
    for (std::size_t s = 0; s < layer.state.size(); ++s) states[s] = layer.state[s].data() + first;
    update_parameters(layer.optimizer, layer.weights.data() + first, gradient, states, count, step);
}

}  // namespace espalier
