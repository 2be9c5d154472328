#include "host/formats/network_file.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <limits>
#include <numeric>

#include "espalier/error.hpp"
#include "espalier/number_text.hpp"
#include "host/formats/network_layout.hpp"

namespace espalier {

namespace {

std::uint64_t product(const std::vector<std::uint64_t>& shape) {
    return std::accumulate(shape.begin(), shape.end(), std::uint64_t{1}, std::multiplies<>());
}

/// Readers like PyTorch want CSR indices signed, and all of them of one type: the narrow one where it suffices.
std::string index_type(const Network& network) {
    constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max());
    for (const Layer& layer : network.layers) {
        if (layer.num_inputs > largest || network_layout::edges_of(layer).value_or(0) > largest) return "I64";
    }
    return "I32";
}

void write_indices(OutputFile& file, const std::vector<std::uint32_t>& indices, const std::string& type) {
    if (type == "I32") {
        file.write(indices.data(), indices.size() * sizeof(std::uint32_t));
        return;
    }
    constexpr std::size_t chunk = 1 << 16;
    std::vector<std::int64_t> wide;
    for (std::size_t first = 0; first < indices.size(); first += chunk) {
        const std::size_t last = std::min(indices.size(), first + chunk);
        wide.assign(indices.begin() + static_cast<std::ptrdiff_t>(first),
                    indices.begin() + static_cast<std::ptrdiff_t>(last));
        file.write(wide.data(), wide.size() * sizeof(std::int64_t));
    }
}

void check_finite(const std::filesystem::path& path, const std::string& name, const std::vector<float>& values) {
    if (const auto place = network_layout::find_nonfinite(values)) {
        throw UserError(ExitCode::nonfinite, name + "[" + std::to_string(*place) + "] is " +
                                                 number_text(values[*place]) + "; " + path.string() +
                                                 " is not written");
    }
}

/// What only a programmer can have got wrong, and non-finite numbers, which no file shall hold.
void check_saveable(const std::filesystem::path& path, const Layer& layer, std::size_t number) {
    expects(!layer.is_sparse() || fault(*layer.topology).empty(), "a topology without fault");
    expects(layer.weight_state.size() == layer.bias_state.size(), "as many states of weights as of biases");
    expects(num_parameters(layer.activation) == 0 || layer.activation_state.size() == layer.weight_state.size(),
            "as many states of activation parameters as of weights");
    network_layout::for_each_array(layer, [&](const std::string& name, const std::vector<float>& values) {
        expects(values.size() == product(network_layout::shape_of(name, layer, network_layout::edges_of(layer))),
                "arrays of their layer's shape");
        check_finite(path, "layer " + std::to_string(number + 1) + ": " + name, values);
    });
}

void check_saveable(const std::filesystem::path& path, const NamedArray& array) {
    expects(!array.name.empty() && array.name.find(' ') == std::string::npos, "an array with a name");
    expects(array.values.size() == product(array.shape), "an array of its own shape");
    check_finite(path, array.name, array.values);
    for (const std::vector<float>& state : array.state) {
        expects(state.size() == array.values.size(), "optimizer memory of its array's shape");
        check_finite(path, array.name + "_state", state);
    }
}

/// What a model has besides its layers.
void add_arrays(const std::filesystem::path& path, const Network& network, NetworkMetadata& metadata,
                std::vector<TensorSource>& tensors) {
    std::string names;
    const auto add = [&](const std::string& key, const NamedArray& array, const std::vector<float>& values) {
        tensors.push_back({key, "F32", array.shape,
                           [&values](OutputFile& file) { file.write(values.data(), values.size() * sizeof(float)); }});
    };
    for (const NamedArray& array : network.arrays) {
        check_saveable(path, array);
        names += (names.empty() ? "" : " ") + array.name;
        add(network_layout::array_key(array.name), array, array.values);
        for (std::size_t k = 0; k < array.state.size(); ++k)
            add(network_layout::array_key(array.name, k), array, array.state[k]);
    }
    metadata[network_layout::model_key] = network.model;
    metadata[network_layout::arrays_key] = names;
}

}  // namespace

using WriteTensors = std::function<void(const NetworkMetadata& metadata, const std::vector<TensorSource>& tensors)>;

/// Hands `write` what a file of the network holds; `path` is its name in errors.
static void write_network(const std::filesystem::path& path, const Network& network, const NetworkMetadata& metadata,
                          const std::vector<TensorSource>& extra, const WriteTensors& write) {
    NetworkMetadata all = metadata;
    for (const auto& [key, value] : metadata)
        expects(!network_layout::is_reserved(key), "metadata that leaves the format's keys alone");
    const bool only_layers = network.model.empty() && network.arrays.empty();
    all[network_layout::format_key] = only_layers ? network_layout::layers_format : network_layout::arrays_format;
    all[checksum_tensor] = "SHA-256";
    all[network_layout::layers_key] = std::to_string(network.layers.size());
    const std::string indices = index_type(network);
    std::vector<TensorSource> topologies = extra;
    std::vector<TensorSource> arrays;
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
        const Layer& layer = network.layers[l];
        check_saveable(path, layer, l);
        expects(l == 0 || network.layers[l - 1].num_outputs == layer.num_inputs, "layers that follow each other");
        all[network_layout::layer_key(l, "inputs")] = std::to_string(layer.num_inputs);
        all[network_layout::layer_key(l, "outputs")] = std::to_string(layer.num_outputs);
        all[network_layout::layer_key(l, "activation")] = rule_text(layer.activation);
        if (layer.is_sparse()) {
            const Topology& topology = *layer.topology;
            topologies.push_back(
                {network_layout::layer_key(l, "row_start"),
                 indices,
                 {topology.row_start.size()},
                 [&topology, &indices](OutputFile& file) { write_indices(file, topology.row_start, indices); }});
            topologies.push_back(
                {network_layout::layer_key(l, "column"),
                 indices,
                 {topology.column.size()},
                 [&topology, &indices](OutputFile& file) { write_indices(file, topology.column, indices); }});
        }
        network_layout::for_each_array(layer, [&](const std::string& name, const std::vector<float>& values) {
            arrays.push_back(
                {network_layout::layer_key(l, name), "F32",
                 network_layout::shape_of(name, layer, network_layout::edges_of(layer)),
                 [&values](OutputFile& file) { file.write(values.data(), values.size() * sizeof(float)); }});
        });
    }
    if (!only_layers) add_arrays(path, network, all, arrays);
    topologies.insert(topologies.end(), arrays.begin(), arrays.end());
    // The wide items first, so that every tensor lies at a multiple of its item's size.
    std::stable_sort(topologies.begin(), topologies.end(), [](const TensorSource& a, const TensorSource& b) {
        return tensor_item_size(a.type) > tensor_item_size(b.type);
    });
    write(all, topologies);
}

void save_network(const std::filesystem::path& path, const Network& network, const NetworkMetadata& metadata,
                  const std::vector<TensorSource>& extra) {
    write_network(path, network, metadata, extra,
                  [&](const auto& all, const auto& tensors) { write_safetensors(path, all, tensors); });
}

void save_network(const std::filesystem::path& path, const Network& network, const NetworkMetadata& metadata) {
    save_network(path, network, metadata, {});
}

std::string network_bytes(const Network& network, const NetworkMetadata& metadata) {
    std::string bytes;
    write_network("memory", network, metadata, {},
                  [&](const auto& all, const auto& tensors) { bytes = safetensors_bytes(all, tensors); });
    return bytes;
}

}  // namespace espalier
