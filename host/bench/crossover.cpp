#include "host/bench/crossover.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <cmath>
#include <functional>

#include "host/bench/ceiling.hpp"
#include "host/bench/crossover_parts.hpp"
#include "host/bench/dense_rival.hpp"
#include "host/bench/product.hpp"

namespace espalier {
namespace {

/// Something timed in spells of enough calls.
class Contestant {
public:
    explicit Contestant(std::function<void()> call) : call_(std::move(call)) {
        call_();  // memory touched, threads awake
        calls_ = std::clamp(static_cast<int>(spell_seconds / std::max(spell(1), 1e-7)), 1, 1000);
    }
    void round() { seconds_.push_back(spell(calls_) / calls_); }
    [[nodiscard]] const std::vector<double>& seconds() const { return seconds_; }

private:
    double spell(int calls) {
        const double start = wall_seconds();
        for (int i = 0; i < calls; ++i) call_();
        return wall_seconds() - start;
    }

    std::function<void()> call_;
    int calls_ = 1;
    std::vector<double> seconds_;
};

BenchPoint measure(Backend& backend, DenseRival& rival, Index width, Index batch, double sparsity, int threads,
                   double seconds) {
    const std::string name = point_name(width, batch, sparsity);
    const ProductProblem problem(width, width, sparsity, batch, backend.lanes());
    const CheckedPart part = CheckedPart::of(problem, check_work);
    LoadedProduct loaded(backend, problem, true);
    for (const Product product : {Product::forward, Product::backward}) {
        const std::string wrong = fault(loaded, problem, product, part);
        if (!wrong.empty()) refuse_point(name, wrong);
    }
    BenchPoint point;
    point.width = width;
    point.batch = batch;
    point.sparsity = sparsity;
    point.edges = problem.layer.weights.size();
    // weights twice (by output and by input), momentum, input and output of each edge, the slot that joins the views
    point.sparse_bytes = 24.0 * static_cast<double>(point.edges) + 8.0 * (width + 1.0);
    point.dense_bytes = rival.parameter_bytes();

    const auto product = [&](Product which) {
        return Contestant([&loaded, &backend, which] {
            loaded.enqueue(which);
            backend.wait();
        });
    };
    Contestant sparse_forward = product(Product::forward);
    Contestant sparse_backward = product(Product::backward);
    Contestant dense_forward([&rival] { rival.forward(); });
    Contestant dense_backward([&rival] { rival.backward(); });
    const double end = wall_seconds() + seconds;
    while (sparse_forward.seconds().size() < min_rounds || wall_seconds() < end) {
        sparse_forward.round();
        sparse_backward.round();
        dense_forward.round();
        dense_backward.round();
        point.fma_rate = std::max(point.fma_rate, fma_peak(0.001) * threads);
    }
    point.sparse = layer_timing(sparse_forward.seconds(), sparse_backward.seconds());
    point.dense = layer_timing(dense_forward.seconds(), dense_backward.seconds());
    return point;
}

Ceilings measure_ceilings() {
    Ceilings ceilings;
    ceilings.fma = fma_peak(0.1);
    for (const std::size_t kib : {16U, 512U, 8192U, 262144U}) {
        ceilings.reads.push_back({kib << 10, read_rate(kib << 10, 0.1)});
    }
    return ceilings;
}

std::optional<double> crossing(const std::vector<BenchPoint>& points, Index width, Index batch,
                               double (BenchPoint::*speedup)() const) {
    std::vector<const BenchPoint*> series;
    for (const BenchPoint& point : points) {
        if (point.width == width && point.batch == batch && point.sparsity < 1) series.push_back(&point);
    }
    std::sort(series.begin(), series.end(), [](const auto* a, const auto* b) { return a->sparsity < b->sparsity; });
    // the last crossing: from there on sparse always wins
    const auto slower = std::find_if(series.rbegin(), series.rend(), [&](const auto* p) { return (p->*speedup)() < 1; });
    if (slower == series.rend()) return series.empty() ? std::nullopt : std::optional<double>(0);
    if (slower == series.rbegin()) return std::nullopt;
    const BenchPoint& below = **slower;
    const BenchPoint& above = **(slower - 1);
    const double slow = std::log((below.*speedup)()), fast = std::log((above.*speedup)());
    const double from = std::log(1 - below.sparsity);
    const double to = std::log(1 - above.sparsity);
    return 1 - std::exp(from + slow / (slow - fast) * (to - from));
}

/// Processor time in seconds: of all processes, what a hypervisor took included, and of this one alone.
struct ProcessorTime {
    double all = 0, own = 0, wall = 0;
};

ProcessorTime processor_time() {
    ProcessorTime time;
    std::ifstream stream("/proc/stat");
    std::string name;
    stream >> name;
    // user, nice, system, idle, iowait, irq, softirq, steal
    for (int field = 0; field < 8 && stream; ++field) {
        double ticks = 0;
        stream >> ticks;
        if (field != 3 && field != 4) time.all += ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
    }
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    for (const timeval& part : {usage.ru_utime, usage.ru_stime}) {
        time.own += static_cast<double>(part.tv_sec) + 1e-6 * static_cast<double>(part.tv_usec);
    }
    time.wall = wall_seconds();
    return time;
}

double cores_of_others(const ProcessorTime& from, const ProcessorTime& to) {
    const double seconds = to.wall - from.wall;
    return seconds > 0 ? std::max(0.0, (to.all - from.all - (to.own - from.own)) / seconds) : 0;
}

}  // namespace

BenchGrid quick_grid() { return {{512, 1024, 4096}, {128}, {0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99}, 0.25}; }

BenchGrid full_grid() {
    return {{256, 512, 1024, 2048, 4096},
            {1, 16, 128, 512},
            {0, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999},
            0.5};
}

BenchResults run_crossover(Backend& backend, int threads, const BenchGrid& grid, const BenchProgress& progress) {
    BenchResults results;
    results.backend = backend.describe();
    results.rival = blas_description();
    describe_machine(results);
    results.threads = threads;
    const ProcessorTime start = processor_time();
    results.ceilings = measure_ceilings();
    const RivalRate rate = rival_rate(threads);
    results.rival_share = rate.share();
    results.rival_fault = rival_fault(rate, threads);
    const std::size_t all = grid.widths.size() * grid.batches.size() * grid.sparsities.size();
    for (const Index width : grid.widths) {
        for (const Index batch : grid.batches) {
            DenseRival rival(width, width, batch, threads);
            const std::string wrong = rival.fault(std::max(1U, width / 16));
            if (!wrong.empty()) refuse_point(point_name(width, batch, 0), wrong);
            for (const double sparsity : grid.sparsities) {
                if (!progress(results.points.size(), all, point_name(width, batch, sparsity))) {
                    results.stopped = true;
                    results.others = cores_of_others(start, processor_time());
                    return results;
                }
                results.points.push_back(measure(backend, rival, width, batch, sparsity, threads, grid.seconds));
            }
        }
    }
    results.others = cores_of_others(start, processor_time());
    return results;
}

std::optional<double> crossover_sparsity(const std::vector<BenchPoint>& points, Index width, Index batch) {
    return crossing(points, width, batch, &BenchPoint::speedup);
}

CrossoverRange crossover_range(const std::vector<BenchPoint>& points, Index width, Index batch) {
    return {crossing(points, width, batch, &BenchPoint::most_speedup),
            crossing(points, width, batch, &BenchPoint::least_speedup)};
}

}  // namespace espalier
