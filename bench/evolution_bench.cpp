// Topology evolution on the CPU: prune, regrow, both views rebuilt. Reports nanoseconds per edge held (ns_per_edge).
// Before timing, one evolution of each case is checked. The layer stays the same size, so every iteration does the
// same work on a topology of its own. Layers: SparseNet's two (the first without a CSC view, as in a run), and square
// ones of 1e5, 1e6 and 1e7 edges at 4 % density. Growth by gradient, by the gradient of candidates and by paths reports
// besides how many operations a second it comes to: multiplications and additions of the whole product, or of the
// candidates alone, whatever was skipped; paths of length three.
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

const WeightLaw law = HeNormal{};

struct Case {
    std::string name;
    Index num_inputs;
    Index num_outputs;
    Cell num_edges;
    bool by_input;
};

/// How a layer evolves, and what its rules look at.
struct Rules {
    PruneRule prune = PruneBySign{};
    GrowRule grow = GrowRandom{};
    double zeta = 0.3;
    Evidence evidence = {};
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

void evolve_once(SparseCpuLayer& layer, const Rules& rules, std::uint32_t event, int threads) {
    benchmark::DoNotOptimize(prune(layer, {rules.prune, rules.zeta, {1, 0, event}}, threads));
    const Regrowth regrowth{rules.grow, law, true, {1, 0, event}, rules.evidence};
    benchmark::DoNotOptimize(replace(layer, &regrowth, threads));
}

/// One evolution, checked against what it must leave.
void verify(const Case& shape, const Rules& rules, int threads) {
    const auto held = sparse_layer(shape);
    SparseCpuLayer& layer = *held;
    const auto negative = std::count_if(layer.weights.begin(), layer.weights.end(), [](float w) { return w < 0; });
    const auto positive = std::count_if(layer.weights.begin(), layer.weights.end(), [](float w) { return w > 0; });
    const auto quota = [&](auto count) { return static_cast<EdgeIndex>(rules.zeta * static_cast<double>(count)); };
    const Pruned pruned = prune(layer, {rules.prune, rules.zeta}, threads);
    const bool by_sign = std::holds_alternative<PruneBySign>(rules.prune);
    require(by_sign ? pruned.positive == quota(positive) && pruned.negative == quota(negative)
                    : pruned.total() == quota(shape.num_edges),
            shape, "shares pruned");
    const Regrowth regrowth{rules.grow, law, true, {1, 0, 0}, rules.evidence};
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
                std::equal(view.column_start.begin(), view.column_start.end(), layer.column_start.begin()),
            shape, "transposed view");
}

void evolution(benchmark::State& state, const std::vector<Case>& cases, int threads) {
    std::vector<std::unique_ptr<SparseCpuLayer>> layers;
    double edges = 0;
    for (const Case& shape : cases) {
        verify(shape, {}, threads);
        layers.push_back(sparse_layer(shape));
        edges += static_cast<double>(shape.num_edges);
    }
    std::uint32_t event = 1;
    // one thread is judged by its CPU time, which company on the machine disturbs less
    const auto clock = threads == 1 ? process_seconds : wall_seconds;
    const double start = clock();
    for (auto _ : state) {
        for (const auto& layer : layers) evolve_once(*layer, {}, event, threads);
        ++event;
    }
    const double seconds = (clock() - start) / static_cast<double>(state.iterations());
    state.counters["edges"] = edges;
    state.counters["ns_per_edge"] = 1e9 * seconds / edges;
}

constexpr Index lanes = 64;

/// Values of neurons that differ in size, in tiles; negative ones are 0 where `positive`.
AlignedVector<float> activations(Index rows, Index samples, bool positive) {
    const Stream stream{3, Purpose::initial_weight, positive ? 1U : 2U, 0};
    AlignedVector<float> values(Activations{nullptr, rows, samples, lanes}.size(), 0.0F);
    const Activations view{values.data(), rows, samples, lanes};
    for (Index row = 0; row < rows; ++row) {
        const float size = 1e-2F * std::exp(0.7F * normal(stream.bits(~std::uint64_t{row})));
        for (Index s = 0; s < samples; ++s) {
            const float value = size * normal(stream.bits(std::uint64_t{row} * samples + s));
            view.at(row, s) = positive ? std::max(value, 0.0F) : value;
        }
    }
    return values;
}

