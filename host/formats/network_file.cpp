#include "host/formats/network_file.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "espalier/error.hpp"
#include "espalier/number_text.hpp"

namespace espalier {

namespace {

constexpr const char* format_key = "format";
constexpr const char* format_name = "espalier-network-1";
constexpr const char* layers_key = "layers";
constexpr const char* beside_key = "beside";  // of a layer that does not take the outputs of the one before

std::string layer_key(std::size_t layer, const std::string& rest) {
    return "layers." + std::to_string(layer + 1) + "." + rest;
}

/// Keys that belong to the format itself, not to the caller.
bool is_reserved(const std::string& key) {
    return key == format_key || key == layers_key || key == checksum_tensor || key.starts_with("layers.");
}

/// The float arrays of a layer with their names, in file order.
template <class AnyLayer, class Visitor>
void for_each_array(AnyLayer& layer, Visitor&& visit) {
    visit("weight", layer.weights);
    visit("bias", layer.bias);
    const bool parametric = num_parameters(layer.activation) > 0;
    if (parametric) visit("activation_parameters", layer.activation_parameters);
    for (std::size_t k = 0; k < layer.weight_state.size(); ++k) {
        visit("weight_state." + std::to_string(k), layer.weight_state[k]);
        visit("bias_state." + std::to_string(k), layer.bias_state[k]);
        if (parametric) visit("activation_state." + std::to_string(k), layer.activation_state[k]);
    }
}

/// The shape of an array of for_each_array; `edges` only for a sparse layer.
std::vector<std::uint64_t> shape_of(const std::string& name, const Layer& layer, std::optional<std::uint64_t> edges) {
    if (name.starts_with("bias")) return {layer.num_outputs};
    if (name.starts_with("activation")) {
        return {static_cast<std::uint64_t>(num_parameters(layer.activation)), layer.num_outputs};
    }
    if (edges.has_value()) return {*edges};
    return {layer.num_outputs, layer.num_inputs};
}

std::optional<std::uint64_t> edges_of(const Layer& layer) {
    if (!layer.is_sparse()) return std::nullopt;
    return layer.topology->num_edges();
}

/// Readers like PyTorch want CSR indices signed, and all of them of one type: the narrow one where it suffices.
std::string index_type(const Network& network) {
    constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max());
    for (const Layer& layer : network.layers) {
        if (layer.num_inputs > largest || edges_of(layer).value_or(0) > largest) return "I64";
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

/// Place of the first NaN or infinity, if there is one.
std::optional<std::size_t> find_nonfinite(const std::vector<float>& values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (!std::isfinite(values[i])) return i;
    }
    return std::nullopt;
}

/// What only a programmer can have got wrong, and non-finite numbers, which no file shall hold.
void check_saveable(const std::filesystem::path& path, const Layer& layer, std::size_t number) {
    expects(!layer.is_sparse() || fault(*layer.topology).empty(), "a topology without fault");
    expects(layer.weight_state.size() == layer.bias_state.size(), "as many states of weights as of biases");
    expects(num_parameters(layer.activation) == 0 || layer.activation_state.size() == layer.weight_state.size(),
            "as many states of activation parameters as of weights");
    for_each_array(layer, [&](const std::string& name, const std::vector<float>& values) {
        std::uint64_t size = 1;
        for (const auto extent : shape_of(name, layer, edges_of(layer))) size *= extent;
        expects(values.size() == size, "arrays of their layer's shape");
        if (const auto place = find_nonfinite(values)) {
            throw UserError(ExitCode::nonfinite, "layer " + std::to_string(number + 1) + ": " + name + "[" +
                                                     std::to_string(*place) + "] is " + number_text(values[*place]) +
                                                     "; " + path.string() + " is not written");
        }
    });
}

/// A layer read from an open file, everything checked.
class LayerReader {
public:
    LayerReader(const SafetensorsFile& file, std::size_t number, std::set<std::string>& used)
        : file_(file), number_(number), used_(used) {}

    Layer read() {
        layer_.num_inputs = width("inputs");
        layer_.num_outputs = width("outputs");
        read_activation();
        if (file_.tensors().contains(key("row_start"))) read_topology();
        while (file_.tensors().contains(key("weight_state." + std::to_string(layer_.weight_state.size())))) {
            layer_.weight_state.emplace_back();
        }
        layer_.bias_state.resize(layer_.weight_state.size());
        if (num_parameters(layer_.activation) > 0) layer_.activation_state.resize(layer_.weight_state.size());
        for_each_array(layer_, [&](const std::string& name, std::vector<float>& values) { read_array(name, values); });
        return std::move(layer_);
    }

private:
    [[nodiscard]] std::string key(const std::string& rest) const { return layer_key(number_, rest); }

