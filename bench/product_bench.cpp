// The products of a sparse layer: forward (W x), fused backward (W^T dy, edge gradient and update) and the edge
// gradient and update alone. Arguments: inputs, outputs, sparsity in thousandths, batch, threads. Each is first checked
// against a plain loop in double, on the same data; a wrong result is an error, not a time. Counters: GFLOP/s of useful
// work, edges/s, and the fraction of the FMA peak measured beside it (all threads).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "host/bench/ceiling.hpp"
#include "host/bench/product.hpp"
#include "host/cpu/cpu_backend.hpp"

namespace espalier {
namespace {

/// Times spells of about a millisecond, short enough that some of them run undisturbed; on one thread by processor
/// time.
void time_product(benchmark::State& state, LoadedProduct& loaded, Product product, double flops, double edges,
                  int threads) {
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

void run_product(benchmark::State& state, Product product, bool first_layer) {
    const auto inputs = static_cast<Index>(state.range(0));
    const auto outputs = static_cast<Index>(state.range(1));
    const auto batch = static_cast<Index>(state.range(3));
    const auto threads = static_cast<int>(state.range(4));
    const auto backend = make_cpu_backend(threads);
    const ProductProblem problem(inputs, outputs, 1e-3 * static_cast<double>(state.range(2)), batch, backend->lanes());
    LoadedProduct loaded(*backend, problem, !first_layer);
    const std::string wrong = fault(loaded, problem, product);
    if (!wrong.empty()) return state.SkipWithError(wrong.c_str());
    const double per_edge = (product == Product::backward && !first_layer ? 4.0 : 2.0) * batch;
    time_product(state, loaded, product, per_edge * problem.num_edges(), problem.num_edges(), threads);
}

void forward(benchmark::State& state) { run_product(state, Product::forward, true); }
void fused_backward(benchmark::State& state) { run_product(state, Product::backward, false); }
void edge_gradient(benchmark::State& state) { run_product(state, Product::backward, true); }

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
    const auto threads = static_cast<int>(state.range(0));
    for (auto step : state) {
        static_cast<void>(step);
        peak = std::max(peak, threads == 1 ? fma_peak() : fma_rate_of(threads));
    }
    state.counters["GFLOP/s"] = 1e-9 * peak;
}
void ceiling_read(benchmark::State& state) {
    double rate = 0;
    const auto bytes = static_cast<std::size_t>(state.range(0)) << 10;
    for (auto step : state) rate = std::max(rate, (static_cast<void>(step), read_rate(bytes)));
    state.counters["GB/s"] = 1e-9 * rate;
}
BENCHMARK(ceiling_fma)->ArgName("threads")->Arg(1)->Arg(2)->Iterations(5);
BENCHMARK(ceiling_read)->ArgName("KiB")->Arg(16)->Arg(512)->Arg(8192)->Arg(524288)->Iterations(5);

}  // namespace
}  // namespace espalier

BENCHMARK_MAIN();
