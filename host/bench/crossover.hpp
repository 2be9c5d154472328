// From which sparsity a sparse layer beats the dense one of the same widths: both measured alternately in one run,
// each checked before it is timed, beside the machine's ceilings measured on the spot.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "espalier/backend.hpp"

namespace espalier {

/// Square layers, width x width, every combination.
struct BenchGrid {
    std::vector<Index> widths;
    std::vector<Index> batches;
    std::vector<double> sparsities;  // in [0, 1), ascending
    double seconds = 0.5;            // of timing per point, at least
};

BenchGrid quick_grid();
BenchGrid full_grid();

/// Wall-clock seconds of one call: the median of many spells and the quartiles about it.
struct Timing {
    double median = 0;
    double low = 0;
    double high = 0;
};

/// A training step of one layer is its forward and its backward pass (input gradient, weight gradient, update).
struct LayerTiming {
    Timing forward, backward, step;
    std::string layout{};  // of a library's rival on a GPU: how the samples lay where it was faster
};

struct BenchPoint {
    Index width = 0;
    Index batch = 0;
    double sparsity = 0;
    std::uint64_t edges = 0;
    LayerTiming sparse, dense;
    double sparse_bytes = 0;  // both views, weights and momentum; dense_bytes likewise
    double dense_bytes = 0;
    double fma_rate = 0;  // FLOP/s of all threads, measured beside the point; 0 on a GPU
    // on a GPU: the dense step by cuBLAS in TF32, the sparse one by cuSPARSE; pruning and regrowing 0.3 of the edges
    std::optional<LayerTiming> tf32, library;
    std::optional<Timing> evolution;

    [[nodiscard]] double speedup() const { return dense.step.median / sparse.step.median; }
    /// Of the quartiles that speak against sparse, and of those that speak for it.
    [[nodiscard]] double least_speedup() const { return dense.step.low / sparse.step.high; }
    [[nodiscard]] double most_speedup() const { return dense.step.high / sparse.step.low; }
    [[nodiscard]] double forward_speedup() const { return dense.forward.median / sparse.forward.median; }
    /// Useful work of a sparse step: 6 operations an edge and sample.
    [[nodiscard]] double flops() const { return 6.0 * static_cast<double>(edges) * batch / sparse.step.median; }
};

struct Ceilings {
    double fma = 0;  // FLOP/s of one thread
    struct Read {
        std::size_t bytes;
        double rate;  // bytes/s of one thread
    };
    std::vector<Read> reads;
};

struct BenchResults {
    std::string backend;  // its own description
    std::string rival;
    std::string rival_fault;  // why no crossover is given; empty: it is
    double rival_share = 0;   // of F that the rival's own product reaches
    std::string processor;
    std::string date;  // UTC
    int threads = 0;
    Ceilings ceilings;
    std::vector<BenchPoint> points;
    bool stopped = false;
    bool on_gpu = false;
    double others = 0;  // cores that other processes kept busy meanwhile, on average
};

/// What a GPU is measured with: the backend, another whose dense layers are multiplied in TF32, and either with so many
/// samples in a row (CudaOptions).
struct GpuBackends {
    Backend& backend;
    Backend& tf32;
    std::function<std::unique_ptr<Backend>(bool tf32, Index samples)> in_a_row;
};

/// From so many cores on, the times of a run say little.
constexpr double many_others = 0.2;

/// Called before each point with the number of points done and in all; false stops.
using BenchProgress = std::function<bool(std::size_t done, std::size_t all, const std::string& what)>;

/// Throws UserError (nonfinite is never right to time: code `device`) naming the point whose result is wrong.
BenchResults run_crossover(Backend& backend, int threads, const BenchGrid& grid, const BenchProgress& progress);

/// Likewise on a GPU, beside cuBLAS in fp32 and in TF32 and cuSPARSE, all by replayed graphs and one clock.
BenchResults run_gpu_crossover(const GpuBackends& on, const BenchGrid& grid, const BenchProgress& progress);

/// Where the points of one width and batch cross a speedup of 1, interpolated in the logarithms of density and speedup;
/// 0 if even the least sparsity measured is faster, none if no point is.
std::optional<double> crossover_sparsity(const std::vector<BenchPoint>& points, Index width, Index batch);

/// The same where the quartiles that speak for sparse cross, and where those against it do: the crossing lies between.
struct CrossoverRange {
    std::optional<double> low, high;
};
CrossoverRange crossover_range(const std::vector<BenchPoint>& points, Index width, Index batch);

}  // namespace espalier
