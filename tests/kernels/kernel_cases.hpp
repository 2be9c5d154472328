// What kernel tests share: awkward sparse layers, tiled activations in device memory, comparison with double loops.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "cuda/kernels/loss.cuh"
#include "cuda/kernels/warp.cuh"
#include "device_array.hpp"
#include "espalier/random.hpp"
#include "every_order.hpp"

namespace espalier::cuda {

using cuda_on_host::DeviceArray;
using cuda_on_host::launch;

inline constexpr int threads = 64;  // of a block: several blocks even for little work

inline double from_fixed_point(Counter sum) {
    return static_cast<double>(static_cast<long long>(sum)) / static_cast<double>(fixed_point_one);
}
inline double from_fixed_point(const Counter (&sum)[2]) {
    return static_cast<double>(static_cast<long long>(sum[0])) + from_fixed_point(sum[1]);
}

/// A number in (-1, 1), a pure function of its arguments.
inline float random_value(std::uint64_t seed, std::uint64_t n) {
    return symmetric_uniform(Stream{seed, Purpose::synthetic, 0, 0}.bits(n));
}

inline std::vector<float> random_values(std::uint64_t seed, std::size_t count) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = random_value(seed, i);
    return values;
}

/// Edge arrays as the kernels want them, padded to a multiple of four with what must not be used.
template <class T>
std::vector<T> padded(std::vector<T> values, T filler) {
    values.resize((values.size() + 3) / 4 * 4, filler);
    return values;
}
inline std::vector<Index> padded(const std::vector<Index>& values) { return padded(values, ~Index{0}); }
inline std::vector<float> padded(const std::vector<float>& values) { return padded(values, std::nanf("")); }

/// [rows][batch] in host memory.
struct Matrix {
    Index rows = 0;
    Index batch = 0;
    std::vector<float> values;

    Matrix(Index num_rows, Index num_samples) : rows(num_rows), batch(num_samples), values(std::size_t{rows} * batch) {}
    Matrix(Index num_rows, Index num_samples, std::uint64_t seed)
        : rows(num_rows), batch(num_samples), values(random_values(seed, std::size_t{rows} * batch)) {}
    float& operator()(std::size_t row, std::size_t sample) { return values.at(row * batch + sample); }
    float operator()(std::size_t row, std::size_t sample) const { return values.at(row * batch + sample); }
};

/// A matrix in device memory, in tiles; lanes past the batch hold `beyond`.
class TiledArray {
public:
    explicit TiledArray(const Matrix& matrix, float beyond = 0)
        : rows_(matrix.rows), batch_(matrix.batch), memory_(tiled(matrix, beyond)) {}

    [[nodiscard]] Activations view() const { return {memory_.data(), rows_, batch_, tile_lanes}; }
    /// The values of the lanes in use.
    [[nodiscard]] Matrix read() const {
        const auto values = memory_.read();
        Matrix matrix(rows_, batch_);
        for (Index r = 0; r < rows_; ++r) {
            for (Index s = 0; s < batch_; ++s) matrix(r, s) = values[position(r, s)];
        }
        return matrix;
    }
    /// All of it as it lies: [tile][row][lane].
    [[nodiscard]] std::vector<float> tiles() const { return memory_.read(); }
    /// The values of the lanes past the batch.
    [[nodiscard]] std::vector<float> beyond() const {
        const auto values = memory_.read();
        std::vector<float> result;
        for (Index r = 0; r < rows_; ++r) {
            for (Index s = batch_; s < view().tiles() * tile_lanes; ++s) result.push_back(values[position(r, s)]);
        }
        return result;
    }

private:
    [[nodiscard]] std::size_t position(Index row, Index sample) const {
        return (std::size_t{sample / tile_lanes} * rows_ + row) * tile_lanes + sample % tile_lanes;
    }
    [[nodiscard]] std::vector<float> tiled(const Matrix& matrix, float beyond) const {
        const std::size_t tiles = (batch_ + tile_lanes - 1) / tile_lanes;
        std::vector<float> values(tiles * rows_ * tile_lanes, beyond);
        for (Index r = 0; r < rows_; ++r) {
            for (Index s = 0; s < batch_; ++s) values[position(r, s)] = matrix(r, s);
        }
        return values;
    }

