// The products of a sparse layer: forward (W x), fused backward (W^T dy, edge gradient and update) and the edge
// gradient and update alone. Arguments: inputs, outputs, sparsity in thousandths, batch, threads. Each is first checked
// against a plain loop in double, on the same data; a wrong result is an error, not a time. Counters: GFLOP/s of useful
// work, edges/s, and the fraction of the FMA peak measured beside it (all threads).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "bench/ceiling.hpp"
#include "espalier/topology.hpp"
#include "host/cpu/cpu_backend.hpp"

namespace espalier {
namespace {

enum class Product { forward, fused, edges };

/// Uniform in (-1, 1), the same on every run.
std::vector<float> uniform(std::size_t count, std::uint32_t layer) {
    const Stream stream{11, Purpose::initial_weight, layer, 0};
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = symmetric_uniform(stream.bits(i));
    return values;
}

/// A layer with identity activation, so that dy is the gradient by the preactivation.
struct Problem {
    Index batch;
    Layer layer;
    std::vector<float> x, dy;  // in tiles, lanes past the batch zero

    Problem(Index inputs, Index outputs, double sparsity, Index batch_size, Index lanes) : batch(batch_size) {
        layer.num_inputs = inputs;
        layer.num_outputs = outputs;
        layer.activation = Identity{};
        const auto edges = static_cast<Cell>((1 - sparsity) * static_cast<double>(Cell{inputs} * outputs));
        layer.topology = random_topology(inputs, outputs, edges, ExactCount{}, {1, Purpose::topology, 0, 0});
        layer.weights = uniform(layer.topology->num_edges(), 0);
        layer.bias = uniform(outputs, 1);
        x = tiled(inputs, lanes, 2);
        dy = tiled(outputs, lanes, 3);
    }

    [[nodiscard]] std::vector<float> tiled(Index rows, Index lanes, std::uint32_t seed) const {
        std::vector<float> values = uniform(Activations{nullptr, rows, batch, lanes}.size(), seed);
        const Activations view{values.data(), rows, batch, lanes};
        for (Index r = 0; r < rows; ++r) {
            for (Index s = batch; s < view.tiles() * lanes; ++s) view.at(r, s) = 0;
        }
        return values;
    }
};

/// The layer and its activations in the backend.
struct Loaded {
    Backend& backend;
    std::unique_ptr<DeviceLayer> layer;
    Buffer<float> x_memory, y_memory, dy_memory, dx_memory;
    Buffer<StepScalars> now;
    Activations x, y, dy, dx;

    Loaded(Backend& on, const Problem& problem, bool needs_input_gradient) : backend(on) {
        layer = backend.load(problem.layer, {needs_input_gradient, Momentum{0.5F}});
        x_memory = Buffer<float>(backend, problem.x.size());
        dx_memory = Buffer<float>(backend, problem.x.size());
        y_memory = Buffer<float>(backend, problem.dy.size());
        dy_memory = Buffer<float>(backend, problem.dy.size());
        x_memory.upload(problem.x.data());
        dy_memory.upload(problem.dy.data());
        y_memory.upload(problem.dy.data());
        x = {x_memory.data(), problem.layer.num_inputs, problem.batch, backend.lanes()};
        dx = {dx_memory.data(), x.rows, x.batch, x.lanes};
        y = {y_memory.data(), problem.layer.num_outputs, problem.batch, backend.lanes()};
        dy = {dy_memory.data(), y.rows, y.batch, y.lanes};
        if (!needs_input_gradient) dx = {};
        // so small a step that repeating it leaves the numbers alone
        StepScalars scalars;
        scalars.update.learning_rate = 1e-3F;
        now = Buffer<StepScalars>(backend, 1);
        now.upload(&scalars);
    }

