// What the tests of forward and input gradient kernels share: a layer in device memory with all its views, and the
// comparison of a kernel's results with plain double loops.
#pragma once

#include "cuda/kernels/backward.cuh"
#include "cuda/kernels/forward.cuh"
#include "kernel_cases.hpp"

namespace espalier::cuda {

/// Trained SReLU parameters, different in every neuron.
inline std::vector<float> neuron_parameters(Index neurons) {
    std::vector<float> parameters = random_values(5, std::size_t{4} * neurons);
    for (Index n = 0; n < neurons; ++n) parameters[2 * neurons + n] = parameters[n] + 0.5F;  // right of the left
    return parameters;
}

/// Inputs of the edges in the order of the view by input.
inline std::vector<Index> column_by_input(const SparseCase& layer) {
    std::vector<Index> columns;
    for (const EdgeIndex each : layer.slot) columns.push_back(layer.column[each]);
    return columns;
}

/// A layer as kernels find it; edge arrays are padded with what must not be used.
struct DeviceCase {
    const SparseCase& host;
    std::vector<float> host_bias;
    DeviceArray<EdgeIndex> row_start, column_start, slot;
    DeviceArray<Index> row, column, row_by_input, column_by_edge, row_order, column_order;
    DeviceArray<float> weight, bias, parameters;

    explicit DeviceCase(const SparseCase& layer) : DeviceCase(layer, random_values(4, layer.outputs)) {}
    DeviceCase(const SparseCase& layer, const std::vector<float>& biases)
        : host(layer),
          host_bias(biases),
          row_start(layer.row_start),
          column_start(layer.column_start),
          slot(padded(layer.slot)),
          row(padded(layer.row)),
          column(padded(layer.column)),
          row_by_input(padded(layer.row_by_input)),
          column_by_edge(padded(column_by_input(layer))),
          row_order(some_order(layer.outputs)),
          column_order(some_order(layer.inputs)),
          weight(padded(layer.weight)),
          bias(biases),
          parameters(neuron_parameters(layer.outputs)) {}