    const std::string& text(const std::string& rest) {
        used_.insert(key(rest));
        const auto found = file_.metadata().find(key(rest));
        if (found == file_.metadata().end()) file_.refuse("expected '" + key(rest) + "' in __metadata__, found none");
        return found->second;
    }

    Index width(const std::string& rest) {
        const std::string& written = text(rest);
        const Index value = number_from<Index>(written).value_or(0);
        if (value == 0) {
            file_.refuse("expected '" + key(rest) + "' to be a number of neurons, found '" + written + "'");
        }
        return value;
    }

    void read_activation() {
        try {
            layer_.activation = parse_rule<Activation>(text("activation"));
        } catch (const UserError& error) {
            if (error.code() == ExitCode::checkpoint) throw;
            file_.refuse("'" + key("activation") + "': " + error.what());
        }
    }

    const TensorEntry& tensor(const std::string& rest, const std::vector<std::uint64_t>& shape) {
        used_.insert(key(rest));
        const auto found = file_.tensors().find(key(rest));
        if (found == file_.tensors().end()) file_.refuse("expected a tensor '" + key(rest) + "', found none");
        if (found->second.shape != shape) {
            file_.refuse("tensor '" + key(rest) + "': expected shape " + shape_text(shape) + ", found " +
                         shape_text(found->second.shape));
        }
        return found->second;
    }

    static std::string shape_text(const std::vector<std::uint64_t>& shape) {
        std::string written;
        for (const auto extent : shape) written += (written.empty() ? "" : ", ") + std::to_string(extent);
        return "[" + written + "]";
    }

    void read_array(const std::string& name, std::vector<float>& values) {
        const TensorEntry& entry = tensor(name, shape_of(name, layer_, edges_of(layer_)));
        if (entry.type != "F32") file_.refuse("tensor '" + key(name) + "': expected F32, found " + entry.type);
        values.resize(entry.bytes() / sizeof(float));
        file_.read(entry, values.data());
        if (const auto place = find_nonfinite(values)) {
            file_.refuse(entry, *place * sizeof(float),
                         "tensor '" + key(name) + "': expected finite numbers, found " + number_text(values[*place]));
        }
    }

    void read_topology() {
        Topology& topology = layer_.topology.emplace();
        topology.num_inputs = layer_.num_inputs;
        topology.num_outputs = layer_.num_outputs;
        topology.row_start = read_indices("row_start", {std::uint64_t{layer_.num_outputs} + 1});
        topology.column = read_indices("column", {topology.row_start.back()});
        if (const std::string broken = fault(topology); !broken.empty()) {
            file_.refuse(file_.tensors().at(key("column")), 0,
                         "topology of layer " + std::to_string(number_ + 1) + ": " + broken);
        }
    }

    std::vector<std::uint32_t> read_indices(const std::string& name, const std::vector<std::uint64_t>& shape) {
        const TensorEntry& entry = tensor(name, shape);
        if (entry.type == "I32") return read_indices_as<std::int32_t>(name, entry);
        if (entry.type == "I64") return read_indices_as<std::int64_t>(name, entry);
        file_.refuse("tensor '" + key(name) + "': expected I32 or I64, found " + entry.type);
    }

    template <class Stored>
    std::vector<std::uint32_t> read_indices_as(const std::string& name, const TensorEntry& entry) {
        std::vector<Stored> stored(entry.bytes() / sizeof(Stored));
        file_.read(entry, stored.data());
        for (std::size_t i = 0; i < stored.size(); ++i) {
            if (!std::in_range<std::uint32_t>(stored[i])) {
                file_.refuse(entry, i * sizeof(Stored),
                             "tensor '" + key(name) + "': expected an index, found " + std::to_string(stored[i]));
            }
        }
        return {stored.begin(), stored.end()};
    }

