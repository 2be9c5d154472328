#include "host/formats/network_export.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "espalier/error.hpp"
#include "host/formats/npy.hpp"
#include "host/formats/npz.hpp"
#include "host/formats/output_file.hpp"
#include "host/formats/safetensors.hpp"
#include "espalier/version.hpp"

namespace espalier {

namespace fs = std::filesystem;

namespace {

/// Readers want the two index arrays signed and of one type; the narrow one where it suffices.
struct Csr {
    std::vector<std::int32_t> narrow_starts, narrow_columns;
    std::vector<std::int64_t> wide_starts, wide_columns;
    bool wide = false;
    std::uint64_t edges = 0;

    Csr(const Topology& topology) : edges(topology.num_edges()) {
        constexpr std::uint64_t largest = std::numeric_limits<std::int32_t>::max();
        wide = edges > largest || topology.num_inputs > largest;
        if (wide) {
            wide_starts.assign(topology.row_start.begin(), topology.row_start.end());
            wide_columns.assign(topology.column.begin(), topology.column.end());
        } else {
            narrow_starts.assign(topology.row_start.begin(), topology.row_start.end());
            narrow_columns.assign(topology.column.begin(), topology.column.end());
        }
    }
    [[nodiscard]] std::uint64_t item() const { return wide ? 8 : 4; }
    [[nodiscard]] const void* starts() const {
        return wide ? static_cast<const void*>(wide_starts.data()) : narrow_starts.data();
    }
    [[nodiscard]] const void* columns() const {
        return wide ? static_cast<const void*>(wide_columns.data()) : narrow_columns.data();
    }
};

/// Every cell an edge.
Topology full(Index num_inputs, Index num_outputs) {
    Topology topology{num_inputs, num_outputs, {0}, {}};
    for (Index r = 0; r < num_outputs; ++r) {
        for (Index c = 0; c < num_inputs; ++c) topology.column.push_back(c);
        topology.row_start.push_back(topology.num_edges());
    }
    return topology;
}

void make_folder(const fs::path& folder) {
    std::error_code failed;
    fs::create_directories(folder, failed);
    if (failed) throw_unwritable(folder, failed.value());
}

fs::path layer_file(const fs::path& folder, std::size_t layer, const std::string& rest) {
    return folder / ("layer" + std::to_string(layer + 1) + rest);
}

TensorSource raw(const std::string& name, const std::string& type, std::vector<std::uint64_t> shape, const void* items,
                 std::uint64_t bytes) {
    return {name, type, std::move(shape), [items, bytes](OutputFile& file) { file.write(items, bytes); }};
}

/// NAME.npy of what the model has besides its layers.
void write_arrays(const Network& network, const fs::path& folder, std::vector<fs::path>& files) {
    for (const NamedArray& array : network.arrays) {
        files.push_back(folder / (array.name + ".npy"));
        write_npy(files.back(), NpyType::f4, array.shape, array.values.data());
    }
}

/// What a layer's neurons have: biases, and the numbers that their activation trained.
void write_neurons(const Layer& layer, const fs::path& folder, std::size_t l, std::vector<fs::path>& files) {
    files.push_back(layer_file(folder, l, "-bias.npy"));
    write_npy(files.back(), NpyType::f4, {layer.num_outputs}, layer.bias.data());
    const auto parameters = static_cast<std::uint64_t>(num_parameters(layer.activation));
    if (parameters == 0) return;
    files.push_back(layer_file(folder, l, "-activation.npy"));
    write_npy(files.back(), NpyType::f4, {parameters, layer.num_outputs}, layer.activation_parameters.data());
}

/// The names of an activation's fields, in the order in which trained ones are stored.
nlohmann::ordered_json parameter_names(const Activation& activation) {
    nlohmann::ordered_json names = nlohmann::ordered_json::array();
    std::visit(
        [&](const auto& rule) {
            std::apply([&](const auto&... each) { (names.push_back(std::string(each.name)), ...); }, rule.fields());
        },
        activation);
    return names;
}

/// What no array says: shapes, activations.
void write_description(const Network& network, const fs::path& folder, std::vector<fs::path>& files) {
    nlohmann::ordered_json layers = nlohmann::ordered_json::array();
    for (const Layer& layer : network.layers) {
        layers.push_back({{"inputs", layer.num_inputs},
                          {"outputs", layer.num_outputs},
                          {"sparse", layer.is_sparse()},
                          {"edges", layer.weights.size()},
                          {"zero_weights", std::count(layer.weights.begin(), layer.weights.end(), 0.0F)},
                          {"activation", rule_text(layer.activation)}});
        if (num_parameters(layer.activation) > 0) {
            layers.back()["activation_parameters"] = parameter_names(layer.activation);
        }
    }
    const nlohmann::ordered_json described{{"format", "espalier-export-1"}, {"program", version()}, {"layers", layers}};
    const std::string text = described.dump(2) + "\n";
    files.push_back(folder / "network.json");
    write_atomically(files.back(), [&](OutputFile& file) { file.append(text); });
}

}  // namespace

void export_safetensors(const Network& network, const fs::path& file, const NetworkMetadata& said) {
    NetworkMetadata metadata{
        {"format", "espalier-export-1"}, {"layers", std::to_string(network.layers.size())}, {"program", version()}};
    for (const char* key : {"data", "experiment"}) {
        if (const auto found = said.find(key); found != said.end() && !found->second.empty()) metadata.insert(*found);
    }
    std::vector<Csr> indices;
    indices.reserve(network.layers.size());  // the sources point into it
    std::vector<TensorSource> wide, narrow;
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
        const Layer& layer = network.layers[l];
        const std::string head = "layers." + std::to_string(l + 1) + ".";
        metadata[head + "inputs"] = std::to_string(layer.num_inputs);
        metadata[head + "outputs"] = std::to_string(layer.num_outputs);
        metadata[head + "activation"] = rule_text(layer.activation);
        const std::uint64_t rows = std::uint64_t{layer.num_outputs};
        if (layer.is_sparse()) {
            const Csr& csr = indices.emplace_back(*layer.topology);
            auto& sources = csr.wide ? wide : narrow;
            const char* type = csr.wide ? "I64" : "I32";
            sources.push_back(raw(head + "crow_indices", type, {rows + 1}, csr.starts(), (rows + 1) * csr.item()));
            sources.push_back(raw(head + "col_indices", type, {csr.edges}, csr.columns(), csr.edges * csr.item()));
            narrow.push_back(raw(head + "values", "F32", {csr.edges}, layer.weights.data(), csr.edges * sizeof(float)));
        } else {
            narrow.push_back(raw(head + "weight", "F32", {rows, layer.num_inputs}, layer.weights.data(),
                                 layer.weights.size() * sizeof(float)));
        }
        narrow.push_back(raw(head + "bias", "F32", {rows}, layer.bias.data(), rows * sizeof(float)));
        if (const auto parameters = static_cast<std::uint64_t>(num_parameters(layer.activation)); parameters > 0) {
            narrow.push_back(raw(head + "activation_parameters", "F32", {parameters, rows},
                                 layer.activation_parameters.data(), parameters * rows * sizeof(float)));
        }
    }
    for (const NamedArray& array : network.arrays) {
        narrow.push_back(raw(array.name, "F32", array.shape, array.values.data(), array.values.size() * sizeof(float)));
    }
    if (!network.model.empty()) metadata["model"] = network.model;
    wide.insert(wide.end(), narrow.begin(), narrow.end());  // wide items first: all stay aligned
    write_safetensors(file, metadata, wide);
}

