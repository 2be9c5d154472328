#include "host/models/correlated_birth.hpp"

#include <algorithm>
#include <functional>
#include <string>

#include "espalier/error.hpp"

namespace espalier {
namespace {

constexpr Index most_correlated = 8192;

/// Sums over the samples of products of features, [feature][feature], above and on the diagonal; and of features.
template <class Sum, class Value>
struct Moments {
    std::vector<Sum> sum, product;

    Moments(const std::vector<Value>& samples, std::size_t features)
        : sum(features, 0), product(features * features, 0) {
        std::vector<std::size_t> present;  // most pixels of most images are 0
        for (std::size_t at = 0; at < samples.size(); at += features) {
            const Value* const sample = samples.data() + at;
            present.clear();
            for (std::size_t f = 0; f < features; ++f) {
                if (sample[f] != 0) present.push_back(f);
            }
            for (std::size_t a = 0; a < present.size(); ++a) {
                const Sum value = sample[present[a]];
                sum[present[a]] += value;
                Sum* const row = product.data() + present[a] * features;
                for (std::size_t b = a; b < present.size(); ++b) row[present[b]] += value * sample[present[b]];
            }
        }
    }

    /// The squared correlation of every pair, [feature][feature]: it ranks as the magnitude does, and of exact sums it is
    /// exactly 1 where one feature tells the other.
    [[nodiscard]] std::vector<double> squared_correlations(std::size_t count) const {
        const std::size_t features = sum.size();
        const auto samples = static_cast<Sum>(count);
        const auto covariance = [&](std::size_t a, std::size_t b) {
            return static_cast<double>(samples * product[a * features + b] - sum[a] * sum[b]);
        };
        std::vector<double> result(features * features, 0);
        for (std::size_t a = 0; a < features; ++a) {
            for (std::size_t b = a; b < features; ++b) {
                const double scale = covariance(a, a) * covariance(b, b);
                const double both = covariance(a, b);
                if (scale > 0) result[a * features + b] = result[b * features + a] = both * both / scale;
            }
        }
        return result;
    }
};

/// Values that are held at most while the largest are looked for.
std::uint64_t most_listed(Index num_inputs, Index num_outputs, Cell num_edges) {
    return std::min<std::uint64_t>(4 * num_edges + num_inputs, std::uint64_t{num_inputs} * num_outputs);
}

/// The smallest of the `num_edges` largest values, of which each in row r counts for as many outputs as row r stands for.
double smallest_taken(const std::vector<double>& values, Index num_inputs, Index num_outputs, Cell num_edges) {
    std::vector<double> all;
    all.reserve(most_listed(num_inputs, num_outputs, num_edges));
    const auto row = [&](Index r) { return values.begin() + static_cast<std::ptrdiff_t>(std::size_t{r} * num_inputs); };
    for (Index output = 0; output < num_outputs; ++output) {
        all.insert(all.end(), row(output % num_inputs), row(output % num_inputs) + num_inputs);
        // what is not among the best so far never will be
        if (all.size() < 4 * num_edges && output + 1 < num_outputs) continue;
        const std::size_t kept = std::min<std::size_t>(num_edges, all.size());
        std::nth_element(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(kept - 1), all.end(), std::greater<>());
        all.resize(kept);
    }
    return all.back();
}

}  // namespace

std::uint64_t correlated_birth_bytes(Index num_inputs, Index num_outputs, Cell num_edges) {
    if (num_inputs > most_correlated) {
        throw UserError(ExitCode::usage, "birth: correlated is for layers of up to " + std::to_string(most_correlated) +
                                             " inputs, layer 1 has " + std::to_string(num_inputs));
    }
    static_assert(sizeof(std::int64_t) == sizeof(double));
    const std::uint64_t matrix = sizeof(double) * std::uint64_t{num_inputs} * num_inputs;
    return matrix + std::max(matrix, sizeof(double) * most_listed(num_inputs, num_outputs, num_edges));
}

Topology correlated_topology(const Split& train, Index num_inputs, Index num_outputs, Cell num_edges) {
    (void)correlated_birth_bytes(num_inputs, num_outputs, num_edges);  // refuses what does not fit
    const Cell num_cells = Cell{num_inputs} * num_outputs;
    std::vector<Cell> cells;
    if (num_edges == 0 || num_edges > num_cells) return random_topology(num_inputs, num_outputs, num_edges, {}, {});
    const std::vector<double> correlations =
        train.bytes.empty() ? Moments<double, float>(train.floats, num_inputs).squared_correlations(train.count())
                            : Moments<std::int64_t, std::uint8_t>(train.bytes, num_inputs).squared_correlations(train.count());
    const double least = smallest_taken(correlations, num_inputs, num_outputs, num_edges);
    const auto of_cell = [&](Cell cell) {
        return correlations[(cell / num_inputs % num_inputs) * num_inputs + cell % num_inputs];
    };
    Cell ties = num_edges;
    for (Cell cell = 0; cell < num_cells; ++cell) ties -= of_cell(cell) > least ? 1 : 0;
    for (Cell cell = 0; cell < num_cells; ++cell) {
        const bool tie = of_cell(cell) == least && ties > 0;
        ties -= tie ? 1 : 0;
        if (of_cell(cell) > least || tie) cells.push_back(cell);
    }
    return from_cells(num_inputs, num_outputs, cells);
}

}  // namespace espalier
