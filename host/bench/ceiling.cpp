#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/bench/ceiling.cpp"
#include "host/cpu/kernels/simd_targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include <algorithm>
#include <ctime>
#include <memory>
#include <vector>

#include "host/bench/ceiling.hpp"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Twelve chains hide the latency of two units and leave registers free on machines with sixteen.
double MultiplyAdd(std::size_t rounds, float* sink) {
    const hn::ScalableTag<float> d;
    const auto factor = hn::Set(d, 0.999F);
    const auto term = hn::Set(d, 0.001F);
    // different numbers, or else the compiler sees that one chain does for all
    auto a = hn::Iota(d, 1.0F), b = hn::Iota(d, 2.0F), c = hn::Iota(d, 3.0F), e = hn::Iota(d, 4.0F);
    auto f = hn::Iota(d, 5.0F), g = hn::Iota(d, 6.0F), h = hn::Iota(d, 7.0F), i = hn::Iota(d, 8.0F);
    auto j = hn::Iota(d, 9.0F), k = hn::Iota(d, 10.0F), l = hn::Iota(d, 11.0F), m = hn::Iota(d, 12.0F);
    for (std::size_t round = 0; round < rounds; ++round) {
        a = hn::MulAdd(a, factor, term);
        b = hn::MulAdd(b, factor, term);
        c = hn::MulAdd(c, factor, term);
        e = hn::MulAdd(e, factor, term);
        f = hn::MulAdd(f, factor, term);
        g = hn::MulAdd(g, factor, term);
        h = hn::MulAdd(h, factor, term);
        i = hn::MulAdd(i, factor, term);
        j = hn::MulAdd(j, factor, term);
        k = hn::MulAdd(k, factor, term);
        l = hn::MulAdd(l, factor, term);
        m = hn::MulAdd(m, factor, term);
    }
    const auto sum = hn::Add(hn::Add(hn::Add(hn::Add(a, b), hn::Add(c, e)), hn::Add(hn::Add(f, g), hn::Add(h, i))),
                             hn::Add(hn::Add(j, k), hn::Add(l, m)));
    *sink = hn::GetLane(hn::SumOfLanes(d, sum));
    return static_cast<double>(rounds) * 12 * 2 * static_cast<double>(hn::Lanes(d));
}

/// Reads `count` floats (a multiple of 256) once.
void ReadAll(const float* data, std::size_t count, float* sink) {
    const hn::ScalableTag<float> d;
    const std::size_t lanes = hn::Lanes(d);
    auto a = hn::Zero(d), b = a, c = a, e = a;
    for (std::size_t i = 0; i < count; i += 4 * lanes) {
        a = hn::Add(a, hn::Load(d, data + i));
        b = hn::Add(b, hn::Load(d, data + i + lanes));
        c = hn::Add(c, hn::Load(d, data + i + 2 * lanes));
        e = hn::Add(e, hn::Load(d, data + i + 3 * lanes));
    }
    *sink = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(c, e))));
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {

HWY_EXPORT(MultiplyAdd);
HWY_EXPORT(ReadAll);

namespace {

double seconds_of(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Work per second of the best spell; `spell` does some tens of microseconds of work and returns how much. So short a
/// spell often runs undisturbed, and wall-clock time is the honest clock: a virtual machine's processor time is not
/// exact.
template <class Spell>
double best_rate(double seconds, const Spell& spell) {
    double best = 0;
    const double end = wall_seconds() + seconds;
    for (double start = wall_seconds(); start < end;) {
        const double work = spell();
        const double now = wall_seconds();
        best = std::max(best, work / (now - start));
        start = now;
    }
    return best;
}

}  // namespace

double thread_seconds() { return seconds_of(CLOCK_THREAD_CPUTIME_ID); }
double process_seconds() { return seconds_of(CLOCK_PROCESS_CPUTIME_ID); }
double wall_seconds() { return seconds_of(CLOCK_MONOTONIC); }

double multiply_adds(std::size_t rounds) {
    float sink = 0;
    const double flops = HWY_DYNAMIC_DISPATCH(MultiplyAdd)(rounds, &sink);
    volatile float keep = sink;
    static_cast<void>(keep);
    return flops;
}

double fma_peak(double seconds) {
    return best_rate(seconds, [] { return multiply_adds(8000); });
}

double fma_rate_of(int threads, double seconds) {
    double flops = 0;
#pragma omp parallel num_threads(threads) reduction(+ : flops)
    {
#pragma omp barrier
        const double end = wall_seconds() + seconds;
        while (wall_seconds() < end) flops += multiply_adds(8000);
    }
    return flops / seconds;
}

double read_rate(std::size_t bytes, double seconds) {
    const std::size_t count = (bytes / sizeof(float) + 255) / 256 * 256;
    std::vector<float> memory(count + 16, 1.0F);
    void* start = memory.data();
    std::size_t space = memory.size() * sizeof(float);
    const auto* data = static_cast<const float*>(std::align(64, count * sizeof(float), start, space));
    // enough at a time that looking at the clock does not count
    const std::size_t repeats = 1 + (std::size_t{1} << 20) / (count * sizeof(float));
    volatile float keep = 0;
    return best_rate(seconds, [&] {
        for (std::size_t i = 0; i < repeats; ++i) {
            float sink = 0;
            HWY_DYNAMIC_DISPATCH(ReadAll)(data, count, &sink);
            keep = sink;
        }
        return static_cast<double>(repeats * count * sizeof(float));
    });
}

}  // namespace espalier
#endif
