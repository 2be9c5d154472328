// Random layers, batches and data in device memory, the same on every machine.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "cuda/check.hpp"
#include "cuda/kernels/coo.cuh"
#include "cuda/kernels/forward.cuh"
#include "cuda/kernels/update.cuh"
#include "espalier/backend.hpp"

namespace espalier::gpu_sim {

/// 32 random bits by splitmix64: std's distributions differ from one library to the other.
class Draw {
public:
    explicit Draw(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL + 1) {}
    std::uint32_t operator()() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15ULL;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return static_cast<std::uint32_t>((z ^ (z >> 31)) >> 32);
    }
    /// In [-1, 1).
    float value() { return static_cast<float>(static_cast<std::int32_t>((*this)())) * 0x1p-31F; }
    bool with_probability(double p) { return (*this)() < p * 4294967296.0; }
    std::vector<float> values(std::size_t count) {
        std::vector<float> drawn(count);
        for (float& each : drawn) each = value();
        return drawn;
    }

private:
    std::uint64_t state_;
};

inline cudaStream_t stream() {
    static const cudaStream_t created = [] {
        cudaStream_t made = nullptr;
        cuda::check(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "a stream");
        return made;
    }();
    return created;
}

inline void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    if (bytes == 0) return;
    cuda::check(cudaMemcpyAsync(to, from, bytes, kind, stream()), "a copy");
    cuda::check(cudaStreamSynchronize(stream()), "a copy");
}

/// A copy of an array in device memory, padded as the kernels want those of edges.
template <class T>
struct DeviceArray {
    T* data = nullptr;
    std::size_t size;

    explicit DeviceArray(const std::vector<T>& host) : size(host.size()) {
        std::vector<T> padded = host;
        padded.resize(size + 16);
        cuda::check(cudaMalloc(reinterpret_cast<void**>(&data), padded.size() * sizeof(T)), "memory");
        copy(data, padded.data(), padded.size() * sizeof(T), cudaMemcpyHostToDevice);
    }
    DeviceArray(const DeviceArray&) = delete;
    DeviceArray& operator=(const DeviceArray&) = delete;
    ~DeviceArray() { static_cast<void>(cudaFree(data)); }
};

template <class T>
std::vector<T> read(const DeviceArray<T>& array) {
    std::vector<T> values(array.size);
    copy(values.data(), array.data, values.size() * sizeof(T), cudaMemcpyDeviceToHost);
    return values;
}

template <class T>
void say_digest(const std::string& name, const std::vector<T>& values) {
    std::vector<unsigned char> bytes(values.size() * sizeof(T));
    if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    std::uint64_t digest = 0xcbf29ce484222325ULL;  // FNV-1a
    for (const unsigned char byte : bytes) digest = (digest ^ byte) * 0x100000001b3ULL;
    std::printf("DIGEST %s: %zu, %016llx\n", name.c_str(), values.size(), static_cast<unsigned long long>(digest));
}
template <class T>
void say_digest(const std::string& name, const DeviceArray<T>& array) {
    say_digest(name, read(array));
}

inline std::vector<StepScalars> scalars_of_a_step() {
    std::vector<StepScalars> scalars(1);
    scalars[0].update.learning_rate = 0.01F;
    scalars[0].update.coupled_decay = 5e-4F;
    return scalars;
}

/// Samples as bytes, with labels below 10.
struct Data {
    Index features;
    Index count;
    DeviceArray<std::uint8_t> bytes;
    DeviceArray<std::int32_t> labels, batch_labels;

    Data(Index batch, Index num_features)
        : features(num_features),
          count(std::max<Index>(2 * batch, 1000)),
          bytes(draw<std::uint8_t>(std::size_t{count} * features, 256)),
          labels(draw<std::int32_t>(count, 10)),
          batch_labels(draw<std::int32_t>(std::size_t{cuda::tiles_of(batch)} * cuda::tile_lanes, 10)) {}
    [[nodiscard]] Samples samples() const {
        Samples all;
        all.bytes = bytes.data;
        all.labels = labels.data;
        all.count = count;
        all.features = features;
        all.factor[0] = 1.0F / 255;
        return all;
    }

private:
    template <class T>
    static std::vector<T> draw(std::size_t size, std::uint32_t below) {
        Draw random(99);
        std::vector<T> drawn(size);
        for (T& each : drawn) each = static_cast<T>(random() % below);
        return drawn;
    }
};

