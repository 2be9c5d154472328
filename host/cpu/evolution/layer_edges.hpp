// What every step of an evolution asks of a layer: by how many threads, its edges as arrays, where they lie by input.
#pragma once

#include <omp.h>
#include <thrust/system/omp/execution_policy.h>

#include <algorithm>

#include "espalier/common/evolve.hpp"
#include "host/cpu/layer.hpp"

namespace espalier {

/// How many threads an OpenMP region starts, while it lives.
class OmpThreads {
public:
    explicit OmpThreads(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
    OmpThreads(const OmpThreads&) = delete;
    OmpThreads& operator=(const OmpThreads&) = delete;
    ~OmpThreads() { omp_set_num_threads(before_); }

private:
    int before_;
};

// Below this many edges waking a team costs more than it saves.
inline constexpr EdgeIndex parallel_edges = 100000;

/// Calls `body` with the execution policy for a layer of so many edges.
template <class Body>
auto with_policy(EdgeIndex num_edges, int threads, const Body& body) {
    if (threads <= 1 || num_edges < parallel_edges) return body(thrust::seq, 1);
    const OmpThreads limit(threads);
    return body(thrust::omp::par, threads);
}

inline CsrView csr_of_layer(const SparseCpuLayer& layer) {
    return {layer.num_inputs, layer.num_outputs, layer.num_edges(), layer.row_start.data(), layer.column.data()};
}

/// Where the edges of ascending canonical slots lie in update order, before the layer changes.
inline void update_places(const SparseCpuLayer& layer, const EdgeIndex* slots, EdgeIndex count, EdgeIndex* places) {
    Index row = 0;
    for (EdgeIndex i = 0; i < count; ++i) {
        places[i] = slots[i];
        if (!layer.by_input()) continue;
        while (slots[i] >= layer.row_start[row + 1]) ++row;
        const Index input = layer.column[slots[i]];
        const auto rows = layer.row.begin();
        places[i] = static_cast<EdgeIndex>(
            std::lower_bound(rows + layer.column_start[input], rows + layer.column_start[input + 1], row) - rows);
    }
}

}  // namespace espalier