    const SafetensorsFile& file_;
    std::size_t number_;
    std::set<std::string>& used_;  // keys of tensors and metadata asked for
    Layer layer_;
};

std::size_t number_of_layers(const SafetensorsFile& file) {
    const auto& metadata = file.metadata();
    const auto format = metadata.find(format_key);
    if (format == metadata.end() || format->second != format_name) {
        file.refuse(std::string("expected the format '") + format_name + "', found " +
                    (format == metadata.end() ? "none; it is not a network of Espalier" : "'" + format->second + "'"));
    }
    const auto layers = metadata.find(layers_key);
    const std::string written = layers == metadata.end() ? "" : layers->second;
    const auto count = number_from<std::uint32_t>(written).value_or(0);
    if (count == 0) {
        file.refuse("expected 'layers' to be a number of layers, found '" + written + "'");
    }
    return count;
}

}  // namespace

void save_network(const std::filesystem::path& path, const Network& network, const NetworkMetadata& metadata) {
    save_network(path, network, metadata, {});
}

void save_network(const std::filesystem::path& path, const Network& network, const NetworkMetadata& metadata,
                  const std::vector<TensorSource>& extra) {
    NetworkMetadata all = metadata;
    for (const auto& [key, value] : metadata)
        expects(!is_reserved(key), "metadata that leaves the format's keys alone");
    all[format_key] = format_name;
    all[checksum_tensor] = "SHA-256";
    all[layers_key] = std::to_string(network.layers.size());
    const std::string indices = index_type(network);
    std::vector<TensorSource> topologies = extra;
    std::vector<TensorSource> arrays;
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
        const Layer& layer = network.layers[l];
        check_saveable(path, layer, l);
        if (l > 0 && network.layers[l - 1].num_outputs != layer.num_inputs) all[layer_key(l, beside_key)] = "true";
        all[layer_key(l, "inputs")] = std::to_string(layer.num_inputs);
        all[layer_key(l, "outputs")] = std::to_string(layer.num_outputs);
        all[layer_key(l, "activation")] = rule_text(layer.activation);
        if (layer.is_sparse()) {
            const Topology& topology = *layer.topology;
            topologies.push_back(
                {layer_key(l, "row_start"),
                 indices,
                 {topology.row_start.size()},
                 [&topology, &indices](OutputFile& file) { write_indices(file, topology.row_start, indices); }});
            topologies.push_back(
                {layer_key(l, "column"), indices, {topology.column.size()}, [&topology, &indices](OutputFile& file) {
                     write_indices(file, topology.column, indices);
                 }});
        }
        for_each_array(layer, [&](const std::string& name, const std::vector<float>& values) {
            arrays.push_back(
                {layer_key(l, name), "F32", shape_of(name, layer, edges_of(layer)),
                 [&values](OutputFile& file) { file.write(values.data(), values.size() * sizeof(float)); }});
        });
    }
    topologies.insert(topologies.end(), arrays.begin(), arrays.end());
    // The wide items first, so that every tensor lies at a multiple of its item's size.
    std::stable_sort(topologies.begin(), topologies.end(), [](const TensorSource& a, const TensorSource& b) {
        return tensor_item_size(a.type) > tensor_item_size(b.type);
    });
    write_safetensors(path, all, topologies);
}

Network load_network(const std::filesystem::path& path, NetworkMetadata* metadata) {
    const SafetensorsFile file(path);
    if (file.has_checksum() || file.metadata().contains(checksum_tensor)) file.expect_checksum();
    return read_network(file, metadata);
}

Network read_network(const SafetensorsFile& file, NetworkMetadata* metadata) {
    const std::size_t count = number_of_layers(file);
    std::set<std::string> used{format_key, layers_key, checksum_tensor};
    Network network;
    for (std::size_t l = 0; l < count; ++l) {
        network.layers.push_back(LayerReader(file, l, used).read());
        const std::string beside = layer_key(l, beside_key);
        if (l > 0 && file.metadata().contains(beside)) {
            used.insert(beside);
        } else if (l > 0 && network.layers[l - 1].num_outputs != network.layers[l].num_inputs) {
            file.refuse("layer " + std::to_string(l) + " has " + std::to_string(network.layers[l - 1].num_outputs) +
                        " outputs, layer " + std::to_string(l + 1) + " has " +
                        std::to_string(network.layers[l].num_inputs) + " inputs");
        }
    }
    // Tensors beside the layers (a checksum, a run's progress) are none of this reader's business.
    const auto expect_used = [&](const auto& entries) {
        for (const auto& [key, value] : entries) {
            if (is_reserved(key) && !used.contains(key)) {
                file.refuse("'" + key + "' belongs to no layer of this network");
            }
        }
    };
    expect_used(file.tensors());
    expect_used(file.metadata());
    if (metadata != nullptr) {
        metadata->clear();
        for (const auto& [key, value] : file.metadata()) {
            if (!is_reserved(key)) metadata->emplace(key, value);
        }
    }
    return network;
}

}  // namespace espalier
