// The products of a sparse layer: forward (W x), fused backward (W^T dy, edge gradient and update) and the edge
// gradient and update alone, on the CPU and, where there is a GPU, on CUDA (names with cuda). Arguments: inputs,
// outputs, sparsity in thousandths, batch, threads or for CUDA the way to multiply (1 gather, 2 panel, 3 coo, 4
// cuSPARSE). Each is first checked against a plain loop in double, on the same data; a wrong result is an error, not a
// time. Counters: GFLOP/s of useful work, edges/s, on the CPU the fraction of the FMA peak measured beside it (all
// threads). CUDA's times are those of replayed graphs of many calls, by the wall clock around them.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "host/backends.hpp"
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

/// Calls in a program, and spells of programs that are timed; fewer by ESPALIER_REPETITIONS, for a backend whose times
/// mean nothing.
int repetitions() {
    const char* const asked = std::getenv("ESPALIER_REPETITIONS");
    return asked == nullptr ? 20 : std::max(1, std::atoi(asked));
}

/// Many calls as one program, replayed: spells of at least 5 ms, so that the wait at their end does not count.
void time_on_cuda(benchmark::State& state, LoadedProduct& loaded, Product product, double flops, double edges) {
    const int calls = repetitions();
    const auto spell = [&](int programs) {
        const double start = wall_seconds();
        for (int i = 0; i < programs; ++i) {
            loaded.backend.run([&] {
                for (int call = 0; call < calls; ++call) loaded.enqueue(product);
            });
        }
        loaded.backend.wait();
        return wall_seconds() - start;
    };
    spell(3);  // runs, is captured, is replayed
    const int programs = std::clamp(static_cast<int>(0.005 / spell(1)) + 1, 1, 10000);
    std::vector<double> seconds;
    for (auto step : state) {
        static_cast<void>(step);
        seconds.push_back(spell(programs) / programs / calls);
        state.SetIterationTime(seconds.back());
    }
    std::sort(seconds.begin(), seconds.end());
    const double median = seconds[seconds.size() / 2];
    state.counters["GFLOP/s"] = 1e-9 * flops / median;
    state.counters["best_GFLOP/s"] = 1e-9 * flops / seconds.front();
    state.counters["edges/s"] = edges / median;
}

double flops_of(const ProductProblem& problem, Product product, bool first_layer) {
    return (product == Product::backward && !first_layer ? 4.0 : 2.0) * problem.batch * problem.num_edges();
}

void run_on_cuda(benchmark::State& state, Product product, bool first_layer) {
    std::string reason;
    const auto backend = try_cuda_backend(reason);
    if (backend == nullptr) return state.SkipWithError(reason.c_str());
    const ProductProblem problem(static_cast<Index>(state.range(0)), static_cast<Index>(state.range(1)),
                                 1e-3 * static_cast<double>(state.range(2)), static_cast<Index>(state.range(3)),
                                 backend->lanes());
    LoadedProduct loaded(*backend, problem, !first_layer, static_cast<Spmm>(state.range(4)));
    const std::string wrong = fault(loaded, problem, product, CheckedPart::of(problem, 4e7));
    if (!wrong.empty()) return state.SkipWithError(wrong.c_str());
    time_on_cuda(state, loaded, product, flops_of(problem, product, first_layer), problem.num_edges());
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
    time_product(state, loaded, product, flops_of(problem, product, first_layer), problem.num_edges(), threads);
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

void cuda_shapes(benchmark::internal::Benchmark* bench) {
    // A fixed number: going by time, google-benchmark would count that of one call for a spell of thousands, and begin
    // anew, preparation and check included, until those add up.
    bench->ArgNames({"in", "out", "sparsity", "batch", "spmm"})
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond)
        ->Iterations(repetitions());
    for (const Spmm spmm : {Spmm::gather, Spmm::panel, Spmm::coo, Spmm::cusparse}) {
        const auto last = static_cast<int>(spmm);
        bench->Args({784, 512, 964, 128, last});
        bench->Args({10000, 10, 0, 128, last});
        bench->Args({1024, 1024, 950, 128, last});
        for (const int sparsity : {900, 950, 980, 990, 999}) {
            for (const int batch : {128, 1024}) bench->Args({4096, 4096, sparsity, batch, last});
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

/// Where there is a GPU, or somebody insists on one.
void register_cuda() {
    std::string reason;
    const char* const required = std::getenv("ESPALIER_REQUIRE_GPU");
    if (try_cuda_backend(reason) == nullptr && (required == nullptr || std::string(required) != "1")) return;
    const auto add = [](const char* name, Product product, bool first_layer) {
        benchmark::RegisterBenchmark(name, run_on_cuda, product, first_layer)->Apply(cuda_shapes);
    };
    add("forward_cuda", Product::forward, true);
    add("fused_backward_cuda", Product::backward, false);
    add("edge_gradient_cuda", Product::backward, true);
}

}  // namespace espalier

int main(int argc, char** argv) {
    espalier::register_cuda();
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
