// Growth by gradient on the CPU: the best missing cells in one pass without a matrix, beside what a good engineer would
// write otherwise, tiles of the product by OpenBLAS that are then scanned. One thread, the same evidence and the same
// selection for both, verified to take the same cells but for rounding. Reports billions of multiplications and additions
// a second of the whole product (Gflops), whatever was skipped.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "espalier/topology.hpp"
#include "host/cpu/dense_library.hpp"
#include "host/cpu/evolution/top_gradients.hpp"
#include "host/cpu/memory.hpp"

namespace espalier {
namespace {

constexpr Index lanes = 64;

struct Case {
    std::string name;
    Index num_inputs;
    Index num_outputs;
    Index samples;
    Cell num_edges;
    double zeta;
};

/// A layer with evidence as a perceptron has it: outputs of ReLU, gradients that are 0 where it is, neurons that differ
/// in size.
struct Evidenced {
    Case shape;
    Topology topology;
    AlignedVector<float> x, dz;    // in tiles
    std::vector<float> x_rows, dz_rows;  // [neuron][sample]

    explicit Evidenced(const Case& given)
        : shape(given),
          topology(random_topology(given.num_inputs, given.num_outputs, given.num_edges, ExactCount{},
                                   Stream{1, Purpose::topology, 0, 0})) {
        fill(shape.num_inputs, 1, 0.7F, x, x_rows);
        fill(shape.num_outputs, 2, 1.0F, dz, dz_rows);
        for (float& value : x) value = std::max(value, 0.0F);
        for (float& value : x_rows) value = std::max(value, 0.0F);
    }
    [[nodiscard]] Evidence evidence() const {
        return {{x.data(), shape.num_inputs, shape.samples, lanes}, {dz.data(), shape.num_outputs, shape.samples, lanes}};
    }
    [[nodiscard]] CsrView edges() const {
        return {shape.num_inputs, shape.num_outputs, static_cast<EdgeIndex>(topology.num_edges()),
                topology.row_start.data(), topology.column.data()};
    }
    [[nodiscard]] EdgeIndex wanted() const {
        return static_cast<EdgeIndex>(shape.zeta * static_cast<double>(topology.num_edges()));
    }

private:
    void fill(Index rows, std::uint32_t layer, float spread, AlignedVector<float>& tiled, std::vector<float>& plain) {
        const Stream stream{3, Purpose::initial_weight, layer, 0};
        tiled.assign(Activations{nullptr, rows, shape.samples, lanes}.size(), 0.0F);
        const Activations view{tiled.data(), rows, shape.samples, lanes};
        for (Index row = 0; row < rows; ++row) {
            const float size = 1e-2F * std::exp(spread * normal(stream.bits(~std::uint64_t{row})));
            for (Index s = 0; s < shape.samples; ++s) {
                const std::uint64_t draw = std::uint64_t{row} * shape.samples + s;
                const bool off = layer == 2 && (stream.bits(draw) & 64U) != 0;
                view.at(row, s) = off ? 0.0F : size * normal(stream.bits(draw));
                plain.push_back(view.at(row, s));
            }
        }
    }
};

std::vector<Cell> streamed(const Evidenced& layer) {
    CpuScratch scratch;
    Replacement<std::uint32_t> change;
    change.num_grown = layer.wanted();
    std::vector<std::uint32_t> ranks(change.num_grown);
    ranks.resize(fast_top_gradients(layer.evidence(), layer.edges(), change, {1}, scratch, ranks.data()));
    return {ranks.begin(), ranks.end()};
}

/// Tiles of 256 outputs by OpenBLAS; runs of 16 cells are looked at one by one only where their largest may count.
std::vector<Cell> tiled(const Evidenced& layer) {
    struct Found {
        std::uint32_t key;
        Cell cell;
        bool operator<(const Found& other) const { return key != other.key ? key > other.key : cell < other.cell; }
    };
    constexpr Index tile_rows = 256;
    const auto& [name, num_inputs, num_outputs, samples, num_edges, zeta] = layer.shape;
    static std::vector<float> gradients;
    const DenseLibrary& library = DenseLibrary::get();
    gradients.resize(std::size_t{tile_rows} * num_inputs + 16);
    const EdgeIndex wanted = layer.wanted();
    std::vector<Found> found;
    found.reserve(2 * std::size_t{wanted} + 4096);
    float threshold = 0;
    const auto keep_best = [&] {
        if (found.size() <= wanted) return;
        std::nth_element(found.begin(), found.begin() + (wanted - 1), found.end());
        found.resize(wanted);
        threshold = std::bit_cast<float>(found[wanted - 1].key);
    };
    for (Index first = 0; first < num_outputs; first += tile_rows) {
        const Index rows = std::min(tile_rows, num_outputs - first);
        library.sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(rows), static_cast<int>(num_inputs),
                      static_cast<int>(samples), 1.0F, layer.dz_rows.data() + std::size_t{first} * samples,
                      static_cast<int>(samples), layer.x_rows.data(), static_cast<int>(samples), 0.0F, gradients.data(),
                      static_cast<int>(num_inputs));
        for (Index r = 0; r < rows; ++r) {
            const float* row = gradients.data() + std::size_t{r} * num_inputs;
            const Index* begin = layer.topology.column.data() + layer.topology.row_start[first + r];
            const Index* end = layer.topology.column.data() + layer.topology.row_start[first + r + 1];
            for (Index run = 0; run < num_inputs; run += 16) {
                const Index last = std::min(run + 16, num_inputs);
                float largest = 0;
                for (Index i = run; i < last; ++i) largest = std::max(largest, std::abs(row[i]));
                if (!(largest >= threshold) || largest == 0) continue;
                for (Index i = run; i < last; ++i) {
                    const float magnitude = std::abs(row[i]);
                    if (magnitude < threshold || magnitude == 0 || std::binary_search(begin, end, i)) continue;
                    found.push_back({std::bit_cast<std::uint32_t>(magnitude), Cell{first + r} * num_inputs + i});
                    if (found.size() >= 2 * std::size_t{wanted} + 2048) keep_best();
                }
            }
        }
    }
    keep_best();
    std::vector<Cell> cells;
    for (const Found& each : found) cells.push_back(each.cell);
    std::sort(cells.begin(), cells.end());
    return cells;
}

/// Cells become ranks as those of the streamed selection are.
void verify(const Evidenced& layer) {
    const std::vector<Cell> ranks = streamed(layer);
    std::vector<Cell> cells = tiled(layer);
    const CsrView edges = layer.edges();
    for (Cell& cell : cells) {
        const auto output = static_cast<Index>(cell / edges.num_inputs);
        const EdgeIndex begin = edges.row_start[output], end = edges.row_start[output + 1];
        cell -= static_cast<Cell>(std::lower_bound(edges.column + begin, edges.column + end,
                                                   static_cast<Index>(cell % edges.num_inputs)) -
                                  edges.column);
    }
    std::vector<Cell> common;
    std::set_intersection(ranks.begin(), ranks.end(), cells.begin(), cells.end(), std::back_inserter(common));
    if (ranks.size() == cells.size() && common.size() * 1000 >= ranks.size() * 999) return;
    std::fprintf(stderr, "%s: %zu cells and %zu, of which %zu are the same\n", layer.shape.name.c_str(), ranks.size(),
                 cells.size(), common.size());
    std::exit(1);
}

template <class Select>
void selection(benchmark::State& state, const Case& shape, const Select& select) {
    const Evidenced layer(shape);
    verify(layer);
    for (auto _ : state) benchmark::DoNotOptimize(select(layer));
    state.counters["Gflops"] = benchmark::Counter(2e-9 * shape.num_inputs * shape.num_outputs * shape.samples,
                                                  benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace
}  // namespace espalier

int main(int argc, char** argv) {
    espalier::DenseLibrary::get().set_threads(1);
    const espalier::Case cases[] = {{"sparse_net_784x512", 784, 512, 128, 14256, 0.3},
                                    {"784x4000", 784, 4000, 128, 95680, 0.3},
                                    {"4000x1000", 4000, 1000, 128, 100000, 0.3},
                                    {"4000x1000_zeta_0.1", 4000, 1000, 128, 100000, 0.1}};
    for (const espalier::Case& shape : cases) {
        benchmark::RegisterBenchmark(("gradient/streamed/" + shape.name).c_str(), [shape](benchmark::State& state) {
            espalier::selection(state, shape, espalier::streamed);
        })->Unit(benchmark::kMillisecond);
        benchmark::RegisterBenchmark(("gradient/openblas_tiles/" + shape.name).c_str(), [shape](benchmark::State& state) {
            espalier::selection(state, shape, espalier::tiled);
        })->Unit(benchmark::kMillisecond);
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
