#include <algorithm>
#include <functional>
#include <memory>
#include <optional>

#include "host/bench/ceiling.hpp"
#include "host/bench/crossover_parts.hpp"
#include "host/bench/product.hpp"

namespace espalier {
namespace {

/// One kind of layer's products, timed as a device runs them: many calls as one program, replayed, so that the wait at
/// the end of a spell does not count.
class GpuContestant {
public:
    /// Throws UserError (device) when a result is wrong.
    GpuContestant(Backend& backend, const ProductProblem& problem, Spmm spmm, const std::string& name, double tolerance)
        : loaded_(backend, problem, true, spmm) {
        const CheckedPart part = CheckedPart::of(problem, check_work);
        for (const Product product : {Product::forward, Product::backward}) {
            const std::string wrong = fault(loaded_, problem, product, part, tolerance);
            if (!wrong.empty()) refuse_point(name, wrong);
        }
        for (const Product product : {Product::forward, Product::backward}) {
            spell(product, 3);  // runs, is captured, is replayed
            const double once = spell(product, 1);
            programs_of(product) = std::clamp(static_cast<int>(gpu_spell_seconds / std::max(once, 1e-7)) + 1, 1, 1000);
        }
    }
    void round() {
        for (const Product product : {Product::forward, Product::backward}) {
            const int programs = programs_of(product);
            seconds_of(product).push_back(spell(product, programs) / programs / calls);
        }
    }
    [[nodiscard]] std::size_t rounds() const { return forward_.size(); }
    [[nodiscard]] LayerTiming timing() const { return layer_timing(forward_, backward_); }
    [[nodiscard]] DeviceLayer& layer() { return *loaded_.layer; }

private:
    static constexpr int calls = 20;  // of a program
    static constexpr double gpu_spell_seconds = 5e-3;

    int& programs_of(Product product) { return product == Product::forward ? forward_programs_ : backward_programs_; }
    std::vector<double>& seconds_of(Product product) { return product == Product::forward ? forward_ : backward_; }
    double spell(Product product, int programs) {
        const double start = wall_seconds();
        for (int i = 0; i < programs; ++i) {
            loaded_.backend.run([&] {
                for (int call = 0; call < calls; ++call) loaded_.enqueue(product);
            });
        }
        loaded_.backend.wait();
        return wall_seconds() - start;
    }

    LoadedProduct loaded_;
    int forward_programs_ = 1;
    int backward_programs_ = 1;
    std::vector<double> forward_, backward_;
};

/// A library's products in both layouts, where there are more samples than a tile has.
class LibraryRival {
public:
    LibraryRival(Backend& backend, Backend* in_a_row, const ProductProblem& problem, Spmm spmm, const std::string& name,
                 double tolerance)
        : tiles_(backend, problem, spmm, name, tolerance) {
        if (in_a_row == nullptr) return;
        const ProductProblem wide = problem.with_lanes(in_a_row->lanes());
        wide_.emplace(*in_a_row, wide, spmm, name + ", samples in a row", tolerance);
    }
    void round() {
        tiles_.round();
        if (wide_) wide_->round();
    }
    /// Of the faster.
    [[nodiscard]] LayerTiming timing() const {
        LayerTiming tiles = tiles_.timing();
        tiles.layout = "tiles";
        if (!wide_) return tiles;
        LayerTiming wide = wide_->timing();
        wide.layout = "samples in a row";
        return wide.step.median < tiles.step.median ? wide : tiles;
    }

private:
    GpuContestant tiles_;
    std::optional<GpuContestant> wide_;
};

/// The libraries' other layout of a batch; none where it is the same, or no library multiplies.
struct WideBackends {
    std::unique_ptr<Backend> fp32, tf32;
    bool dense = false;

