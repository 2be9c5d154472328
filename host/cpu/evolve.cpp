#include "host/cpu/evolve.hpp"

#include <omp.h>
#include <thrust/scatter.h>
#include <thrust/system/omp/execution_policy.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "espalier/error.hpp"
#include "espalier/evolve.hpp"
#include "host/cpu/memory.hpp"

namespace espalier {

namespace {

/// Memory of one evolution, given back all at once.
class CpuScratch {
public:
    template <class T>
    [[nodiscard]] T* take(std::size_t count) {
        blocks_.emplace_back(allocate_aligned(count * sizeof(T)));
        return static_cast<T*>(blocks_.back().get());
    }

private:
    struct Release {
        void operator()(void* memory) const { release_aligned(memory); }
    };
    std::vector<std::unique_ptr<void, Release>> blocks_;
};

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
constexpr EdgeIndex parallel_edges = 100000;

/// Calls `body` with the execution policy for a layer of so many edges.
template <class Body>
auto with_policy(EdgeIndex num_edges, int threads, const Body& body) {
    if (threads <= 1 || num_edges < parallel_edges) return body(thrust::seq);
    const OmpThreads limit(threads);
    return body(thrust::omp::par);
}

/// New edges' optimizer memory.
struct Rebirth {
    const GrowRule* grow = nullptr;  // null: removal
    const WeightLaw* law = nullptr;
    bool reset_state = true;
    std::uint64_t seed = 0;
    std::uint32_t layer = 0;
    std::uint32_t event = 0;
    [[nodiscard]] Stream stream(Purpose purpose) const { return {seed, purpose, layer, event}; }
};

/// Where an edge of the new update order lay in the old one.
struct OldPlace {
    const EdgeIndex* place;   // old canonical slot -> old update order
    const EdgeIndex* origin;  // new canonical slot -> old canonical slot
    EdgeIndex operator()(EdgeIndex slot) const { return place[origin[slot]]; }
};

/// values[i] = old values[from[i]] for i < count, in place.
template <class Policy>
void carry(const Policy& policy, const EdgeIndex* from, EdgeIndex count, float* moved, AlignedVector<float>& values) {
    thrust::gather(policy, from, from + count, values.begin(), moved);
    values.resize(count);
    thrust::copy(policy, moved, moved + count, values.begin());
}

/// By counting: one pass counts each input's edges, one puts them in place. Equal to transpose_by_sorting.
void transpose_by_counting(SparseCpuLayer& layer) {
    const EdgeIndex num_edges = layer.num_edges();
    layer.row.resize(num_edges);
    layer.slot.resize(num_edges);
    auto& start = layer.column_start;
    // counted two places on, so that filling moves each start to where it belongs
    start.assign(std::size_t{layer.num_inputs} + 2, 0);
    for (const Index column : layer.column) ++start[std::size_t{column} + 2];
    for (std::size_t i = 2; i < start.size(); ++i) start[i] += start[i - 1];
    for (Index row = 0; row < layer.num_outputs; ++row) {
        for (EdgeIndex slot = layer.row_start[row]; slot < layer.row_start[row + 1]; ++slot) {
            const EdgeIndex place = start[std::size_t{layer.column[slot]} + 1]++;
            layer.row[place] = row;
            layer.slot[place] = slot;
        }
    }
    start.pop_back();
}

template <class Key, class Policy>
EdgeIndex evolve(const Policy& policy, SparseCpuLayer& layer, const Rebirth& rebirth) {
    CpuScratch scratch;
    const EdgeIndex old_edges = layer.num_edges();
    const auto num_pruned = static_cast<EdgeIndex>(layer.pruned.size());
    const EdgeIndex* pruned = layer.pruned.data();
    auto* old_cells = scratch.take<Key>(old_edges);
    cells_of(policy, layer.num_inputs, layer.num_outputs, layer.row_start.data(), layer.column.data(), old_edges,
             old_cells);
    const GrowRandom* grow = rebirth.grow == nullptr ? nullptr : std::get_if<GrowRandom>(rebirth.grow);
    const auto evolved = evolve_topology(policy, scratch, Cell{layer.num_inputs} * layer.num_outputs, old_cells,
                                         old_edges, pruned, num_pruned, grow, rebirth.stream(Purpose::grow));
    const EdgeIndex num_edges = evolved.num_edges;

    // what the new edges are born with, left in the slots they take over
    if (rebirth.law != nullptr) {
        std::visit(
            [&](const auto& law) {
                bear_weights(policy, evolved, pruned, law, rebirth.stream(Purpose::new_weight), layer.num_inputs,
                             layer.weights.data());
            },
            *rebirth.law);
    }
    EdgeIndex* place = nullptr;
    if (layer.by_input()) {
        place = scratch.take<EdgeIndex>(old_edges);
        const thrust::counting_iterator<EdgeIndex> places(0);
        thrust::scatter(policy, places, places + old_edges, layer.slot.begin(), place);
    }
    if (rebirth.reset_state) {
        for (auto& state : layer.state) {
            for (EdgeIndex j = 0; j < evolved.num_grown; ++j) {
                state[place == nullptr ? pruned[j] : place[pruned[j]]] = 0;
            }
        }
    }

    auto* moved = scratch.take<float>(num_edges);
    carry(policy, evolved.origin, num_edges, moved, layer.weights);
    layer.column.resize(num_edges);
    csr_of(policy, layer.num_inputs, layer.num_outputs, evolved.cells, num_edges, layer.row_start.data(),
           layer.column.data());
    const EdgeIndex* from = evolved.origin;
    if (layer.by_input()) {
        transpose_by_counting(layer);
        layer.input_weights.resize(num_edges);
        thrust::gather(policy, layer.slot.begin(), layer.slot.end(), layer.weights.begin(),
                       layer.input_weights.begin());
        auto* old_place = scratch.take<EdgeIndex>(num_edges);
        thrust::transform(policy, layer.slot.begin(), layer.slot.end(), old_place, OldPlace{place, evolved.origin});
        from = old_place;
    }
    for (auto& state : layer.state) carry(policy, from, num_edges, moved, state);
    layer.pruned.clear();
    return evolved.num_grown;
}

EdgeIndex evolve(SparseCpuLayer& layer, const Rebirth& rebirth, int threads) {
    const bool narrow = Cell{layer.num_inputs} * layer.num_outputs <= std::numeric_limits<std::uint32_t>::max();
    return with_policy(layer.num_edges(), threads, [&](const auto& policy) {
        return narrow ? evolve<std::uint32_t>(policy, layer, rebirth) : evolve<std::uint64_t>(policy, layer, rebirth);
    });
}

}  // namespace

Pruned prune(SparseCpuLayer& layer, const PruneRule& rule, double zeta, int threads) {
    expects(zeta >= 0 && zeta <= 1, "zeta in [0, 1]");
    expects(layer.pruned.empty(), "regrow() or remove() after each prune()");
    const PruneOrder order = std::visit([](const auto& each) { return prune_order(each); }, rule);
    const EdgeIndex num_edges = layer.num_edges();
    with_policy(num_edges, threads, [&](const auto& policy) {
        CpuScratch scratch;
        const float* weights = layer.weights.data();
        const PruneCut cut = cut_by_sorting(policy, scratch, weights, num_edges, order, zeta);
        auto* slots = scratch.take<EdgeIndex>(num_edges);
        const EdgeIndex count = pruned_slots(policy, weights, num_edges, order, cut, slots);
        layer.pruned.assign(slots, slots + count);
    });
    Pruned result;
    for (const EdgeIndex slot : layer.pruned) {
        float& weight = layer.weights[slot];
        // a NaN counts by its sign bit, as the rules take it
        ++(weight == 0 ? result.zero : std::signbit(weight) ? result.negative : result.positive);
        weight = 0;
    }
    if (layer.by_input()) {
        with_policy(num_edges, threads, [&](const auto& policy) {
            thrust::gather(policy, layer.slot.begin(), layer.slot.end(), layer.weights.begin(),
                           layer.input_weights.begin());
        });
    }
    return result;
}

std::uint32_t regrow(SparseCpuLayer& layer, const GrowRule& rule, const WeightLaw& law, bool reset_state,
                     std::uint64_t seed, std::uint32_t layer_number, std::uint32_t event, int threads) {
    return evolve(layer, Rebirth{&rule, &law, reset_state, seed, layer_number, event}, threads);
}

void remove(SparseCpuLayer& layer, int threads) { evolve(layer, Rebirth{}, threads); }

Degrees degrees(const SparseCpuLayer& layer) {
    Degrees result;
    result.outputs.resize(layer.num_outputs);
    for (Index row = 0; row < layer.num_outputs; ++row) {
        result.outputs[row] = layer.row_start[row + 1] - layer.row_start[row];
    }
    result.inputs.assign(layer.num_inputs, 0);
    for (const Index column : layer.column) ++result.inputs[column];
    return result;
}

}  // namespace espalier
