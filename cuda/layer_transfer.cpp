#include "cuda/layer_transfer.hpp"

#include <algorithm>

#include "cuda/check.hpp"
#include "cuda/device.hpp"
#include "cuda/limits.hpp"
#include "cuda/operations.hpp"
#include "cuda/rank_share.hpp"
#include "cuda/tile.hpp"
#include "espalier/error.hpp"

namespace espalier::cuda {
namespace {

template <class T>
void clear_array(cudaStream_t stream, T* from, std::size_t count) {
    if (count > 0) check(cudaMemsetAsync(from, 0, count * sizeof(T), stream), "clearing memory");
}

/// `values` in device memory, zeros up to `size`. The values must stay until somebody waits.
template <class T>
Array<T> uploaded(cudaStream_t stream, Memory& memory, const std::vector<T>& values, std::size_t size) {
    Array<T> array(memory, size);
    if (!values.empty()) {
        check(cudaMemcpyAsync(array.data(), values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice, stream),
              "an upload");
    }
    clear_array(stream, array.data() + values.size(), size - values.size());
    return array;
}
template <class T>
Array<T> zeros(cudaStream_t stream, Memory& memory, std::size_t size) {
    Array<T> array(memory, size);
    clear_array(stream, array.data(), size);
    return array;
}

/// Parameters with their optimizer memory, or zeros where the layer brings none.
TrainedArray trained(cudaStream_t stream, Memory& memory, const std::vector<float>& values,
                     const std::vector<std::vector<float>>& states, std::size_t num_states, std::size_t size) {
    TrainedArray result;
    result.values = uploaded(stream, memory, values, size);
    for (std::size_t s = 0; s < num_states; ++s) {
        result.states.push_back(states.empty() ? zeros<float>(stream, memory, size)
                                               : uploaded(stream, memory, states[s], size));
    }
    return result;
}

/// How the layer multiplies, by the topology it begins with: later ones have no more edges.
void plan_products(Memory& memory, const Topology& topology, const LayerUse& use, CudaLayer& layer) {
    const SpmmDevice device = spmm_device();
    SpmmShape shape{layer.num_outputs, layer.num_inputs, layer.num_edges, 0, use.batch, use.gradient_batch};
    std::vector<EdgeIndex> length(layer.num_inputs);
    for (Index r = 0; r < layer.num_outputs; ++r) {
        shape.longest_row = std::max(shape.longest_row, topology.row_start[r + 1] - topology.row_start[r]);
    }
    layer.forward_product = plan_product(memory, use.spmm, shape, device);
    layer.gradient_product = plan_gradient(memory, use.spmm, shape, device);
    if (!use.needs_input_gradient) return;
    for (const Index column : topology.column) ++length[column];
    shape = {layer.num_inputs, layer.num_outputs, layer.num_edges, 0, use.batch};
    for (const EdgeIndex each : length) shape.longest_row = std::max(shape.longest_row, each);
    layer.input_product = plan_product(memory, use.spmm, shape, device);
}

void wait(cudaStream_t stream) { check(cudaStreamSynchronize(stream), "work on the device"); }

/// Waits.
void add_topology(cudaStream_t stream, Memory& memory, const Topology& topology, const LayerUse& use,
                  SparseLibrary* library, CudaLayer& layer) {
    const std::size_t edges = padded_edges(topology.num_edges());
    layer.row_start = uploaded(stream, memory, topology.row_start, topology.row_start.size());
    layer.column = uploaded(stream, memory, topology.column, edges);
    layer.row_order = Array<Index>(memory, layer.num_outputs);
    if (use.needs_input_gradient) {
        layer.column_start = Array<EdgeIndex>(memory, std::size_t{layer.num_inputs} + 1);
        layer.row = zeros<Index>(stream, memory, edges);
        layer.slot = zeros<EdgeIndex>(stream, memory, edges);
        layer.column_order = Array<Index>(memory, layer.num_inputs);
    }
    plan_products(memory, topology, use, layer);
    if (library != nullptr) layer.library = library_products(*library, memory, layer);
    rebuild_views(stream, memory, layer);
    wait(stream);
}

}  // namespace

template <class T>
std::vector<T> downloaded(cudaStream_t stream, const T* from, std::size_t count) {
    std::vector<T> values(count);
    if (count == 0) return values;
    check(cudaMemcpyAsync(values.data(), from, count * sizeof(T), cudaMemcpyDeviceToHost, stream), "a download");
    wait(stream);
    return values;
}
template std::vector<float> downloaded(cudaStream_t, const float*, std::size_t);
template std::vector<std::uint32_t> downloaded(cudaStream_t, const std::uint32_t*, std::size_t);

std::unique_ptr<CudaLayer> layer_in_use(cudaStream_t stream, Memory& memory, const Layer& layer, const LayerUse& use,
                                        Blas* blas, SparseLibrary* library) {
    expect_within_limits({layer.num_inputs, layer.num_outputs, layer.weights.size(), layer.is_sparse()}, use);
    const auto states = static_cast<std::size_t>(num_states(use.optimizer));
    auto result = std::make_unique<CudaLayer>();
    const SpmmDevice device = spmm_device();
    result->multiprocessors = device.multiprocessors;
    result->shared_bytes = device.shared_bytes;
    result->num_inputs = layer.num_inputs;
    result->num_outputs = layer.num_outputs;
    result->num_edges = static_cast<EdgeIndex>(layer.weights.size());
    result->is_sparse = layer.topology.has_value();
    result->activation = layer.activation;
    result->optimizer = use.optimizer;
    result->weights =
        trained(stream, memory, layer.weights, layer.weight_state, states, padded_edges(layer.weights.size()));
    result->bias = trained(stream, memory, layer.bias, layer.bias_state, states, layer.num_outputs);
    result->activation_parameters = trained(stream, memory, layer.activation_parameters, layer.activation_state, states,
                                            layer.activation_parameters.size());
    result->neuron_sums = Array<float>(memory, layer.activation_parameters.size());
    if (!result->is_sparse && blas != nullptr) {
        result->blas = blas;
        make_room_for_tiles(memory, *result, tiles_of(use.backward_batch()));
    } else if (!result->is_sparse) {
        add_topology(stream, memory, full_topology(layer.num_inputs, layer.num_outputs), use, library, *result);
    } else {
        add_topology(stream, memory, *layer.topology, use, library, *result);
    }
    wait(stream);
    return result;
}

void make_room_for_tiles(Memory& memory, CudaLayer& layer, Index tiles) {
    const auto grow = [&](Array<float>& array, std::size_t floats) {
        if (array.size() >= floats) return;
        array = Array<float>();
        array = Array<float>(memory, floats);
        ++layer.versions;
    };
    const std::size_t edges = layer.num_edges;
    if (layer.gradient_by_panels()) grow(layer.gradient_product.parts, edges * tiles);
    if (layer.blas != nullptr) grow(layer.weight_gradient, edges * (levels_of_halves(tiles) + 1));
}

Layer layer_at_rest(cudaStream_t stream, const CudaLayer& layer) {
    Layer result;
    result.num_inputs = layer.num_inputs;
    result.num_outputs = layer.num_outputs;
    result.activation = layer.activation;
    if (layer.is_sparse) {
        result.topology.emplace();
        result.topology->num_inputs = layer.num_inputs;
        result.topology->num_outputs = layer.num_outputs;
        result.topology->row_start = downloaded(stream, layer.row_start.data(), layer.row_start.size());
        result.topology->column = downloaded(stream, layer.column.data(), layer.num_edges);
    }
    const auto store = [&](const TrainedArray& array, std::size_t count, std::vector<float>& values,
                           std::vector<std::vector<float>>& states) {
        values = downloaded(stream, array.values.data(), count);
        for (const auto& state : array.states) states.push_back(downloaded(stream, state.data(), count));
    };
    store(layer.weights, layer.num_edges, result.weights, result.weight_state);
    store(layer.bias, layer.num_outputs, result.bias, result.bias_state);
    store(layer.activation_parameters, layer.activation_parameters.values.size(), result.activation_parameters,
          result.activation_state);
    return result;
}

void clear_state(cudaStream_t stream, const CudaLayer& layer) {
    for (const TrainedArray* array : {&layer.weights, &layer.bias, &layer.activation_parameters}) {
        for (const auto& state : array->states) {
            clear_array(stream, state.data(), state.size());
        }
    }
}

}  // namespace espalier::cuda
