// What this machine can do at best, measured on the spot: every figure of a benchmark stands beside it, for a machine
// shared with others does not run at one speed.
#pragma once

#include <cstddef>

namespace espalier {

/// Seconds of processor time that the calling thread has used.
double thread_seconds();
/// Seconds of processor time of the whole process.
double process_seconds();
/// Seconds of wall-clock time since some fixed moment.
double wall_seconds();

/// `rounds` times twelve independent multiply-adds of a vector from registers; returns their floating-point operations
/// (an fma counts as 2). What the two below time.
double multiply_adds(std::size_t rounds);

/// Single-precision multiply-adds of one thread from registers, in FLOP/s, the best of the short spells that fit into
/// `seconds`.
double fma_peak(double seconds = 0.02);

/// The same by so many threads at once, all together, on average over `seconds`: threads that share a core share its
/// units too.
double fma_rate_of(int threads, double seconds = 0.05);

/// Reading `bytes` of memory again and again by one thread, in bytes/s, likewise.
double read_rate(std::size_t bytes, double seconds = 0.02);

}  // namespace espalier
