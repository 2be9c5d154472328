#include "host/cpu/evolution/degrees.hpp"

namespace espalier {

Degrees degrees(const SparseCpuLayer& layer) {
    Degrees result;
    result.outputs.resize(layer.num_outputs);
    for (Index row = 0; row < layer.num_outputs; ++row) {
        result.outputs[row] = layer.row_start[row + 1] - layer.row_start[row];
    }
    result.inputs.assign(layer.num_inputs, 0);
    for (const Index column : layer.column) ++result.inputs[column];
    return result;
}

}  // namespace espalier