    [[nodiscard]] ForwardArguments forward() const {
        return {row_start.data(), column.data(), weight.data(), row_order.data(), bias.data(), parameters.data()};
    }
    [[nodiscard]] InputGradientArguments input_gradient() const {
        return {column_start.data(), row_by_input.data(), slot.data(), weight.data(), column_order.data()};
    }
};

struct ForwardResult {
    Matrix saved;
    Matrix y;
};

/// What run(layer, rule, x, saved, y) makes of random inputs; `saved` is y where not kept apart.
template <class Rule, class Run>
ForwardResult forward_of(const DeviceCase& layer, const Rule& rule, const Matrix& x, bool save_apart, const Run& run) {
    const TiledArray d_x(x);
    const TiledArray saved(Matrix(layer.host.outputs, layer.host.batch));
    const TiledArray y(Matrix(layer.host.outputs, layer.host.batch));
    run(layer, rule, d_x.view(), save_apart ? saved.view() : Activations{}, y.view());
    return {saved.read(), y.read()};
}

template <class Rule, class Run>
void check_forward(const SparseCase& layer, const Rule& rule, const Run& run) {
    const DeviceCase device(layer);
    const Matrix x(layer.inputs, layer.batch, 3);
    const auto parameters = neuron_parameters(layer.outputs);
    const ForwardResult found = forward_of(device, rule, x, true, run);
    const ForwardResult evaluated = forward_of(device, rule, x, false, run);
    EXPECT_EQ(evaluated.y.values, found.y.values) << layer.name;
    for (Index r = 0; r < layer.outputs; ++r) {
        const Rule own = for_neuron(rule, parameters.data(), r, layer.outputs);
        for (Index s = 0; s < layer.batch; ++s) {
            double z = static_cast<double>(device.host_bias[r]);
            double size = std::abs(z);
            for (EdgeIndex e = layer.row_start[r]; e < layer.row_start[r + 1]; ++e) {
                const double term = static_cast<double>(layer.weight[e]) * static_cast<double>(x(layer.column[e], s));
                z += term;
                size += std::abs(term);
            }
            const float y = own.value(static_cast<float>(z));
            ASSERT_NEAR(found.y(r, s), y, allowance(size)) << layer.name << " row " << r << " sample " << s;
            ASSERT_NEAR(found.saved(r, s), Rule::saves_input ? z : static_cast<double>(y), allowance(size))
                << layer.name << " row " << r << " sample " << s;
        }
    }
}

/// run(layer, x, ...) with every activation there is.
template <class Run>
void check_forward_of_every_activation(const SparseCase& layer, const Run& run) {
    const auto check_all = [&]<class... Rules>(std::variant<Rules...>*) { (check_forward(layer, Rules{}, run), ...); };
    check_all(static_cast<Activation*>(nullptr));
}

/// A kernel must not touch what lies beside its rows' edges: an infinite sample reaches only those it has an edge to.
template <class Run>
void check_neighbours_left_out(const Run& run) {
    const SparseCase layer = sparse_case("infinite", 6, 4, 3, 400);  // row 2 has all inputs, row 1 none
    Matrix x(layer.inputs, layer.batch, 3);
    const Index only_row_2 = [&] {
        for (Index c = 0; c < layer.inputs; ++c) {
            if (layer.column_start[c + 1] - layer.column_start[c] == 1) return c;
        }
        return ~Index{0};
    }();
    ASSERT_NE(only_row_2, ~Index{0});
    x(only_row_2, 0) = INFINITY;
    const DeviceCase device(layer, std::vector<float>(layer.outputs, 0.0F));
    const Matrix y = forward_of(device, Identity{}, x, false, run).y;
    for (const Index r : {0U, 1U, 3U}) EXPECT_TRUE(std::isfinite(y(r, 0))) << "row " << r;
    EXPECT_FALSE(std::isfinite(y(2, 0)));
}

/// What run(layer, dy, dx) makes of random gradients.
template <class Run>
Matrix input_gradient_of(const DeviceCase& layer, const Run& run) {
    const TiledArray dy(Matrix(layer.host.outputs, layer.host.batch, 8));
    const TiledArray dx(Matrix(layer.host.inputs, layer.host.batch), 1);
    run(layer, dy.view(), dx.view());
    for (const float each : dx.beyond()) EXPECT_EQ(each, 0.0F) << "gradients past the batch are 0";
    return dx.read();
}

template <class Run>
void check_input_gradient(const SparseCase& layer, const Run& run) {
    const Matrix dx = input_gradient_of(DeviceCase(layer), run);
    const Matrix dy(layer.outputs, layer.batch, 8);
    std::vector<double> sizes(dx.values.size());
    std::vector<double> expected(dx.values.size());
    for (EdgeIndex e = 0; e < layer.num_edges(); ++e) {
        for (Index s = 0; s < layer.batch; ++s) {
            const double term = static_cast<double>(layer.weight[e]) * static_cast<double>(dy(layer.row[e], s));
            expected[std::size_t{layer.column[e]} * layer.batch + s] += term;
            sizes[std::size_t{layer.column[e]} * layer.batch + s] += std::abs(term);
        }
    }
    for (std::size_t i = 0; i < expected.size(); ++i) {
        ASSERT_NEAR(dx.values[i], expected[i], allowance(sizes[i])) << layer.name;
    }
}

/// part[0] = the sum of all parts, a power of two or less, by halves.
inline void add_by_halves(std::vector<float>& part) {
    std::size_t width = 1;
    while (width < part.size()) width *= 2;
    for (width /= 2; width > 0; width /= 2) {
        for (std::size_t i = 0; i < width && i + width < part.size(); ++i) part[i] += part[i + width];
    }
}

/// An edge's gradient in the order in which every kernel adds it: a lane's four samples, the lanes, the tiles.
inline float gradient_in_order(const Matrix& x, const Matrix& dy, Index column, Index row) {
    std::vector<float> tiles;
    for (Index first = 0; first < x.batch; first += tile_lanes) {
        std::vector<float> lanes(32);
        for (Index l = 0; l < 32; ++l) {
            for (Index k = 4; k-- > 0;) {
                const Index sample = first + l * 4 + k;
                if (sample < x.batch) lanes[l] = fmaf(dy(row, sample), x(column, sample), lanes[l]);
            }
        }
        add_by_halves(lanes);
        tiles.push_back(lanes[0]);
    }
    add_by_halves(tiles);
    return tiles[0];
}

/// The kernels that gather: what every other is compared with.
inline constexpr int gather_test_threads = 64;  // several blocks even for a few rows
inline constexpr auto gather_forward = [](const DeviceCase& layer, const auto& rule, ConstActivations x,
                                          Activations saved, Activations y) {
    launch(forward_kernel<gather_test_threads, std::decay_t<decltype(rule)>>,
           dim3(blocks_for(y.rows, gather_test_threads / 32), y.tiles()), dim3(gather_test_threads), 0, layer.forward(),
           rule, x, saved, y);
};
inline constexpr auto gather_input_gradient = [](const DeviceCase& layer, ConstActivations dy, Activations dx) {
    launch(input_gradient_kernel<gather_test_threads, Identity>,
           dim3(blocks_for(dx.rows, gather_test_threads / 32), dx.tiles()), dim3(gather_test_threads), 0,
           layer.input_gradient(), Identity{}, dy, ConstActivations{}, dx);
};

}  // namespace espalier::cuda
