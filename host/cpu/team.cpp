#include "host/cpu/team.hpp"

#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <string>

#include "espalier/error.hpp"
#include "host/system/processors.hpp"
#include "host/system/threads.hpp"
#include "hwy/cache_control.h"
#include "hwy/detect_compiler_arch.h"

namespace espalier {

namespace {

/// Flushes subnormals to zero, in operands and results, while it lives.
class FlushSubnormals {
public:
    FlushSubnormals() : before_(mode()) { set_mode(before_ | flush_bits); }
    ~FlushSubnormals() { set_mode(before_); }
    FlushSubnormals(const FlushSubnormals&) = delete;
    FlushSubnormals& operator=(const FlushSubnormals&) = delete;

private:
    // x86: FTZ and DAZ in MXCSR; Arm: FZ in FPCR
    static constexpr std::uint64_t flush_bits = HWY_ARCH_X86 ? 0x8040 : HWY_ARCH_ARM_A64 ? std::uint64_t{1} << 24 : 0;

    static std::uint64_t mode() {
        std::uint64_t bits = 0;
        if constexpr (HWY_ARCH_X86) {
            std::uint32_t mxcsr = 0;
            asm volatile("stmxcsr %0" : "=m"(mxcsr));
            bits = mxcsr;
        } else if constexpr (HWY_ARCH_ARM_A64) {
            asm volatile("mrs %0, fpcr" : "=r"(bits));
        }
        return bits;
    }
    static void set_mode(std::uint64_t bits) {
        if constexpr (HWY_ARCH_X86) {
            const auto mxcsr = static_cast<std::uint32_t>(bits);
            asm volatile("ldmxcsr %0" : : "m"(mxcsr));
        } else if constexpr (HWY_ARCH_ARM_A64) {
            asm volatile("msr fpcr, %0" : : "r"(bits));
        }
    }
    std::uint64_t before_;
};

/// Keeps the calling thread on one CPU while it lives; does nothing for a negative number or where it is not allowed.
class Pin {
public:
    explicit Pin(int cpu) {
        if (cpu < 0 || sched_getaffinity(0, sizeof before_, &before_) != 0) return;
        cpu_set_t only;
        CPU_ZERO(&only);
        CPU_SET(static_cast<unsigned>(cpu), &only);
        pinned_ = sched_setaffinity(0, sizeof only, &only) == 0;
    }
    ~Pin() {
        if (pinned_) sched_setaffinity(0, sizeof before_, &before_);
    }
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;

private:
    cpu_set_t before_{};
    bool pinned_ = false;
};

/// Spins for a moment, then sleeps.
class Barrier {
public:
    explicit Barrier(bool spin) : spin_(spin) {}

    /// How many threads meet here; set once, before any of them waits.
    void expect(int count) { count_ = count; }

    void wait() {
        const std::uint32_t generation = generation_.load(std::memory_order_relaxed);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count_) {
            arrived_.store(0, std::memory_order_relaxed);
            // sequentially consistent: notify_all looks for sleepers, which must not happen before the store is seen
            generation_.store(generation + 1);
            generation_.notify_all();
            return;
        }
        if (spin_ && spun(generation)) return;
        while (generation_.load(std::memory_order_acquire) == generation) {
            generation_.wait(generation, std::memory_order_acquire);
        }
    }

private:
    bool spun(std::uint32_t generation) const {
        const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(20);
        do {
            for (int i = 0; i < 16; ++i) {
                if (generation_.load(std::memory_order_acquire) != generation) return true;
                hwy::Pause();
            }
        } while (std::chrono::steady_clock::now() < end);
        return false;
    }

    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<std::uint32_t> generation_{0};
    int count_ = 1;
    bool spin_;
};

/// Refuses a child of the process in which OpenMP started its threads.
void refuse_forked() {
    static std::atomic<pid_t> threads_of{0};
    pid_t owner = 0;
    if (threads_of.compare_exchange_strong(owner, ::getpid()) || owner == ::getpid()) return;
    throw UserError(ExitCode::device,
                    "this process was forked from one that computes with several threads, which did not follow it; use 1 "
                    "thread here, or start the process anew instead of forking it");
}

int checked_threads(int threads, int sharing) {
    if (threads < 0 || threads > 1024) {
        throw UserError(ExitCode::usage, "threads: " + std::to_string(threads) + " is outside [0, 1024]");
    }
    return threads != 0 ? threads : std::max(1, default_threads() / sharing);
}

/// What the threads of one run share.
struct Run {
    const std::vector<Phase>& phases;
    Barrier barrier;
    std::atomic<bool> failed{false};
    std::exception_ptr failure{};

