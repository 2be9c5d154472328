// The results of a crossover benchmark as a page with curves, a Markdown table for papers, CSV and JSON.
#pragma once

#include <string>

#include "host/bench/crossover.hpp"

namespace espalier {

/// Two tables: the crossover per width and batch, and every point.
std::string crossover_markdown(const BenchResults& results);

/// One object; times in seconds, rates in FLOP/s and bytes/s.
std::string crossover_json(const BenchResults& results);

/// A self-contained page: no network.
/// A line per point, numbers in full.
std::string crossover_csv(const BenchResults& results);

std::string crossover_page(const BenchResults& results);

}  // namespace espalier
