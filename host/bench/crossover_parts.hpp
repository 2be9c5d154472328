// What the two crossovers, on the CPU and on a GPU, share.
#pragma once

#include <string>
#include <vector>

#include "host/bench/crossover.hpp"

namespace espalier {

// Multiply-adds that checking a point may cost.
inline constexpr double check_work = 2e7;
// Shorter spells would measure the clock.
inline constexpr double spell_seconds = 1e-3;
inline constexpr std::size_t min_rounds = 5;

Timing timing_of(std::vector<double> seconds);
/// Of forward and backward passes that took turns.
LayerTiming layer_timing(const std::vector<double>& forward, const std::vector<double>& backward);

/// "512 x 512, batch 128, sparsity 90 %".
std::string point_name(Index width, Index batch, double sparsity);
/// Throws UserError (device): a point whose result is wrong.
[[noreturn]] void refuse_point(const std::string& point, const std::string& fault);
/// The data's date and machine.
void describe_machine(BenchResults& results);

}  // namespace espalier
