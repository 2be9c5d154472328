// Layers and matrices for the tests, awkward on purpose. Inputs are multiples of 1/16, weights of 1/64, biases odd
// multiples of 1/2048: a float sums such preactivations without rounding, whatever the order, and none ever lies on an
// activation's kink, so that no derivative hangs on a rounding.
#pragma once

#include <cstdint>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "espalier/layer.hpp"
#include "oracle.hpp"

namespace espalier {

struct Shape {
    Index inputs = 1;
    Index outputs = 1;
    double density = 1;  // negative: a dense layer
    Index batch = 1;
};
std::ostream& operator<<(std::ostream& out, const Shape& shape);

/// Batches 1, 2, 40, 63, 64, 65, 96, 128 and 200; one neuron; 1 x 1; densities 0 to 1; dense layers.
std::vector<Shape> awkward_shapes();

using TestRandom = std::mt19937_64;

/// `rows` x `columns` multiples of `grid` in [-range, range].
oracle::Matrix grid_matrix(std::size_t rows, std::size_t columns, double range, double grid, TestRandom& random);
/// `rows` x `columns` numbers in (-range, range) with all their digits, each a float.
oracle::Matrix random_matrix(std::size_t rows, std::size_t columns, double range, TestRandom& random);
/// The share of cells on which two matrices of a shape agree.
double agreement(const oracle::Matrix& a, const oracle::Matrix& b);
std::vector<std::int32_t> random_labels(std::size_t count, Index classes, TestRandom& random);

/// A topology holding each cell with the given density; where there is room, row 0 is empty, row 1 full but for the
/// last column, and the last column empty (densities 0 and 1 are exact).
Topology test_topology(Index inputs, Index outputs, double density, TestRandom& random);

/// Its edges' cells, row by row.
std::vector<Cell> cells_of(const Topology& topology);

/// A layer of that shape; optimizer memory is `num_states` arrays of zeros. SReLU's parameters differ by neuron.
Layer test_layer(const Shape& shape, const Activation& activation, int num_states, TestRandom& random);

}  // namespace espalier
