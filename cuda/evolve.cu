// Topology evolution on the device: by kernels of our own (evolution.hpp), and what those leave, rules that look at
// more than weights and layers too large or too sparse for sets of bits, by espalier/common/evolve.hpp under Thrust's
// CUDA policy. All scratch memory is borrowed; what the host waits for is how many edges of which sign went.
#include "toolkit_thrust.hpp"  // first

#include <thrust/gather.h>
#include <thrust/set_operations.h>
#include <thrust/system/cuda/execution_policy.h>
#include <thrust/system_error.h>
#include <thrust/transform_reduce.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <variant>
#include <vector>

#include "cuda/check.hpp"
#include "cuda/evolution.hpp"
#include "cuda/operations.hpp"
#include "espalier/common/evolve.hpp"
#include "espalier/common/grow_ranks.hpp"
#include "espalier/common/top_gradients.hpp"
#include "espalier/error.hpp"

namespace espalier::cuda {

// Function objects of kernels have names that nvcc can see.
namespace evolution {

/// Edges of a neuron, most first when sorted ascending.
struct FewestLast {
    const EdgeIndex* start;
    ESPALIER_HOST_DEVICE EdgeIndex operator()(Index neuron) const { return ~(start[neuron + 1] - start[neuron]); }
};

struct Signs {
    std::uint32_t positive = 0;
    std::uint32_t negative = 0;
    std::uint32_t zero = 0;
};
/// A NaN counts by its sign bit, as the rules take it.
struct SignOf {
    const float* weights;
    ESPALIER_HOST_DEVICE Signs operator()(EdgeIndex slot) const {
        const float weight = weights[slot];
        std::uint32_t bits = 0;
        std::memcpy(&bits, &weight, sizeof bits);
        const std::uint32_t zero = weight == 0 ? 1 : 0;
        const std::uint32_t negative = (bits >> 31) & (1 - zero);
        return {1 - zero - negative, negative, zero};
    }
};
struct AddSigns {
    ESPALIER_HOST_DEVICE Signs operator()(const Signs& a, const Signs& b) const {
        return {a.positive + b.positive, a.negative + b.negative, a.zero + b.zero};
    }
};
struct ClearAt {
    float* values;
    ESPALIER_HOST_DEVICE void operator()(EdgeIndex slot) const { values[slot] = 0; }
};
struct OutputOf {
    CsrView edges;
    ESPALIER_HOST_DEVICE Index operator()(EdgeIndex slot) const {
        return detail::RowOfSlot{edges.row_start, edges.num_outputs}(slot);
    }
};
struct IsOfDeadEnd {
    CsrView edges;
    const std::uint8_t* inputs;   // [num_inputs] 1: dead
    const std::uint8_t* outputs;  // [num_outputs]
    ESPALIER_HOST_DEVICE bool operator()(EdgeIndex slot) const {
        return inputs[edges.column[slot]] != 0 || outputs[OutputOf{edges}(slot)] != 0;
    }
};

}  // namespace evolution

namespace {

/// Where Thrust's temporaries come from.
struct Temporaries {
    using value_type = char;
    Memory* memory;
    char* allocate(std::ptrdiff_t bytes) { return static_cast<char*>(memory->borrow(static_cast<std::size_t>(bytes))); }
    void deallocate(char* block, std::size_t /*bytes*/) { memory->give_back(block); }
};

/// The device's side of one evolution: policy, scratch memory and copies on one stream.
class Device {
public:
    Device(cudaStream_t stream, Memory& memory) : stream_(stream), memory_(memory), temporaries_{&memory} {}

    /// Asked for anew at every step.
    [[nodiscard]] auto policy() { return thrust::cuda::par_nosync(temporaries_).on(stream_); }

    [[nodiscard]] cudaStream_t stream() const { return stream_; }
    [[nodiscard]] Memory& memory() const { return memory_; }