/// Paths of length three over a layer's edges.
double paths(const SparseCpuLayer& layer) {
    std::vector<double> of_input(layer.num_inputs, 0);
    for (const Index input : layer.column) ++of_input[input];
    double sum = 0;
    for (Index output = 0; output < layer.num_outputs; ++output) {
        const EdgeIndex begin = layer.row_start[output], end = layer.row_start[output + 1];
        for (EdgeIndex slot = begin; slot < end; ++slot) sum += of_input[layer.column[slot]] * (end - begin);
    }
    return sum;
}

double operations(const Case& shape, const GrowRule& grow, Index samples, const SparseCpuLayer& layer) {
    if (const auto* gradient = std::get_if<GrowGradient>(&grow)) {
        const double cells = static_cast<double>(shape.num_inputs) * shape.num_outputs;
        return 2 * samples *
               (gradient->candidates > 0 ? gradient->candidates * static_cast<double>(shape.num_edges) : cells);
    }
    return paths(layer);
}

/// One event of a layer that grows by what it sees: pruning by magnitude, growth, both views.
void growth(benchmark::State& state, const Case& shape, const GrowRule& grow, double zeta, Index samples) {
    const AlignedVector<float> x = activations(shape.num_inputs, samples, true);
    const AlignedVector<float> dz = activations(shape.num_outputs, samples, false);
    const Rules rules{PruneByMagnitude{}, grow, zeta,
                      {{x.data(), shape.num_inputs, samples, lanes}, {dz.data(), shape.num_outputs, samples, lanes}}};
    verify(shape, rules, 1);
    const auto layer = sparse_layer(shape);
    const double work = operations(shape, grow, samples, *layer);
    std::uint32_t event = 1;
    const double start = process_seconds();
    for (auto _ : state) evolve_once(*layer, rules, event++, 1);
    const double seconds = (process_seconds() - start) / static_cast<double>(state.iterations());
    state.counters["edges"] = static_cast<double>(shape.num_edges);
    state.counters["samples"] = samples;
    state.counters["density"] = static_cast<double>(shape.num_edges) / shape.num_inputs / shape.num_outputs;
    state.counters["ns_per_edge"] = 1e9 * seconds / static_cast<double>(shape.num_edges);
    state.counters["operations_per_second"] = work / seconds;
}

void register_growth() {
    struct Growth {
        std::string name;
        Case shape;
        GrowRule grow;
        double zeta;
        Index samples;
    };
    const GrowRule gradient = GrowGradient{};
    const GrowRule candidates = GrowGradient{0, 1};
    const Case first{"784x512", 784, 512, 14256, false};
    const Case second{"512x128", 512, 128, 7040, true};
    const Case million{"20000x20000", 20000, 20000, 1000000, true};
    const Case ten_million{"63246x63246", 63246, 63246, 10000000, true};
    for (const Growth& each : std::vector<Growth>{
             {"gradient", first, gradient, 0.3, 128},
             {"gradient", second, gradient, 0.3, 128},
             {"gradient", {"784x4000", 784, 4000, 95680, false}, gradient, 0.3, 128},
             {"gradient", {"4000x1000", 4000, 1000, 100000, true}, gradient, 0.3, 128},
             {"gradient", million, gradient, 0.3, 32},
             {"candidates", first, candidates, 0.3, 128},
             {"candidates", million, candidates, 0.3, 32},
             {"candidates", ten_million, candidates, 0.3, 32},
             {"ch-l3", first, GrowByPaths{}, 0.3, 1},
             {"ch-l3", {"784x1568", 784, 1568, 12293, false}, GrowByPaths{}, 0.3, 1},
             {"ch-l3", {"1568x1568", 1568, 1568, 24586, true}, GrowByPaths{}, 0.3, 1}}) {
        benchmark::RegisterBenchmark(
            ("growth/" + each.name + "/" + each.shape.name).c_str(),
            [each](benchmark::State& state) { growth(state, each.shape, each.grow, each.zeta, each.samples); })
            ->Unit(benchmark::kMillisecond);
    }
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
    espalier::register_growth();
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