/// [tile][rows][128]
struct RandomTiles {
    Index rows, batch;
    DeviceArray<float> array;

    RandomTiles(Index neurons, Index samples, std::uint64_t seed)
        : rows(neurons),
          batch(samples),
          array(Draw(1000 + seed).values(std::size_t{cuda::tiles_of(samples)} * neurons * cuda::tile_lanes)) {}
    [[nodiscard]] Activations view() const { return {array.data, rows, batch, cuda::tile_lanes}; }
};

/// The edges of a layer, by outputs and by inputs.
struct RandomEdges {
    std::vector<EdgeIndex> row_start{0}, column_start, slot;
    std::vector<Index> column, row_of_edge, row, column_of_edge;

    RandomEdges(Index inputs, Index outputs, double density, std::uint64_t seed) : column_start(inputs + 1, 0) {
        Draw random(seed);
        for (Index r = 0; r < outputs; ++r) {
            for (Index c = 0; c < inputs; ++c) {
                if (density >= 1 || random.with_probability(density)) column.push_back(c), row_of_edge.push_back(r);
            }
            row_start.push_back(static_cast<EdgeIndex>(column.size()));
        }
        for (const Index c : column) ++column_start[c + 1];
        for (Index c = 0; c < inputs; ++c) column_start[c + 1] += column_start[c];
        row.resize(column.size());
        column_of_edge.resize(column.size());
        slot.resize(column.size());
        std::vector<EdgeIndex> next = column_start;
        for (EdgeIndex e = 0; e < column.size(); ++e) {
            const EdgeIndex at = next[column[e]]++;
            row[at] = row_of_edge[e];
            column_of_edge[at] = column[e];
            slot[at] = e;
        }
    }
    static std::vector<Index> longest_first(const std::vector<EdgeIndex>& start) {
        std::vector<Index> order(start.size() - 1);
        for (Index i = 0; i < order.size(); ++i) order[i] = i;
        std::stable_sort(order.begin(), order.end(),
                         [&](Index a, Index b) { return start[a + 1] - start[a] > start[b + 1] - start[b]; });
        return order;
    }
};

struct RandomLayer {
    Index inputs, outputs;
    RandomEdges edges;
    DeviceArray<EdgeIndex> row_start, column_start, slot;
    DeviceArray<Index> column, row, row_of_edge, column_of_edge, row_order, column_order;
    DeviceArray<float> weight, momentum, bias, bias_momentum;

    RandomLayer(Index from, Index to, double density, std::uint64_t seed)
        : inputs(from),
          outputs(to),
          edges(from, to, density, seed),
          row_start(edges.row_start),
          column_start(edges.column_start),
          slot(edges.slot),
          column(edges.column),
          row(edges.row),
          row_of_edge(edges.row_of_edge),
          column_of_edge(edges.column_of_edge),
          row_order(RandomEdges::longest_first(edges.row_start)),
          column_order(RandomEdges::longest_first(edges.column_start)),
          weight(Draw(seed + 10).values(edges.column.size())),
          momentum(Draw(seed + 20).values(edges.column.size())),
          bias(Draw(seed + 30).values(to)),
          bias_momentum(Draw(seed + 40).values(to)) {}

    [[nodiscard]] EdgeIndex num_edges() const { return static_cast<EdgeIndex>(edges.column.size()); }
    [[nodiscard]] cuda::ForwardArguments by_output() const {
        return {row_start.data, column.data, weight.data, row_order.data, bias.data, nullptr};
    }
    [[nodiscard]] cuda::InputGradientArguments by_input() const {
        return {column_start.data, row.data, slot.data, weight.data, column_order.data};
    }
    [[nodiscard]] cuda::CooEdges coo_by_output() const { return {row_of_edge.data, column.data, num_edges()}; }
    [[nodiscard]] cuda::CooEdges coo_by_input() const { return {column_of_edge.data, row.data, num_edges()}; }
    [[nodiscard]] cuda::UpdatedLayer<Momentum> updated(ConstActivations x, ConstActivations dy,
                                                       const StepScalars* step) const {
        return {Momentum{}, row_start.data, column.data, num_edges(), outputs, {weight.data, {momentum.data, nullptr}},
                {bias.data, {bias_momentum.data, nullptr}}, x, dy, step};
    }
};

}  // namespace espalier::gpu_sim