    Index rows_;
    Index batch_;
    DeviceArray<float> memory_;
};

/// A sparse layer: both views, edges in canonical order.
struct SparseCase {
    std::string name;
    Index inputs = 0;
    Index outputs = 0;
    Index batch = 0;
    std::vector<EdgeIndex> row_start{0};
    std::vector<Index> row;  // of each edge
    std::vector<Index> column;
    std::vector<EdgeIndex> column_start;
    std::vector<Index> row_by_input;
    std::vector<EdgeIndex> slot;
    std::vector<float> weight;

    [[nodiscard]] EdgeIndex num_edges() const { return static_cast<EdgeIndex>(column.size()); }
};

/// For sparse_case: all cells hold an edge, in all rows.
inline constexpr unsigned every_cell = 1001;

/// `per_mille` of the cells hold an edge; rows 1, 4, 7 ... none, rows 2, 5, 8 ... all.
inline SparseCase sparse_case(const std::string& name, Index inputs, Index outputs, Index batch, unsigned per_mille) {
    SparseCase result{name, inputs, outputs, batch, {0}, {}, {}, {}, {}, {}, {}};
    const Stream stream{1, Purpose::topology, 0, 0};
    for (Index r = 0; r < outputs; ++r) {
        for (Index c = 0; c < inputs; ++c) {
            const bool chance = bounded(stream.bits(std::uint64_t{r} * inputs + c), 1000) < per_mille;
            const bool edge = per_mille > 0 && outputs > 1 ? r % 3 == 2 || (r % 3 == 0 && chance) : per_mille > 0;
            if (!edge && per_mille != every_cell) continue;
            result.row.push_back(r);
            result.column.push_back(c);
        }
        result.row_start.push_back(result.num_edges());
    }
    std::vector<std::vector<EdgeIndex>> by_input(inputs);
    for (EdgeIndex e = 0; e < result.num_edges(); ++e) by_input[result.column[e]].push_back(e);
    for (const auto& edges : by_input) {
        result.column_start.push_back(static_cast<EdgeIndex>(result.slot.size()));
        for (const EdgeIndex e : edges) {
            result.slot.push_back(e);
            result.row_by_input.push_back(result.row[e]);
        }
    }
    result.column_start.push_back(result.num_edges());
    result.weight = random_values(2, result.num_edges());
    return result;
}

/// One element, no edge at all, more than one block of rows, rows of 300 edges, several tiles, odd numbers of edges.
inline std::vector<SparseCase> sparse_cases() {
    return {sparse_case("one_element", 1, 1, 1, 1000), sparse_case("no_edge", 3, 5, 2, 0),
            sparse_case("small", 7, 5, 3, 300),        sparse_case("one_whole_tile", 33, 40, 128, 200),
            sparse_case("long_rows", 300, 9, 130, 50), sparse_case("three_tiles", 10, 70, 257, 150)};
}

/// Row 2 has all 10,000 inputs, rows 0 and 3 about thirty, row 1 none.
inline SparseCase huge_row_case() { return sparse_case("huge_row", 10000, 4, 3, 3); }

/// A permutation of 0 .. count - 1 that is not the identity, in place of "longest first".
inline std::vector<Index> some_order(Index count) {
    std::vector<Index> order(count);
    for (Index i = 0; i < count; ++i) order[i] = (i * 7 + 3) % count;
    if (count % 7 == 0) {
        for (Index i = 0; i < count; ++i) order[i] = count - 1 - i;
    }
    return order;
}

/// How far float sums may be from the double one whose terms' magnitudes sum to `size`.
inline double allowance(double size) { return 2e-6 * size + 1e-7; }

inline Index blocks_for(std::size_t work, std::size_t per_block) {
    return static_cast<Index>((work + per_block - 1) / per_block);
}

}  // namespace espalier::cuda
