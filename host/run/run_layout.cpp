#include "host/run/run_layout.hpp"

#include <algorithm>
#include <string_view>

#include "host/formats/output_file.hpp"

namespace espalier::run_layout {
namespace {

constexpr std::string_view degrees_head = "degrees-layer";
constexpr std::string_view weights_head = "weights-layer";
constexpr const char* connections = "connections.npy";  // degrees of the inputs of layer 1, by their usual name

/// What follows the number of a layer in a name that begins with `head`; empty if there is no such number.
std::string_view after_layer(std::string_view name, std::string_view head) {
    if (!name.starts_with(head)) return {};
    const auto end = name.find_first_not_of("0123456789", head.size());
    return end == std::string_view::npos || end == head.size() ? std::string_view{} : name.substr(end);
}

}  // namespace

std::string degrees(std::size_t layer, bool inputs) {
    if (layer == 0 && inputs) return connections;
    return std::string(degrees_head) + std::to_string(layer + 1) + (inputs ? "-inputs.npy" : "-outputs.npy");
}

std::string weight_counts(std::size_t layer) { return std::string(weights_head) + std::to_string(layer + 1) + ".npy"; }

bool is_run_file(const std::filesystem::path& path) {
    std::string name = path.filename().string();
    if (is_temporary(path)) name.erase(name.rfind(".tmp-"));
    const auto fixed = {config,
                        lock,
                        takeover,
                        history_csv,
                        history_jsonl,
                        edges,
                        events,
                        pixels,
                        weight_borders,
                        survival,
                        provenance,
                        network,
                        best_network,
                        connections_first,
                        connections_last,
                        receptive_fields,
                        reconstructions,
                        samples,
                        report,
                        results,
                        connections};
    if (std::find(fixed.begin(), fixed.end(), name) != fixed.end()) return true;
    const std::string_view degrees_tail = after_layer(name, degrees_head);
    return degrees_tail == "-inputs.npy" || degrees_tail == "-outputs.npy" || after_layer(name, weights_head) == ".npy";
}

}  // namespace espalier::run_layout
