// Topology evolution on the CPU: prune, regrow, both views rebuilt. Reports nanoseconds per edge held (ns_per_edge).
// Before timing, one evolution of each case is checked. The layer stays the same size, so every iteration does the
// same work on a topology of its own. Layers: SparseNet's two (the first without a CSC view, as in a run), and square
// ones of 1e5, 1e6 and 1e7 edges at 4 % density.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "espalier/topology.hpp"
#include "host/bench/ceiling.hpp"
#include "host/cpu/evolution/evolve.hpp"

namespace espalier {
namespace {

constexpr double zeta = 0.3;
const WeightLaw law = HeNormal{};

struct Case {
    std::string name;
    Index num_inputs;
    Index num_outputs;
    Cell num_edges;
    bool by_input;
};

std::unique_ptr<SparseCpuLayer> sparse_layer(const Case& shape) {
    const Topology topology = random_topology(shape.num_inputs, shape.num_outputs, shape.num_edges, ExactCount{},
                                              Stream{1, Purpose::topology, 0, 0});
    auto held = std::make_unique<SparseCpuLayer>();
    SparseCpuLayer& layer = *held;
    layer.num_inputs = shape.num_inputs;
    layer.num_outputs = shape.num_outputs;
    layer.row_start.assign(topology.row_start.begin(), topology.row_start.end());
    layer.column.assign(topology.column.begin(), topology.column.end());
    const Stream stream{1, Purpose::initial_weight, 0, 0};
    for (EdgeIndex slot = 0; slot < topology.num_edges(); ++slot) layer.weights.push_back(normal(stream.bits(slot)));
    if (shape.by_input) {
        const TransposedView view = transposed(topology);
        layer.column_start.assign(view.column_start.begin(), view.column_start.end());
        layer.row.assign(view.row.begin(), view.row.end());
        layer.slot.assign(view.slot.begin(), view.slot.end());
        for (const EdgeIndex slot : view.slot) layer.input_weights.push_back(layer.weights[slot]);
    }
    layer.state.emplace_back(topology.num_edges(), 0.25F);
    return held;
}

void require(bool holds, const Case& shape, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "%s: evolution is wrong: %s\n", shape.name.c_str(), what);
    std::exit(1);
}

void evolve_once(SparseCpuLayer& layer, std::uint32_t event, int threads) {
    benchmark::DoNotOptimize(prune(layer, {PruneBySign{}, zeta}, threads));
    const Regrowth regrowth{GrowRandom{}, law, true, {1, 0, event}};
    benchmark::DoNotOptimize(replace(layer, &regrowth, threads));
}

/// One evolution, checked against what it must leave.
void verify(const Case& shape, int threads) {
    const auto held = sparse_layer(shape);
    SparseCpuLayer& layer = *held;
    const auto negative = std::count_if(layer.weights.begin(), layer.weights.end(), [](float w) { return w < 0; });
    const auto positive = std::count_if(layer.weights.begin(), layer.weights.end(), [](float w) { return w > 0; });
    const auto quota = [](std::ptrdiff_t count) { return static_cast<EdgeIndex>(zeta * static_cast<double>(count)); };
    const Pruned pruned = prune(layer, {PruneBySign{}, zeta}, threads);
    require(pruned.positive == quota(positive) && pruned.negative == quota(negative), shape, "shares pruned");
    const Regrowth regrowth{GrowRandom{}, law, true, {1, 0, 0}};
    require(replace(layer, &regrowth, threads) == pruned.total(), shape, "as many grown");
    const Topology topology{layer.num_inputs,
                            layer.num_outputs,
                            {layer.row_start.begin(), layer.row_start.end()},
                            {layer.column.begin(), layer.column.end()}};
    require(fault(topology).empty(), shape, "invariants of the topology");
    require(topology.num_edges() == shape.num_edges, shape, "edge count");
    require(std::count(layer.state[0].begin(), layer.state[0].end(), 0.0F) == pruned.total(), shape, "state reset");
    if (!shape.by_input) return;
    const TransposedView view = transposed(topology);
    require(std::equal(view.row.begin(), view.row.end(), layer.row.begin()) &&
                std::equal(view.slot.begin(), view.slot.end(), layer.slot.begin()) &&
                std::equal(view.column_start.begin(), view.column_start.end(), layer.column_start.begin()),
            shape, "transposed view");
}

void evolution(benchmark::State& state, const std::vector<Case>& cases, int threads) {
    std::vector<std::unique_ptr<SparseCpuLayer>> layers;
    double edges = 0;
    for (const Case& shape : cases) {
        verify(shape, threads);
        layers.push_back(sparse_layer(shape));
        edges += static_cast<double>(shape.num_edges);
    }
    std::uint32_t event = 1;
    // one thread is judged by its CPU time, which company on the machine disturbs less
    const auto clock = threads == 1 ? process_seconds : wall_seconds;
    const double start = clock();
    for (auto _ : state) {
        for (const auto& layer : layers) evolve_once(*layer, event, threads);
        ++event;
    }
    const double seconds = (clock() - start) / static_cast<double>(state.iterations());
    state.counters["edges"] = edges;
    state.counters["ns_per_edge"] = 1e9 * seconds / edges;
}

Case square(const std::string& name, Cell num_edges) {
    const auto width = static_cast<Index>(std::sqrt(static_cast<double>(num_edges) / 0.04));
    return {name, width, width, num_edges, true};
}

}  // namespace
}  // namespace espalier

int main(int argc, char** argv) {
    using espalier::Case;
    const std::vector<Case> sparse_net{{"sparse_net 784x512", 784, 512, 14256, false},
                                       {"sparse_net 512x128", 512, 128, 7040, true}};
    const std::vector<std::pair<std::string, std::vector<Case>>> all{
        {"sparse_net", sparse_net},
        {"sparse_net_layer_1", {sparse_net[0]}},
        {"sparse_net_layer_2", {sparse_net[1]}},
        {"edges_1e5", {espalier::square("edges_1e5", 100000)}},
        {"edges_1e6", {espalier::square("edges_1e6", 1000000)}},
        {"edges_1e7", {espalier::square("edges_1e7", 10000000)}},
    };
    for (const auto& [name, cases] : all) {
        for (const int threads : {1, 2}) {
            const auto run = [&cases = cases, threads](benchmark::State& state) {
                espalier::evolution(state, cases, threads);
            };
            auto* entry =
                benchmark::RegisterBenchmark(("evolution/" + name + "/threads:" + std::to_string(threads)).c_str(), run)
                    ->Unit(benchmark::kMillisecond);
            if (threads > 1) entry->UseRealTime();
        }
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