    WideBackends(const GpuBackends& on, Index width, Index batch) {
        if (batch <= on.backend.lanes()) return;
        fp32 = on.in_a_row(false, batch);
        tf32 = on.in_a_row(true, batch);
        dense = std::uint64_t{width} * width > small_dense_weights;
    }
};

/// Pruning and regrowing, which wait by themselves.
Timing evolution_timing(Backend& backend, DeviceLayer& layer) {
    std::vector<double> seconds;
    for (std::uint32_t event = 0; event < 2 + min_rounds; ++event) {
        const double start = wall_seconds();
        backend.prune(layer, {PruneBySign{}, 0.3, {1, 0, event}});
        backend.regrow(layer, {GrowRandom{}, HeNormal{}, true, {1, 0, event}});
        backend.wait();
        if (event >= 2) seconds.push_back(wall_seconds() - start);  // the first allocate
    }
    return timing_of(seconds);
}

BenchPoint measure_on_gpu(const GpuBackends& on, Backend* in_a_row, LibraryRival& fp32, LibraryRival& tf32, Index width,
                          Index batch, double sparsity, double seconds) {
    const std::string name = point_name(width, batch, sparsity);
    const ProductProblem problem(width, width, sparsity, batch, on.backend.lanes());
    GpuContestant own(on.backend, problem, Spmm::automatic, name, fp32_tolerance);
    LibraryRival library(on.backend, in_a_row, problem, Spmm::cusparse, name + ", cuSPARSE", fp32_tolerance);
    const double end = wall_seconds() + seconds;
    while (own.rounds() < min_rounds || wall_seconds() < end) {
        own.round();
        for (LibraryRival* each : {&library, &fp32, &tf32}) each->round();
    }
    BenchPoint point;
    point.width = width;
    point.batch = batch;
    point.sparsity = sparsity;
    point.edges = problem.layer.weights.size();
    const LayerShape sparse_shape{width, width, point.edges, true};
    const LayerShape dense_shape{width, width, std::uint64_t{width} * width, false};
    const LayerUse use{true, Momentum{}, Spmm::automatic, batch};
    point.sparse_bytes = static_cast<double>(on.backend.layer_bytes(sparse_shape, use, 0).resident);
    point.dense_bytes = static_cast<double>(on.backend.layer_bytes(dense_shape, use, 0).resident);
    point.sparse = own.timing();
    point.library = library.timing();
    point.dense = fp32.timing();
    point.tf32 = tf32.timing();
    point.evolution = evolution_timing(on.backend, own.layer());
    return point;
}

}  // namespace

BenchResults run_gpu_crossover(const GpuBackends& on, const BenchGrid& grid, const BenchProgress& progress) {
    BenchResults results;
    results.on_gpu = true;
    results.backend = on.backend.describe();
    results.rival = "cuBLAS";
    // the room it works in is counted only where it opens
    if (on.backend.layer_bytes({1024, 1024, 1024 * 1024, false}, {true, Momentum{}, Spmm::automatic, 128}, 0).shared == 0) {
        results.rival_fault = "cuBLAS does not open here, so dense layers ride the sparse kernels";
    }
    describe_machine(results);
    const std::size_t all = grid.widths.size() * grid.batches.size() * grid.sparsities.size();
    for (const Index width : grid.widths) {
        for (const Index batch : grid.batches) {
            const ProductProblem dense(width, width, batch, on.backend.lanes());
            const std::string name = point_name(width, batch, 0);
            const WideBackends wide(on, width, batch);
            LibraryRival fp32(on.backend, wide.dense ? wide.fp32.get() : nullptr, dense, Spmm::automatic,
                              name + ", dense", fp32_tolerance);
            LibraryRival tf32(on.tf32, wide.dense ? wide.tf32.get() : nullptr, dense, Spmm::automatic,
                              name + ", dense, TF32", tf32_tolerance);
            for (const double sparsity : grid.sparsities) {
                if (!progress(results.points.size(), all, point_name(width, batch, sparsity))) {
                    results.stopped = true;
                    return results;
                }
                results.points.push_back(measure_on_gpu(on, wide.fp32.get(), fp32, tf32, width, batch, sparsity, grid.seconds));
            }
        }
    }
    return results;
}

}  // namespace espalier