    void enqueue(Product product) {
        if (product == Product::forward) {
            backend.forward(*layer, x, {}, y);
        } else {
            backend.backward(*layer, x, y, dy, dx, now.data());
        }
    }
    [[nodiscard]] std::vector<float> values(const Activations& view, const Buffer<float>& memory) const {
        std::vector<float> result(view.size());
        memory.download(result.data());
        return result;
    }
};

/// The largest error of `got` relative to the size of the sums.
class Error {
public:
    void compare(float got, double want, double size) {
        worst_ = std::max(worst_, std::abs(static_cast<double>(got) - want) / (size + 1e-6));
    }
    [[nodiscard]] bool small() const { return worst_ < 1e-5; }

private:
    double worst_ = 0;
};

bool forward_is_right(Loaded& loaded, const Problem& problem) {
    loaded.enqueue(Product::forward);
    std::vector<float> y = loaded.values(loaded.y, loaded.y_memory);
    const Activations got{y.data(), loaded.y.rows, loaded.y.batch, loaded.y.lanes};
    std::vector<float> x_copy = problem.x;
    const Activations x{x_copy.data(), loaded.x.rows, loaded.x.batch, loaded.x.lanes};
    const Topology& topology = *problem.layer.topology;
    Error error;
    for (Index r = 0; r < topology.num_outputs; ++r) {
        for (Index s = 0; s < problem.batch; ++s) {
            double sum = static_cast<double>(problem.layer.bias[r]);
            double size = std::abs(sum);
            for (EdgeIndex e = topology.row_start[r]; e < topology.row_start[r + 1]; ++e) {
                const double term =
                    static_cast<double>(problem.layer.weights[e]) * static_cast<double>(x.at(topology.column[e], s));
                sum += term;
                size += std::abs(term);
            }
            error.compare(got.at(r, s), sum, size);
        }
    }
    return error.small();
}

/// One step from the layer as it was loaded: dx = W^T dy and, momentum being 0 before it, w -= rate * gradient.
bool backward_is_right(Loaded& loaded, const Problem& problem) {
    loaded.enqueue(Product::fused);
    const Layer after = loaded.backend.store(*loaded.layer);
    std::vector<float> x_copy = problem.x;
    std::vector<float> dy_copy = problem.dy;
    const Activations x{x_copy.data(), loaded.x.rows, loaded.x.batch, loaded.x.lanes};
    const Activations dy{dy_copy.data(), loaded.dy.rows, loaded.dy.batch, loaded.dy.lanes};
    const Topology& topology = *problem.layer.topology;
    std::vector<double> dx(x.size(), 0), dx_size(x.size(), 0);
    Error error;
    for (Index r = 0; r < topology.num_outputs; ++r) {
        for (EdgeIndex e = topology.row_start[r]; e < topology.row_start[r + 1]; ++e) {
            const Index c = topology.column[e];
            double gradient = 0;
            for (Index s = 0; s < problem.batch; ++s) {
                gradient += static_cast<double>(x.at(c, s)) * static_cast<double>(dy.at(r, s));
                const double term = static_cast<double>(problem.layer.weights[e]) * static_cast<double>(dy.at(r, s));
                const auto at = static_cast<std::size_t>(&x.at(c, s) - x.data);
                dx[at] += term;
                dx_size[at] += std::abs(term);
            }
            const double want = static_cast<double>(problem.layer.weights[e]) - 1e-3 * gradient;
            error.compare(after.weights[e], want, 1);
        }
    }
    if (loaded.dx) {
        const std::vector<float> got = loaded.values(loaded.dx, loaded.dx_memory);
        for (std::size_t i = 0; i < got.size(); ++i) error.compare(got[i], dx[i], dx_size[i]);
    }
    return error.small();
}

/// Times spells of about a millisecond, short enough that some of them run undisturbed; on one thread by processor
/// time.
void time_product(benchmark::State& state, Loaded& loaded, Product product, double flops, double edges, int threads) {
    const auto spell = [&](int calls) {
        const double start = threads == 1 ? process_seconds() : wall_seconds();
        for (int i = 0; i < calls; ++i) loaded.enqueue(product);
        loaded.backend.wait();
        return (threads == 1 ? process_seconds() : wall_seconds()) - start;
    };
    spell(2);
    const int calls = std::clamp(static_cast<int>(0.001 / std::max(spell(2) / 2, 1e-7)), 1, 500);
    std::vector<double> seconds;
    double peak = 0;
    for (auto step : state) {
        static_cast<void>(step);
        seconds.push_back(spell(calls) / calls);
        state.SetIterationTime(seconds.back());
        if (seconds.size() % 16 == 1) peak = std::max(peak, fma_peak(0.002) * threads);
    }
    std::sort(seconds.begin(), seconds.end());
    const double best = seconds.front();
    const double median = seconds[seconds.size() / 2];
    state.counters["GFLOP/s"] = 1e-9 * flops / median;
    state.counters["best_GFLOP/s"] = 1e-9 * flops / best;
    state.counters["edges/s"] = edges / median;
    state.counters["F_GFLOP/s"] = 1e-9 * peak;
    state.counters["of_F"] = flops / median / peak;
    state.counters["best_of_F"] = flops / best / peak;
}

void run_product(benchmark::State& state, Product product) {
    const auto inputs = static_cast<Index>(state.range(0));
    const auto outputs = static_cast<Index>(state.range(1));
    const auto batch = static_cast<Index>(state.range(3));
    const auto threads = static_cast<int>(state.range(4));
    const auto backend = make_cpu_backend(threads);
    const Problem problem(inputs, outputs, 1e-3 * static_cast<double>(state.range(2)), batch, backend->lanes());
    Loaded loaded(*backend, problem, product == Product::fused);
    const bool right =
        product == Product::forward ? forward_is_right(loaded, problem) : backward_is_right(loaded, problem);
    if (!right) return state.SkipWithError("the result is wrong");
    const auto edges = static_cast<double>(problem.layer.topology->num_edges());
    const double per_edge = (product == Product::fused ? 4.0 : 2.0) * batch;
    time_product(state, loaded, product, per_edge * edges, edges, threads);
}

void forward(benchmark::State& state) { run_product(state, Product::forward); }
void fused_backward(benchmark::State& state) { run_product(state, Product::fused); }
void edge_gradient(benchmark::State& state) { run_product(state, Product::edges); }

void shapes(benchmark::internal::Benchmark* bench) {
    bench->ArgNames({"in", "out", "sparsity", "batch", "threads"})->UseManualTime()->Unit(benchmark::kMicrosecond);
    for (const int threads : {1, 2}) {
        bench->Args({784, 512, 964, 128, threads});
        bench->Args({512, 128, 893, 128, threads});
        for (const int sparsity : {900, 950, 980, 990}) {
            bench->Args({1024, 1024, sparsity, 128, threads});
            bench->Args({4096, 4096, sparsity, 128, threads});
        }
    }
}

BENCHMARK(forward)->Apply(shapes);
BENCHMARK(fused_backward)->Apply(shapes);
BENCHMARK(edge_gradient)->Apply(shapes);

/// The ceilings by themselves: FLOP/s from registers, bytes/s from each level of the memory.
void ceiling_fma(benchmark::State& state) {
    double peak = 0;
    for (auto step : state) peak = std::max(peak, (static_cast<void>(step), fma_peak()));
    state.counters["GFLOP/s"] = 1e-9 * peak;
}
void ceiling_read(benchmark::State& state) {
    double rate = 0;
    const auto bytes = static_cast<std::size_t>(state.range(0)) << 10;
    for (auto step : state) rate = std::max(rate, (static_cast<void>(step), read_rate(bytes)));
    state.counters["GB/s"] = 1e-9 * rate;
}
BENCHMARK(ceiling_fma)->Iterations(5);
BENCHMARK(ceiling_read)->ArgName("KiB")->Arg(16)->Arg(512)->Arg(8192)->Arg(524288)->Iterations(5);

}  // namespace
}  // namespace espalier

BENCHMARK_MAIN();
