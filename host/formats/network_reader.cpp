#include <cstddef>
#include <set>
#include <sstream>
#include <utility>

#include "espalier/error.hpp"
#include "espalier/number_text.hpp"
#include "host/formats/network_file.hpp"
#include "host/formats/network_layout.hpp"

namespace espalier {

namespace {

std::string shape_text(const std::vector<std::uint64_t>& shape) {
    std::string written;
    for (const auto extent : shape) written += (written.empty() ? "" : ", ") + std::to_string(extent);
    return "[" + written + "]";
}

/// The tensor of that name; of that shape, if one is given.
const TensorEntry& tensor_of(const SafetensorsFile& file, const std::string& key,
                             const std::optional<std::vector<std::uint64_t>>& shape) {
    const auto found = file.tensors().find(key);
    if (found == file.tensors().end()) file.refuse("expected a tensor '" + key + "', found none");
    if (shape.has_value() && found->second.shape != *shape) {
        file.refuse("tensor '" + key + "': expected shape " + shape_text(*shape) + ", found " +
                    shape_text(found->second.shape));
    }
    return found->second;
}

void read_floats(const SafetensorsFile& file, const std::string& key, const TensorEntry& entry,
                 std::vector<float>& values) {
    if (entry.type != "F32") file.refuse("tensor '" + key + "': expected F32, found " + entry.type);
    values.resize(entry.bytes() / sizeof(float));
    file.read(entry, values.data());
    if (const auto place = network_layout::find_nonfinite(values)) {
        file.refuse(entry, *place * sizeof(float),
                    "tensor '" + key + "': expected finite numbers, found " + number_text(values[*place]));
    }
}

std::string format_of(const SafetensorsFile& file) {
    const auto format = file.metadata().find(network_layout::format_key);
    return format == file.metadata().end() ? "" : format->second;
}
bool is_export(const SafetensorsFile& file) { return format_of(file) == network_layout::export_format; }

/// An array and its optimizer memory, everything checked.
NamedArray read_named_array(const SafetensorsFile& file, const std::string& name, std::set<std::string>& used) {
    NamedArray array{name, {}, {}, {}};
    const std::string own_key = is_export(file) ? name : network_layout::array_key(name);
    const TensorEntry& entry = tensor_of(file, own_key, std::nullopt);
    array.shape = entry.shape;
    read_floats(file, own_key, entry, array.values);
    used.insert(own_key);
    while (file.tensors().contains(network_layout::array_key(name, array.state.size()))) {
        const std::string key = network_layout::array_key(name, array.state.size());
        used.insert(key);
        read_floats(file, key, tensor_of(file, key, array.shape), array.state.emplace_back());
    }
    return array;
}

/// Format 1 knew layers only, so that a machine's visible biases and chains stood where the weights of dense layers
/// beside the first would be. Such a layer is marked, unless its width is by chance that of the outputs before it; then
/// the experiment tells.
void take_machine_from_layers(const SafetensorsFile& file, bool marked, Network& network) {
    const auto experiment = file.metadata().find("experiment");
    const bool said =
        experiment != file.metadata().end() && experiment->second.find("model = \"rbm\"") != std::string::npos;
    if (!marked && !said) return;
    auto& layers = network.layers;
    const auto is = [&](std::size_t l, Index inputs, Index outputs) {
        return !layers[l].is_sparse() && layers[l].num_inputs == inputs &&
               (outputs == 0 || layers[l].num_outputs == outputs);
    };
    if (layers.size() < 2 || layers.size() > 3 || !is(1, layers[0].num_inputs, 1) ||
        (layers.size() == 3 && !is(2, layers[0].num_outputs, 0))) {
        file.refuse("the layers beside the first are not those of a restricted Boltzmann machine");
    }
    network.model = "rbm";
    network.arrays.push_back(
        {"visible_bias", {layers[1].weights.size()}, std::move(layers[1].weights), std::move(layers[1].weight_state)});
    if (layers.size() == 3) {
        network.arrays.push_back(
            {"chains", {layers[2].num_outputs, layers[2].num_inputs}, std::move(layers[2].weights), {}});
    }
    layers.resize(1);
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
        exported_ = is_export(file_) && file_.tensors().contains(key(network_layout::exported_name("row_start")));
        if (exported_ || file_.tensors().contains(key("row_start"))) read_topology();
        while (file_.tensors().contains(key("weight_state." + std::to_string(layer_.weight_state.size())))) {
            layer_.weight_state.emplace_back();
        }
        layer_.bias_state.resize(layer_.weight_state.size());
        if (num_parameters(layer_.activation) > 0) layer_.activation_state.resize(layer_.weight_state.size());
        network_layout::for_each_array(
            layer_, [&](const std::string& name, std::vector<float>& values) { read_array(name, values); });
        return std::move(layer_);
    }

private:
    [[nodiscard]] std::string key(const std::string& rest) const {
        return network_layout::layer_key(number_, exported_ ? network_layout::exported_name(rest) : rest);
    }

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
        return tensor_of(file_, key(rest), shape);
    }