std::vector<fs::path> export_scipy(const Network& network, const fs::path& folder) {
    make_folder(folder);
    std::vector<fs::path> files;
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
        const Layer& layer = network.layers[l];
        const Csr csr(layer.is_sparse() ? *layer.topology : full(layer.num_inputs, layer.num_outputs));
        const std::string index = csr.wide ? "<i8" : "<i4";
        const std::int64_t shape[] = {layer.num_outputs, layer.num_inputs};
        const std::uint64_t starts = std::uint64_t{layer.num_outputs} + 1;
        files.push_back(layer_file(folder, l, ".npz"));
        write_npz(files.back(), {{"indices", index, {csr.edges}, csr.columns(), csr.edges * csr.item()},
                                 {"indptr", index, {starts}, csr.starts(), starts * csr.item()},
                                 {"format", "|S3", {}, "csr", 3},
                                 {"shape", "<i8", {2}, shape, sizeof shape},
                                 {"data", "<f4", {csr.edges}, layer.weights.data(), csr.edges * sizeof(float)}});
        write_neurons(layer, folder, l, files);
    }
    write_arrays(network, folder, files);
    write_description(network, folder, files);
    return files;
}

std::vector<fs::path> export_npy(const Network& network, const fs::path& folder) {
    make_folder(folder);
    std::vector<fs::path> files;
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
        const Layer& layer = network.layers[l];
        const std::size_t cells = std::size_t{layer.num_outputs} * layer.num_inputs;
        std::vector<float> dense;
        std::vector<std::uint8_t> mask(cells, layer.is_sparse() ? 0 : 1);
        if (layer.is_sparse()) {
            const Topology& topology = *layer.topology;
            dense.assign(cells, 0.0F);
            for (Index row = 0; row < topology.num_outputs; ++row) {
                for (EdgeIndex e = topology.row_start[row]; e < topology.row_start[row + 1]; ++e) {
                    const std::size_t cell = std::size_t{row} * topology.num_inputs + topology.column[e];
                    dense[cell] = layer.weights[e];
                    mask[cell] = 1;
                }
            }
        }
        const std::vector<std::uint64_t> shape{layer.num_outputs, layer.num_inputs};
        files.push_back(layer_file(folder, l, "-weight.npy"));
        write_npy(files.back(), NpyType::f4, shape, layer.is_sparse() ? dense.data() : layer.weights.data());
        files.push_back(layer_file(folder, l, "-mask.npy"));
        write_npy(files.back(), NpyType::b1, shape, mask.data());
        write_neurons(layer, folder, l, files);
    }
    write_arrays(network, folder, files);
    write_description(network, folder, files);
    return files;
}

}  // namespace espalier
