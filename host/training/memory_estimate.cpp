#include "host/training/memory_estimate.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "espalier/backends.hpp"
#include "espalier/dataset.hpp"
#include "espalier/initialize_network.hpp"
#include "espalier/model.hpp"
#include "espalier/number_text.hpp"
#include "host/data/validation.hpp"
#include "host/models/correlated_birth.hpp"
#include "host/models/mlp.hpp"
#include "host/models/rbm.hpp"
#include "host/models/sensitive_birth.hpp"
#include "host/run/topology_records.hpp"
#include "host/training/evolution_plan.hpp"
#include "host/training/run_training.hpp"

namespace espalier {
namespace {

/// What this process holds now: program, libraries, runtime.
std::uint64_t resident_now() {
    std::uint64_t pages = 0;
    std::uint64_t resident = 0;
    std::ifstream("/proc/self/statm") >> pages >> resident;
    return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

std::uint64_t bytes_of(const Split& split) {
    return split.bytes.size() + sizeof(float) * split.floats.size() + sizeof(std::int32_t) * split.labels.size() +
           sizeof(double) * split.targets.size();
}

/// `probe`: samples whose gradients growth looks at.
std::uint64_t activation_bytes(const Experiment& experiment, const Backend& backend, Index probe) {
    const std::uint64_t lanes = backend.lanes();
    const std::uint64_t batch = std::max<Index>(experiment.batch, min_test_batch);
    const bool saved = saves_apart(experiment.activation, experiment.dropout > 0,
                                   experiment.dropout_gradient == DropoutGradient::unmasked);
    const auto array = [&](Index rows, std::uint64_t samples) {
        return backend.array_bytes(sizeof(float) * ((samples + lanes - 1) / lanes * lanes) * rows);
    };
    if (experiment.model == ModelKind::rbm) {  // two halves of units and signals, means, fields, states
        const std::uint64_t hidden = experiment.persistent ? 5 : 4;
        return array(experiment.layers.front(), batch) * 3 + array(experiment.layers.back(), batch) * hidden;
    }
    const auto of_pass = [&](std::uint64_t samples, Index trained) {
        std::uint64_t bytes = array(experiment.layers.front(), samples);
        for (std::size_t l = 1; l < experiment.layers.size(); ++l) {
            bytes += array(experiment.layers[l], samples) * (saved ? 3 : 2);
            if (experiment.dropout == 0 || l + 1 == experiment.layers.size()) continue;
            const ConstActivations output{nullptr, experiment.layers[l], trained, backend.lanes()};
            bytes += backend.array_bytes(sizeof(std::uint64_t) * dropout_words(output));
        }
        return bytes;
    };
    return of_pass(batch, experiment.batch) + (probe > 0 ? of_pass(probe, probe) : 0);
}

/// A layer's share of the history: both sides' degrees around every evolution (two bytes each for most
/// widths), weight histograms, ages.
std::uint64_t recorded_bytes(const Experiment& experiment) {
    std::uint64_t neurons = 0;
    for (std::size_t l = 0; l + 1 < experiment.layers.size(); ++l) {
        if (is_sparse_layer(experiment, l)) neurons += std::uint64_t{experiment.layers[l]} + experiment.layers[l + 1];
    }
    const std::uint64_t weights = sizeof(std::uint32_t) * weight_bins * (experiment.layers.size() - 1);
    constexpr std::uint64_t edge_bytes = 80;   // a layer's line of edges.csv
    constexpr std::uint64_t line_bytes = 600;  // of history.csv and history.jsonl together
    const std::uint64_t recorded = experiment.epochs / experiment.record_every + 2;
    return recorded * (4 * neurons + weights + edge_bytes * (experiment.layers.size() - 1)) +
           experiment.epochs * line_bytes;
}

/// Kernels in the graphs of an epoch: a backend records what comes again, the steps of training and the test.
/// `layers`: of all layers in a step.
std::uint64_t recorded_launches(const Experiment& experiment, const DataSet& data, std::uint64_t layers) {
    if (experiment.graph == GraphUse::off || experiment.epochs < 2) return 0;
    const auto batches = [&](std::uint64_t samples, std::uint64_t batch) { return (samples + batch - 1) / batch; };
    const std::uint64_t steps = batches(data.train.count(), experiment.batch);
    const std::uint64_t tests = batches(data.test.count(), std::max<Index>(experiment.batch, min_test_batch));
    // gather, loss and update; of an RBM the draws, the products back and the second half of the update
    const bool is_rbm = experiment.model == ModelKind::rbm;
    const std::uint64_t hidden = experiment.layers.size() - 2;
    // dropout is part of the products; made up for at the test, it is undone both ways, and the derivative by itself
    const bool undoes = experiment.dropout > 0 && experiment.dropout_scale == DropoutScale::test;
    const std::uint64_t dropped = undoes ? 3 * hidden : 0;
    const std::uint64_t trained = num_parameters(experiment.activation) > 0 ? 2 * hidden : 0;  // derivative and update
    const std::uint64_t others = is_rbm ? 10 + 4 * std::uint64_t{experiment.cd_steps} : 3 + dropped + trained;
    constexpr std::uint64_t most = 65536;  // steps, which a backend keeps graphs of
    return std::min(steps + tests, most) * (layers + others);
}

/// What growth by gradient takes of a layer while it evolves: both sides of the product again, and twice as many cells
/// as are wanted with what they rank by.
std::uint64_t search_bytes(const Experiment& experiment, std::size_t layer, Cell edges, Index probe) {
    if (probe == 0 || !is_sparse_layer(experiment, layer)) return 0;
    const std::uint64_t neurons = std::uint64_t{experiment.layers[layer]} + experiment.layers[layer + 1];
    const double wanted = scheduled(experiment.zeta, 0, experiment.epochs) * static_cast<double>(edges);
    return sizeof(float) * neurons * probe + 2 * 16 * static_cast<std::uint64_t>(wanted);
}

/// Edges of a new layer, on average where the birth law leaves them to chance.
Cell expected_edges(const Experiment& experiment, std::size_t layer) {
    const Cell edges = initial_edge_count(experiment, layer);
    if (!is_sparse_layer(experiment, layer) || !std::holds_alternative<WithReplacement>(experiment.birth_law)) {
        return edges;
    }
    const double cells = static_cast<double>(experiment.layers[layer]) * experiment.layers[layer + 1];
    return static_cast<Cell>(cells * -std::expm1(-static_cast<double>(edges) / cells));
}

LayerShape expected_shape(const Experiment& experiment, std::size_t layer) {
    return {experiment.layers[layer], experiment.layers[layer + 1], expected_edges(experiment, layer),
            is_sparse_layer(experiment, layer)};
}

/// The most edges that it may come to have.
LayerShape largest_shape(const Experiment& experiment, std::size_t layer) {
    LayerShape shape = expected_shape(experiment, layer);
    const bool grows = experiment.topology == TopologyKind::set && experiment.redistribute != Redistribution::none;
    if (!shape.sparse || !grows) return shape;
    const double cells = static_cast<double>(shape.num_inputs) * shape.num_outputs;
    shape.num_edges = static_cast<Cell>(std::min(cells, experiment.room * static_cast<double>(shape.num_edges)));
    return shape;
}

LayerUse use_of(const Experiment& experiment, const Backend& backend, std::size_t layer) {
    const bool is_rbm = experiment.model == ModelKind::rbm;
    return {layer > 0 || is_rbm, experiment.optimizer, experiment.spmm, experiment.batch, experiment.grow,
            is_rbm ? rbm_gradient_batch(backend, experiment.batch) : 0};
}

/// What a device holds; `loaded`: bytes of layers and workspaces.
void add_device(MemoryEstimate& estimate, const DeviceMemory& device, std::uint64_t recorded, std::uint64_t loaded) {
    estimate.gpu_in_use_bytes = device.in_use;
    estimate.gpu_graph_bytes = device.graph_node * recorded;
    estimate.gpu_bytes = estimate.gpu_in_use_bytes + estimate.gpu_graph_bytes + loaded + estimate.activation_bytes +
                         estimate.data_bytes + estimate.evolution_bytes;
}

/// Of a birth that looks at the data, before anything is trained.
std::uint64_t birth_bytes(const Experiment& experiment, std::uint32_t train_samples) {
    if (std::holds_alternative<ConnectionSensitivity>(experiment.birth_law)) {
        return sensitive_birth_bytes(experiment, train_samples);
    }
    if (!std::holds_alternative<CorrelatedInputs>(experiment.birth_law) || !is_sparse_layer(experiment, 0)) return 0;
    return correlated_birth_bytes(experiment.layers[0], experiment.layers[1], initial_edge_count(experiment, 0));
}

}  // namespace

void expect_within_limits(const Experiment& experiment, const Backend& backend) {
    for (std::size_t l = 0; l + 1 < experiment.layers.size(); ++l) {
        backend.expect_within_limits(expected_shape(experiment, l), use_of(experiment, backend, l));
    }
}

MemoryEstimate estimate_memory(const Experiment& experiment, int keep) {
    return estimate_memory(experiment, *make_backend(experiment), keep);
}

MemoryEstimate estimate_memory(const Experiment& experiment, Backend& backend, int keep) {
    MemoryEstimate estimate;
    estimate.program_bytes = resident_now();
    DataSet data = load_dataset(request_of(experiment));
    check_against_data(experiment, data);
    take_validation(experiment, data);
    expect_edges(experiment);
    expect_within_limits(experiment, backend);
    estimate.data_bytes = bytes_of(data.train) + bytes_of(data.validation) + bytes_of(data.test);
    const bool evolves = experiment.topology == TopologyKind::set;
    const Index probe = evolves ? probe_size(experiment, data.train.count()) : 0;
    estimate.activation_bytes = activation_bytes(experiment, backend, probe);
    estimate.birth_bytes = birth_bytes(experiment, data.train.count());
    const bool is_rbm = experiment.model == ModelKind::rbm;
    if (is_rbm) estimate.parameters += experiment.layers.front();  // the visible biases
    std::uint64_t resident = 0, shared = 0, launches = 0, following = 0;
    for (std::size_t l = 0; l + 1 < experiment.layers.size(); ++l) {
        const LayerShape shape = expected_shape(experiment, l);
        const auto& [inputs, outputs, edges, sparse] = shape;
        const LayerBytes bytes =
            backend.layer_bytes(largest_shape(experiment, l), use_of(experiment, backend, l),
                                scheduled(experiment.zeta, 0, experiment.epochs));
        estimate.layers.push_back({std::to_string(inputs) + " x " + std::to_string(outputs), sparse, edges,
                                   static_cast<double>(edges) / (static_cast<double>(inputs) * outputs),
                                   bytes.resident});
        resident += bytes.resident;
        shared = std::max(shared, bytes.shared);
        launches += bytes.launches;
        if (sparse) following += following_bytes(inputs, outputs, edges);
        estimate.evolution_bytes =
            std::max(estimate.evolution_bytes, bytes.evolving + search_bytes(experiment, l, edges, probe));
        estimate.parameters +=
            edges + outputs + std::uint64_t{outputs} * static_cast<unsigned>(num_parameters(experiment.activation));
        estimate.network_bytes += sizeof(float) * (edges * (sparse ? 2 : 1) + 2 * std::uint64_t{outputs});
    }
    const auto states = static_cast<std::uint64_t>(num_states(experiment.optimizer));
    resident += following;
    const std::uint64_t saved_bytes = estimate.network_bytes + sizeof(float) * states * estimate.parameters;
    const bool has_gpu = backend.name() != "cpu";
    if (has_gpu) {
        add_device(estimate, backend.device_memory(), recorded_launches(experiment, data, launches), resident + shared);
    }
    // Drawn and loaded beside each other, trained and evolved, or read back to be saved: whichever is most.
    const std::uint64_t in_use = following + (has_gpu ? 0 : resident + estimate.activation_bytes);
    const std::uint64_t uploaded = has_gpu ? 0 : estimate.data_bytes, evolving = has_gpu ? 0 : estimate.evolution_bytes;
    // The network last tested is kept while evolution and training go on; its optimizer state fits into what the drawn
    // network left in the heap (measured).
    const bool goes_on = experiment.epochs > 1 && experiment.topology == TopologyKind::set &&
                         std::holds_alternative<EveryEpoch>(experiment.cadence);
    const std::uint64_t tested = goes_on ? estimate.network_bytes : 0;
    estimate.peak_bytes = estimate.program_bytes + in_use + estimate.data_bytes +
                          std::max({uploaded + estimate.network_bytes, tested + evolving, tested + saved_bytes});
    // Before any layer is loaded.
    estimate.peak_bytes = std::max(estimate.peak_bytes, estimate.program_bytes + estimate.data_bytes + estimate.birth_bytes);
    // The network and its next version; checkpoints: those kept, the best, and the one being written.
    const std::uint64_t copies = keep > 0 ? static_cast<std::uint64_t>(keep) + 3 : 2;
    estimate.disk_bytes = copies * (saved_bytes + following) + recorded_bytes(experiment);
    return estimate;
}

std::string estimate_table(const MemoryEstimate& estimate) {
    std::string text;
    char line[160];
    for (std::size_t l = 0; l < estimate.layers.size(); ++l) {
        const auto& layer = estimate.layers[l];
        std::snprintf(line, sizeof line, "layer %zu  %-16s %s %12llu edges  density %.4f  %s\n", l + 1,
                      layer.shape.c_str(), layer.sparse ? "sparse" : "dense ",
                      static_cast<unsigned long long>(layer.edges), layer.density, bytes_text(layer.bytes, 1).c_str());
        text += line;
    }
    const std::pair<const char*, std::uint64_t> rows[] = {
        {"data", estimate.data_bytes},
        {"activations", estimate.activation_bytes},
        {"the birth", estimate.birth_bytes},
        {"an evolution", estimate.evolution_bytes},
        {"the network at rest", estimate.network_bytes},
        {"program", estimate.program_bytes},
        {"memory at the peak", estimate.peak_bytes},
        {"GPU in use before", estimate.gpu_in_use_bytes},
        {"GPU recorded steps", estimate.gpu_graph_bytes},
        {"GPU memory at the peak", estimate.gpu_bytes},
        {"disk", estimate.disk_bytes},
    };
    std::snprintf(line, sizeof line, "%-23s%llu\n", "trained parameters",
                  static_cast<unsigned long long>(estimate.parameters));
    text += line;
    for (const auto& [name, bytes] : rows) {
        if (bytes == 0) continue;
        std::snprintf(line, sizeof line, "%-23s%s\n", name, bytes_text(bytes, 1).c_str());
        text += line;
    }
    return text;
}

std::string estimate_json(const MemoryEstimate& estimate) {
    nlohmann::ordered_json layers = nlohmann::ordered_json::array();
    for (const auto& layer : estimate.layers) {
        layers.push_back({{"shape", layer.shape},
                          {"sparse", layer.sparse},
                          {"edges", layer.edges},
                          {"density", layer.density},
                          {"bytes", layer.bytes}});
    }
    return nlohmann::ordered_json{{"layers", layers},
                                  {"parameters", estimate.parameters},
                                  {"data_bytes", estimate.data_bytes},
                                  {"activation_bytes", estimate.activation_bytes},
                                  {"birth_bytes", estimate.birth_bytes},
                                  {"evolution_bytes", estimate.evolution_bytes},
                                  {"network_bytes", estimate.network_bytes},
                                  {"program_bytes", estimate.program_bytes},
                                  {"peak_bytes", estimate.peak_bytes},
                                  {"gpu_bytes", estimate.gpu_bytes},
                                  {"gpu_in_use_bytes", estimate.gpu_in_use_bytes},
                                  {"gpu_graph_bytes", estimate.gpu_graph_bytes},
                                  {"disk_bytes", estimate.disk_bytes}}
        .dump();
}

}  // namespace espalier