    template <class T>
    [[nodiscard]] T* take(std::size_t count) {
        blocks_.emplace_back(memory_, count * sizeof(T));
        return static_cast<T*>(blocks_.back().data());
    }
    template <class T>
    void copy(T* to, const T* from, std::size_t count) {
        if (count == 0) return;
        check(cudaMemcpyAsync(to, from, count * sizeof(T), cudaMemcpyDeviceToDevice, stream_), "a copy on the device");
    }
    template <class T>
    void upload(T* to, const T* from, std::size_t count) {
        if (count == 0) return;
        check(cudaMemcpyAsync(to, from, count * sizeof(T), cudaMemcpyHostToDevice, stream_), "an upload");
    }

private:
    cudaStream_t stream_;
    Memory& memory_;
    Temporaries temporaries_;
    std::vector<Borrowed> blocks_;
};

/// work(), in which what fails within Thrust is the device's error. Faults of the kernels before it show there too, for
/// evolution waits.
template <class Work>
auto with_device_errors(const Work& work) {
    try {
        return work();
    } catch (const thrust::system_error& error) {
        static_cast<void>(cudaGetLastError());
        check(static_cast<cudaError_t>(error.code().value()), "an evolution");
        throw;
    }
}

/// Neurons with the most edges first, so that no long row begins last.
void sort_by_length(Device& device, const EdgeIndex* start, Index count, Index* order) {
    auto* keys = device.take<EdgeIndex>(count);
    const thrust::counting_iterator<Index> neurons(0);
    thrust::transform(device.policy(), neurons, neurons + count, keys, evolution::FewestLast{start});
    thrust::sequence(device.policy(), order, order + count);
    thrust::stable_sort_by_key(device.policy(), keys, keys + count, order);
}

/// Sets the weights in `slots` to 0, and says of which signs they were.
Pruned clear_weights(Device& device, CudaLayer& layer, const EdgeIndex* slots, EdgeIndex count) {
    float* const weights = layer.weights.values.data();
    const evolution::Signs signs = thrust::transform_reduce(
        device.policy(), slots, slots + count, evolution::SignOf{weights}, evolution::Signs{}, evolution::AddSigns{});
    thrust::for_each_n(device.policy(), slots, count, evolution::ClearAt{weights});
    return {signs.positive, signs.negative, signs.zero};
}

void keep_pruned(Device& device, Memory& memory, CudaLayer& layer, const EdgeIndex* slots, EdgeIndex count) {
    Borrowed pruned(memory, count * sizeof(EdgeIndex));
    device.copy(static_cast<EdgeIndex*>(pruned.data()), slots, count);
    layer.pruned = std::move(pruned);
    layer.num_pruned = count;
}

/// Whose neurons of one side are dead, on the device; an empty list means none.
const std::uint8_t* dead_on_device(Device& device, const std::vector<std::uint8_t>& dead, Index neurons) {
    auto* result = device.take<std::uint8_t>(neurons);
    if (dead.empty()) {
        thrust::fill_n(device.policy(), result, neurons, std::uint8_t{0});
    } else {
        device.upload(result, dead.data(), neurons);
    }
    return result;
}

/// The ranks of the new cells among the missing ones, ascending.
template <class Key>
void draw_ranks(Device& device, const CudaLayer& layer, const GrowRandom& /*rule*/, const Replacement<Key>& change,
                Cell missing, const Regrowth& regrowth, Key* ranks) {
    const Stream draws = regrowth.event.stream(Purpose::grow);
    if constexpr (sizeof(Key) == sizeof(std::uint32_t)) {
        if (sorts_as_set(missing, layer.num_edges)) {
            draw_by_set(device.stream(), device.memory(), missing, change.num_grown, draws, ranks);
            return;
        }
    }
    draw_distinct(device.policy(), missing, change.num_grown, draws, ranks);
}
template <class Key>
void draw_ranks(Device& device, const CudaLayer& layer, const GrowGradient& rule, const Replacement<Key>& change,
                Cell missing, const Regrowth& regrowth, Key* ranks) {
    draw_by_gradient(device.policy(), device, rule, regrowth.evidence, csr_of_layer(layer), change, missing,
                     regrowth.event.stream(Purpose::grow), ranks);
}
template <class Key>
void draw_ranks(Device& /*device*/, const CudaLayer& /*layer*/, const GrowByPaths& rule,
                const Replacement<Key>& /*change*/, Cell /*missing*/, const Regrowth& /*regrowth*/, Key* /*ranks*/) {
    throw UserError(ExitCode::usage, cpu_only_text(rule));
}
template <class Key, class Rule>
void draw_ranks(Device& device, const CudaLayer& layer, const Rule& rule, const Replacement<Key>& change, Cell missing,
                const Regrowth& regrowth, Key* ranks) {
    draw_candidates(device.policy(), device, rule, csr_of_layer(layer), layer.weights.values.data(), change, missing,
                    regrowth.event.stream(Purpose::grow), ranks);
}

/// What goes and what comes; the ranks of the new cells are drawn.
template <class Key>
Replacement<Key> draw_replacement(Device& device, const CudaLayer& layer, const Regrowth* regrowth) {
    Replacement<Key> change;
    change.pruned = layer.pruned_slots();
    change.num_pruned = layer.num_pruned;
    if (regrowth == nullptr) return change;
    std::visit(
        [&](const auto& rule) {
            const Cell missing = plan_growth(rule, csr_of_layer(layer), change);
            if (change.num_grown == 0) return;
            auto* ranks = device.take<Key>(change.num_grown);
            draw_ranks(device, layer, rule, change, missing, *regrowth, ranks);
            change.ranks = ranks;
        },
        regrowth->rule);
    return change;
}

/// The view by input, unless it is `done`, and the orders of neurons.
void refresh_views(Device& device, CudaLayer& layer, bool done) {
    if (layer.by_input() && !done) {
        transpose_by_sorting(device.policy(), device, csr_of_layer(layer), layer.column_start.data(), layer.row.data(),
                             layer.slot.data());
    }
    order_few_neurons(device.stream(), layer);
    if (layer.num_outputs > max_compared_neurons) {
        sort_by_length(device, layer.row_start.data(), layer.num_outputs, layer.row_order.data());
    }
    if (layer.by_input() && layer.num_inputs > max_compared_neurons) {
        sort_by_length(device, layer.column_start.data(), layer.num_inputs, layer.column_order.data());
    }
}

template <class Key>
EdgeIndex replace(Device& device, CudaLayer& layer, const Regrowth* regrowth) {
    const auto change = draw_replacement<Key>(device, layer, regrowth);
    const bool by_input_done = replace_edges(device.stream(), device.memory(), layer, change, regrowth);
    refresh_views(device, layer, by_input_done);
    return change.num_grown;
}

}  // namespace

void rebuild_views(cudaStream_t stream, Memory& memory, CudaLayer& layer) {
    with_device_errors([&] {
        Device device(stream, memory);
        refresh_views(device, layer, false);
    });
    refresh_products(stream, layer);
}

Pruned prune(cudaStream_t stream, Memory& memory, CudaLayer& layer, const Pruning& pruning) {
    const Pruned pruned = with_device_errors([&] {
        Device device(stream, memory);
        const float* const weights = layer.weights.values.data();
        return std::visit(
            [&](const auto& rule) {
                if constexpr (requires { rule.order(); }) {
                    return take_least(stream, memory, layer, weights, rule.order(), pruning.zeta);
                } else {
                    const auto [scores, order] = prune_scores(device.policy(), device, rule, csr_of_layer(layer),
                                                              weights, pruning.event.stream(Purpose::prune));
                    return take_least(stream, memory, layer, scores, order, pruning.zeta);
                }
            },
            pruning.rule);
    });
    pack_weights(stream, layer);
    return pruned;
}

Pruned prune_ends(cudaStream_t stream, Memory& memory, CudaLayer& layer, const DeadEnds& dead) {
    const Pruned pruned = with_device_errors([&] {
        Device device(stream, memory);
        const EdgeIndex num_edges = layer.num_edges;
        const EdgeIndex* const before = layer.pruned_slots();
        const EdgeIndex* const before_end = before + layer.num_pruned;
        const evolution::IsOfDeadEnd dies{csr_of_layer(layer), dead_on_device(device, dead.inputs, layer.num_inputs),
                                          dead_on_device(device, dead.outputs, layer.num_outputs)};
        auto* slots = device.take<EdgeIndex>(num_edges);
        const thrust::counting_iterator<EdgeIndex> every(0);
        auto* const slots_end = thrust::copy_if(device.policy(), every, every + num_edges, slots, dies);
        auto* fresh = device.take<EdgeIndex>(num_edges);
        const auto count = static_cast<EdgeIndex>(
            thrust::set_difference(device.policy(), slots, slots_end, before, before_end, fresh) - fresh);
        if (count == 0) return Pruned{};
        auto* all = device.take<EdgeIndex>(num_edges);
        const auto total =
            static_cast<EdgeIndex>(thrust::set_union(device.policy(), slots, slots_end, before, before_end, all) - all);
        keep_pruned(device, memory, layer, all, total);
        return clear_weights(device, layer, fresh, count);
    });
    pack_weights(stream, layer);
    return pruned;
}

void pruned_degrees(cudaStream_t stream, Memory& memory, const CudaLayer& layer, EdgeIndex* outputs,
                    EdgeIndex* inputs) {
    with_device_errors([&] {
        Device device(stream, memory);
        const EdgeIndex count = layer.num_pruned;
        const EdgeIndex* const slots = layer.pruned_slots();
        auto* columns = device.take<Index>(count);
        auto* rows = device.take<Index>(count);
        thrust::gather(device.policy(), slots, slots + count, layer.column.data(), columns);
        thrust::transform(device.policy(), slots, slots + count, rows, evolution::OutputOf{csr_of_layer(layer)});
        count_neurons(stream, rows, count, outputs, layer.num_outputs);
        count_neurons(stream, columns, count, inputs, layer.num_inputs);
    });
}

EdgeIndex replace(cudaStream_t stream, Memory& memory, CudaLayer& layer, const Regrowth* regrowth) {
    const EdgeIndex num_grown = with_device_errors([&] {
        Device device(stream, memory);
        const bool narrow = Cell{layer.num_inputs} * layer.num_outputs <= std::numeric_limits<std::uint32_t>::max();
        return narrow ? replace<std::uint32_t>(device, layer, regrowth)
                      : replace<std::uint64_t>(device, layer, regrowth);
    });
    refresh_products(stream, layer);
    layer.pruned = {};
    layer.num_pruned = 0;
    return num_grown;
}

}  // namespace espalier::cuda