    void walk(const TeamMember& member) {
        const FlushSubnormals flush;
        for (std::size_t i = 0; i < phases.size(); ++i) {
            if (i > 0 && member.count > 1 && !independent(phases[i - 1], phases[i], member.count)) barrier.wait();
            if (failed.load(std::memory_order_relaxed)) continue;  // but keep meeting the others at the barriers
            try {
                phases[i](member);
            } catch (...) {
                if (!failed.exchange(true)) failure = std::current_exception();
            }
        }
    }

private:
    static bool independent(const Phase& before, const Phase& after, int count) {
        if (before.tiles() == 0 || before.tiles() != after.tiles()) return false;
        return after.tiles() == Phase::disjoint || whole_tiles(after.tiles(), count);
    }
};

}  // namespace

Range share_of_edges(const TeamMember& member, const EdgeIndex* start, Index rows) {
    // a row costs about as much as two edges besides its edges
    const auto cost = [&](Index row) { return std::uint64_t{start[row] - start[0]} + 2 * std::uint64_t{row}; };
    const auto cut = [&](int part) {
        if (part == member.count) return rows;
        const std::uint64_t target = cost(rows) * static_cast<unsigned>(part) / static_cast<unsigned>(member.count);
        Index low = 0;
        Index high = rows;
        while (low < high) {
            const Index middle = low + (high - low) / 2;
            if (cost(middle) < target) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    };
    return {cut(member.index), cut(member.index + 1)};
}

Team::Team(int threads, const TileShare& tiles, int sharing)
    : threads_(checked_threads(threads, sharing)), tiles_(tiles), scratch_(static_cast<std::size_t>(threads_)) {
    expect_threads(threads_ - 1);
    const std::vector<int> cpus = allowed_cpus();
    const auto wanted = static_cast<std::size_t>(threads_);
    spin_ = cpus.size() >= wanted * static_cast<std::size_t>(sharing);
    // With a choice of CPUs the scheduler chooses better: two programs must not pin themselves to the same ones. And
    // who asked OpenMP to place the threads knows best.
    const bool pin = threads_ > 1 && sharing == 1 && cpus.size() == wanted && omp_get_proc_bind() == omp_proc_bind_false;
    if (pin) cpus_ = cpus;
}

void Team::reserve_scratch(std::size_t floats) {
    for (auto& memory : scratch_) {
        if (memory.size() < floats) memory.resize(floats);
    }
}

void Team::run(const std::vector<Phase>& phases) {
    Run run{phases, Barrier(spin_)};
    if (threads_ == 1) {
        run.walk({0, 1, scratch_[0].data(), tiles_});
    } else {
        refuse_forked();
#pragma omp parallel num_threads(threads_)
        {
            const int count = omp_get_num_threads();
            const auto index = static_cast<std::size_t>(omp_get_thread_num());
#pragma omp single
            run.barrier.expect(count);
            const Pin pin(cpus_.empty() ? -1 : cpus_[index]);
            run.walk({static_cast<int>(index), count, scratch_[index].data(), tiles_});
        }
    }
    if (run.failure) std::rethrow_exception(run.failure);
}

}  // namespace espalier
