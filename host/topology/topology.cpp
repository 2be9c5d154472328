#include "espalier/topology.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "espalier/error.hpp"
#include "espalier/common/evolve.hpp"

namespace espalier {

namespace {

std::string layer_text(Index num_inputs, Index num_outputs) {
    return "a layer of " + std::to_string(num_inputs) + " inputs and " + std::to_string(num_outputs) + " outputs";
}

void check_edge_count(Index num_inputs, Index num_outputs, Cell num_edges) {
    const Cell cells = Cell{num_inputs} * num_outputs;
    if (num_edges > cells) {
        throw UserError(ExitCode::usage, layer_text(num_inputs, num_outputs) + " has " + std::to_string(cells) +
                                             " cells and cannot hold " + std::to_string(num_edges) +
                                             " edges; ask for at most " + std::to_string(cells));
    }
    if (num_edges > std::numeric_limits<EdgeIndex>::max()) {
        throw UserError(ExitCode::usage, layer_text(num_inputs, num_outputs) + " cannot hold " +
                                             std::to_string(num_edges) + " edges: a layer has at most 4294967295");
    }
}

/// Exactly num_edges of the cells. Where most of them hold an edge, the ones that do not are drawn instead.
template <class Key>
std::vector<Cell> exact_cells(Cell num_cells, EdgeIndex num_edges, const Stream& stream) {
    if (num_cells - num_edges >= num_edges) {
        std::vector<Key> drawn(num_edges);
        draw_distinct(thrust::seq, num_cells, num_edges, stream, drawn.data());
        return {drawn.begin(), drawn.end()};
    }
    std::vector<Key> empty(static_cast<std::size_t>(num_cells - num_edges));
    const auto num_empty = static_cast<EdgeIndex>(empty.size());
    draw_distinct(thrust::seq, num_cells, num_empty, stream, empty.data());
    std::vector<Key> cells(num_edges);
    complement(thrust::seq, empty.data(), num_empty, thrust::counting_iterator<Key>(0), num_edges, cells.data());
    return {cells.begin(), cells.end()};
}

std::vector<Cell> birth_cells(const ExactCount& /*law*/, Index /*num_inputs*/, Cell num_cells, Cell num_edges,
                              const Stream& stream) {
    const auto count = static_cast<EdgeIndex>(num_edges);
    return num_cells <= std::numeric_limits<std::uint32_t>::max()
               ? exact_cells<std::uint32_t>(num_cells, count, stream)
               : exact_cells<std::uint64_t>(num_cells, count, stream);
}

std::vector<Cell> birth_cells(const CorrelatedInputs& /*law*/, Index num_inputs, Cell num_cells, Cell num_edges,
                              const Stream& stream) {
    return birth_cells(ExactCount{}, num_inputs, num_cells, num_edges, stream);
}

std::vector<Cell> birth_cells(const ConnectionSensitivity& /*law*/, Index num_inputs, Cell num_cells, Cell num_edges,
                              const Stream& stream) {
    return birth_cells(ExactCount{}, num_inputs, num_cells, num_edges, stream);
}

std::vector<Cell> birth_cells(const ConstantFanIn& /*law*/, Index num_inputs, Cell num_cells, Cell num_edges,
                              const Stream& stream) {
    const Cell num_outputs = num_cells / num_inputs;
    std::vector<Cell> more = exact_cells<Index>(num_outputs, static_cast<EdgeIndex>(num_edges % num_outputs), stream);
    more.push_back(num_outputs);  // no output's
    std::vector<Cell> cells;
    cells.reserve(num_edges);
    auto next = more.begin();
    for (Cell output = 0; output < num_outputs; ++output) {
        const bool one_more = *next == output;
        next += one_more ? 1 : 0;
        const auto fan_in = static_cast<EdgeIndex>(num_edges / num_outputs + (one_more ? 1 : 0));
        if (fan_in == 0) continue;
        const Stream own{stream.seed, stream.purpose, stream.layer, static_cast<std::uint32_t>(output + 1)};
        for (const Cell input : exact_cells<Index>(num_inputs, fan_in, own)) cells.push_back(output * num_inputs + input);
    }
    return cells;
}

/// How far an output is from where input lies among the outputs, in steps of 1 / num_inputs of an output.
std::uint64_t ring_distance(Cell input, Cell output, Cell num_inputs, Cell num_outputs) {
    const std::uint64_t one = output * num_inputs, other = input * num_outputs;
    const std::uint64_t apart = one > other ? one - other : other - one;
    return std::min(apart, num_inputs * num_outputs - apart);
}

/// The outputs of one input, `count` of those with the largest keys, of equal ones the first; ascending. `ranked` is room
/// for all of them.
void take_nearby(const ReceptiveFields& law, Cell input, Cell num_inputs, Cell num_outputs, EdgeIndex count,
                 const Stream& stream, std::vector<std::pair<std::uint64_t, Cell>>& ranked) {
    const auto power = static_cast<float>(law.r > 0 ? std::min((1 - law.r) / law.r, 1e30) : 0);
    ranked.resize(num_outputs);
    for (Cell output = 0; output < num_outputs; ++output) {
        const std::uint64_t distance = ring_distance(input, output, num_inputs, num_outputs);
        const double outputs_away = static_cast<double>(distance) / static_cast<double>(num_inputs);
        const float log_weight = -power * portable_log(1 + static_cast<float>(outputs_away));
        const std::uint32_t key = gumbel_key(log_weight, stream.bits(output * num_inputs + input));
        ranked[output] = {law.r > 0 ? ~std::uint64_t{key} : distance, output};
    }
    std::nth_element(ranked.begin(), ranked.begin() + (count - 1), ranked.end());
    ranked.resize(count);
}

std::vector<Cell> birth_cells(const ReceptiveFields& law, Index num_inputs, Cell num_cells, Cell num_edges,
                              const Stream& stream) {
    constexpr Cell most = Cell{1} << 28;  // whose keys take half a minute
    const Cell num_outputs = num_cells / num_inputs;
    if (num_cells > most) {
        throw UserError(ExitCode::usage, "birth: receptive looks at every cell, of at most " + std::to_string(most) + "; " +
                                             layer_text(num_inputs, static_cast<Index>(num_outputs)) + " has " +
                                             std::to_string(num_cells));
    }
    const std::vector<Cell> more = exact_cells<Index>(num_inputs, static_cast<EdgeIndex>(num_edges % num_inputs), stream);
    const Stream own{stream.seed, stream.purpose, stream.layer, 1};
    std::vector<Cell> cells;
    cells.reserve(num_edges);
    std::vector<std::pair<std::uint64_t, Cell>> ranked;
    for (Cell input = 0; input < num_inputs; ++input) {
        const bool one_more = std::binary_search(more.begin(), more.end(), input);
        const auto fan_out = static_cast<EdgeIndex>(num_edges / num_inputs + (one_more ? 1 : 0));
        if (fan_out == 0) continue;
        take_nearby(law, input, num_inputs, num_outputs, fan_out, own, ranked);
        for (const auto& each : ranked) cells.push_back(each.second * num_inputs + input);
    }
    std::sort(cells.begin(), cells.end());
    return cells;
}

/// A coin per cell, tossed only where it falls on an edge: the empty cells before the next edge follow the geometric
/// distribution, P(gap >= g) = q^g, whose binary digits are independent, digit d being 1 with probability
/// q^(2^d) / (1 + q^(2^d)). So a gap costs a draw per digit, and only multiplications and divisions, which round alike
/// everywhere. Digits of a probability below 2^-32 are 0.
std::vector<Cell> birth_cells(const BernoulliCells& /*law*/, Index /*num_inputs*/, Cell num_cells, Cell num_edges,
                              const Stream& stream) {
    std::vector<double> digits;
    const double density = static_cast<double>(num_edges) / static_cast<double>(num_cells);
    for (double power = 1.0 - density; digits.size() < 63 && power / (1 + power) > 0x1p-32; power *= power) {
        digits.push_back(power / (1 + power));
    }
    std::vector<Cell> cells;
    if (num_edges == 0) return cells;
    std::uint64_t draw = 0;
    RandomBlock block{};
    for (Cell cell = 0;; ++cell) {
        Cell gap = 0;
        for (std::size_t digit = 0; digit < digits.size(); ++digit, ++draw) {
            if (draw % 4 == 0) block = stream.block(draw / 4);
            if (bernoulli(block.word[draw % 4], digits[digit])) gap |= Cell{1} << digit;
        }
        if (gap >= num_cells - cell) return cells;
        cell += gap;
        cells.push_back(cell);
        if (cell + 1 == num_cells) return cells;
    }
}

std::vector<Cell> birth_cells(const WithReplacement& /*law*/, Index /*num_inputs*/, Cell num_cells, Cell num_edges,
                              const Stream& stream) {
    std::vector<Cell> cells(static_cast<std::size_t>(num_edges));
    for (std::size_t draw = 0; draw < cells.size(); ++draw) {
        const RandomBlock block = stream.block(draw / 2);
        const std::size_t half = 2 * (draw % 2);
        cells[draw] = bounded64(std::uint64_t{block.word[half + 1]} << 32 | block.word[half], num_cells);
    }
    thrust::sort(thrust::seq, cells.begin(), cells.end());
    cells.erase(std::unique(cells.begin(), cells.end()), cells.end());
    return cells;
}

}  // namespace

TransposedView transposed(const Topology& topology) {
    TransposedView view;
    view.column_start.assign(std::size_t{topology.num_inputs} + 1, 0);
    for (const Index column : topology.column) ++view.column_start[column + 1];
    std::partial_sum(view.column_start.begin(), view.column_start.end(), view.column_start.begin());
    view.row.resize(topology.column.size());
    view.slot.resize(topology.column.size());
    std::vector<EdgeIndex> next(view.column_start.begin(), view.column_start.end() - 1);
    for (Index row = 0; row < topology.num_outputs; ++row) {
        for (EdgeIndex slot = topology.row_start[row]; slot < topology.row_start[row + 1]; ++slot) {
            const EdgeIndex place = next[topology.column[slot]]++;
            view.row[place] = row;
            view.slot[place] = slot;
        }
    }
    return view;
}

CooEdges coo(const Topology& topology) {
    CooEdges edges;
    edges.row.reserve(topology.column.size());
    for (Index row = 0; row < topology.num_outputs; ++row) {
        edges.row.resize(topology.row_start[row + 1], row);
    }
    edges.column = topology.column;
    return edges;
}

Degrees degrees(const Topology& topology) {
    Degrees result;
    result.inputs.assign(topology.num_inputs, 0);
    for (const Index column : topology.column) ++result.inputs[column];
    result.outputs.resize(topology.num_outputs);
    for (Index row = 0; row < topology.num_outputs; ++row) {
        result.outputs[row] = topology.row_start[row + 1] - topology.row_start[row];
    }
    return result;
}

std::string fault(const Topology& topology) {
    const auto& start = topology.row_start;
    if (start.size() != std::size_t{topology.num_outputs} + 1) {
        return "row_start has " + std::to_string(start.size()) + " entries, expected " +
               std::to_string(std::size_t{topology.num_outputs} + 1) + " for " + std::to_string(topology.num_outputs) +
               " outputs";
    }
    if (start.front() != 0) return "row_start[0] is " + std::to_string(start.front()) + ", expected 0";
    for (Index row = 0; row < topology.num_outputs; ++row) {
        if (start[row + 1] < start[row]) return "row_start falls after row " + std::to_string(row);
    }
    if (start.back() != topology.column.size()) {
        return "row_start ends at " + std::to_string(start.back()) + ", but there are " +
               std::to_string(topology.column.size()) + " edges";
    }
    for (Index row = 0; row < topology.num_outputs; ++row) {
        for (EdgeIndex slot = start[row]; slot < start[row + 1]; ++slot) {
            const Index column = topology.column[slot];
            const auto edge = [&] {
                return "edge " + std::to_string(slot) + " (row " + std::to_string(row) + ", column " +
                       std::to_string(column) + ")";
            };
            if (column >= topology.num_inputs) {
                return edge() + ": columns must be below " + std::to_string(topology.num_inputs);
            }
            if (slot > start[row] && column == topology.column[slot - 1]) return edge() + " occurs twice";
            if (slot > start[row] && column < topology.column[slot - 1]) {
                return edge() + ": columns must ascend within a row, the one before is " +
                       std::to_string(topology.column[slot - 1]);
            }
        }
    }
    return {};
}

Topology from_cells(Index num_inputs, Index num_outputs, const std::vector<Cell>& cells) {
    check_edge_count(num_inputs, num_outputs, cells.size());
    for (std::size_t i = 0; i < cells.size(); ++i) {
        expects(cells[i] < Cell{num_inputs} * num_outputs, "cells below num_inputs * num_outputs");
        expects(i == 0 || cells[i - 1] < cells[i], "cells in ascending order without repeats");
    }
    Topology topology;
    topology.num_inputs = num_inputs;
    topology.num_outputs = num_outputs;
    topology.row_start.resize(std::size_t{num_outputs} + 1);
    topology.column.resize(cells.size());
    csr_of(thrust::seq, num_inputs, num_outputs, cells.data(), static_cast<EdgeIndex>(cells.size()),
           topology.row_start.data(), topology.column.data());
    return topology;
}

Topology random_topology(Index num_inputs, Index num_outputs, Cell num_edges, const BirthLaw& law,
                         const Stream& stream) {
    const Cell num_cells = Cell{num_inputs} * num_outputs;
    // Draws that repeat fall away, so there may be more of them than cells.
    const bool may_repeat = std::holds_alternative<WithReplacement>(law);
    check_edge_count(num_inputs, num_outputs, may_repeat ? std::min(num_edges, num_cells) : num_edges);
    return std::visit(
        [&](const auto& rule) {
            return from_cells(num_inputs, num_outputs, birth_cells(rule, num_inputs, num_cells, num_edges, stream));
        },
        law);
}

Cell edges_by_epsilon(Index num_inputs, Index num_outputs, double epsilon) {
    const double widths = static_cast<double>(num_inputs) + static_cast<double>(num_outputs);
    const double cells = static_cast<double>(num_inputs) * static_cast<double>(num_outputs);
    const double edges = std::floor(epsilon * widths);
    if (!(edges >= 0)) {
        throw UserError(ExitCode::usage, "epsilon " + number_text(epsilon) + " is not a number of at least 0");
    }
    return static_cast<Cell>(std::min(edges, cells));
}

std::vector<Cell> edges_by_erk(const std::vector<Index>& widths, double sparsity) {
    if (!(sparsity >= 0 && sparsity < 1)) {
        throw UserError(ExitCode::usage,
                        "sparsity: " + number_text(sparsity) + " is outside [0, 1); 0.9 leaves a tenth of the edges");
    }
    const std::size_t layers = widths.empty() ? 0 : widths.size() - 1;
    std::vector<double> cells(layers);
    std::vector<double> weight(layers);  // cells times the kernel's raw density
    std::vector<bool> dense(layers, false);
    double wanted = 0;
    for (std::size_t l = 0; l < layers; ++l) {
        cells[l] = static_cast<double>(widths[l]) * static_cast<double>(widths[l + 1]);
        weight[l] = static_cast<double>(widths[l]) + static_cast<double>(widths[l + 1]);
        wanted += (1 - sparsity) * cells[l];
    }
    // what dense layers cannot take goes to the others, which may make the next one dense
    double scale = 0;
    for (bool settled = false; !settled;) {
        double left = wanted;
        double sum = 0;
        for (std::size_t l = 0; l < layers; ++l) {
            if (dense[l]) {
                left -= cells[l];
            } else {
                sum += weight[l];
            }
        }
        scale = sum > 0 ? left / sum : 0;
        settled = true;
        for (std::size_t l = 0; l < layers; ++l) {
            if (!dense[l] && scale * weight[l] > cells[l]) {
                dense[l] = true;
                settled = false;
            }
        }
    }
    std::vector<Cell> edges(layers);
    for (std::size_t l = 0; l < layers; ++l) {
        edges[l] = static_cast<Cell>(dense[l] ? cells[l] : std::min(cells[l], std::round(scale * weight[l])));
    }
    return edges;
}

}  // namespace espalier