    void read_array(const std::string& name, std::vector<float>& values) {
        read_floats(file_, key(name),
                    tensor(name, network_layout::shape_of(name, layer_, network_layout::edges_of(layer_))), values);
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
    bool exported_ = false;        // a sparse layer under an export's names
    Layer layer_;
};

std::size_t number_of_layers(const SafetensorsFile& file) {
    const auto& metadata = file.metadata();
    const std::string format = format_of(file);
    if (format != network_layout::layers_format && format != network_layout::arrays_format && !is_export(file)) {
        file.refuse(std::string("expected the format '") + network_layout::layers_format + "' or '" +
                    network_layout::arrays_format + "', found " +
                    (format.empty() ? "none; it is not a network of Espalier" : "'" + format + "'"));
    }
    const auto layers = metadata.find(network_layout::layers_key);
    const std::string written = layers == metadata.end() ? "" : layers->second;
    const auto count = number_from<std::uint32_t>(written).value_or(0);
    if (count == 0) {
        file.refuse("expected 'layers' to be a number of layers, found '" + written + "'");
    }
    return count;
}

/// What add_arrays() writes.
void read_arrays(const SafetensorsFile& file, std::set<std::string>& used, Network& network) {
    const auto text = [&](const char* key) {
        used.insert(key);
        const auto found = file.metadata().find(key);
        if (found == file.metadata().end())
            file.refuse(std::string("expected '") + key + "' in __metadata__, found none");
        return found->second;
    };
    network.model = text(network_layout::model_key);
    if (is_export(file)) {
        for (const auto& [name, entry] : file.tensors()) {
            if (!network_layout::is_reserved(name)) network.arrays.push_back(read_named_array(file, name, used));
        }
        return;
    }
    std::istringstream names(text(network_layout::arrays_key));
    for (std::string name; names >> name;) {
        if (std::as_const(network).array(name) != nullptr) file.refuse("array '" + name + "' is named twice");
        network.arrays.push_back(read_named_array(file, name, used));
    }
}

}  // namespace

static Network checked_network(const SafetensorsFile& file, NetworkMetadata* metadata) {
    if (file.has_checksum() || file.metadata().contains(checksum_tensor)) file.expect_checksum();
    return read_network(file, metadata);
}

Network load_network(const std::filesystem::path& path, NetworkMetadata* metadata) {
    return checked_network(SafetensorsFile(path), metadata);
}

Network load_rewritten_network(const std::filesystem::path& path, NetworkMetadata* metadata) {
    return read_network(SafetensorsFile(path), metadata);
}

Network network_from_bytes(std::string_view bytes, NetworkMetadata* metadata, const std::string& shown) {
    return checked_network(SafetensorsFile(bytes, shown), metadata);
}

Network read_network(const SafetensorsFile& file, NetworkMetadata* metadata) {
    const std::size_t count = number_of_layers(file);
    std::set<std::string> used{network_layout::format_key, network_layout::layers_key, checksum_tensor};
    const bool first_format = file.metadata().at(network_layout::format_key) == network_layout::layers_format;
    Network network;
    bool marked = false;
    for (std::size_t l = 0; l < count; ++l) {
        network.layers.push_back(LayerReader(file, l, used).read());
        const std::string beside = network_layout::layer_key(l, "beside");
        if (l > 0 && first_format && file.metadata().contains(beside)) {
            used.insert(beside);
            marked = true;
        } else if (l > 0 && network.layers[l - 1].num_outputs != network.layers[l].num_inputs) {
            file.refuse("layer " + std::to_string(l) + " has " + std::to_string(network.layers[l - 1].num_outputs) +
                        " outputs, layer " + std::to_string(l + 1) + " has " +
                        std::to_string(network.layers[l].num_inputs) + " inputs");
        }
    }
    const bool layers_alone = is_export(file) && !file.metadata().contains(network_layout::model_key);
    if (first_format) {
        take_machine_from_layers(file, marked, network);
    } else if (!layers_alone) {
        read_arrays(file, used, network);
    }
    // Tensors beside the layers (a checksum, a run's progress) are none of this reader's business.
    const auto expect_used = [&](const auto& entries) {
        for (const auto& [key, value] : entries) {
            if (network_layout::is_reserved(key) && !used.contains(key)) {
                file.refuse("'" + key + "' belongs to no layer of this network");
            }
        }
    };
    expect_used(file.tensors());
    expect_used(file.metadata());
    if (metadata != nullptr) {
        metadata->clear();
        for (const auto& [key, value] : file.metadata()) {
            if (!network_layout::is_reserved(key)) metadata->emplace(key, value);
        }
    }
    return network;
}

}  // namespace espalier
