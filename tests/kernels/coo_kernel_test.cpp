// Edge-parallel kernels against plain double loops.
#include "cuda/kernels/coo.cuh"

#include "product_cases.hpp"

namespace espalier::cuda {
namespace {

using CooKernels = cuda_on_host::EveryOrder;
INSTANTIATE_TEST_SUITE_P(Orders, CooKernels, testing::ValuesIn(cuda_on_host::every_order));

constexpr auto coo_forward = [](const DeviceCase& layer, const auto& rule, ConstActivations x, Activations saved,
                                Activations y) {
    using Rule = std::decay_t<decltype(rule)>;
    const CooEdges edges{layer.row.data(), layer.column.data(), layer.host.num_edges()};
    const DeviceArray<float> parts(std::size_t{2} * edges.chunks() * y.tiles() * tile_lanes);
    if (edges.chunks() > 0) {
        launch(forward_coo_kernel<threads, Rule>, dim3(blocks_for(edges.chunks(), threads / 32), y.tiles()),
               dim3(threads), 0, edges, layer.forward(), rule, x, parts.data(), saved, y);
    }
    launch(forward_coo_join_kernel<threads, Rule>, dim3(blocks_for(y.rows, threads / 32), y.tiles()), dim3(threads), 0,
           layer.forward(), rule, edges.chunks(), parts.data(), saved, y);
    (void)parts.read();  // nothing was written past it
};

constexpr auto coo_input_gradient = [](const DeviceCase& layer, ConstActivations dy, Activations dx) {
    const CooEdges edges{layer.column_by_edge.data(), layer.row_by_input.data(), layer.host.num_edges()};
    const DeviceArray<float> parts(std::size_t{2} * edges.chunks() * dx.tiles() * tile_lanes);
    if (edges.chunks() > 0) {
        launch(input_gradient_coo_kernel<threads>, dim3(blocks_for(edges.chunks(), threads / 32), dx.tiles()),
               dim3(threads), 0, edges, layer.input_gradient(), dy, parts.data(), dx);
    }
    launch(input_gradient_coo_join_kernel<threads>, dim3(blocks_for(dx.rows, threads / 32), dx.tiles()), dim3(threads),
           0, layer.input_gradient(), edges.chunks(), parts.data(), dx);
};

/// Rows of `lengths` edges, each its first inputs.
SparseCase rows_of(const std::string& name, const std::vector<Index>& lengths, Index inputs, Index batch) {
    SparseCase layer = sparse_case(name, inputs, static_cast<Index>(lengths.size()), batch, 0);
    layer.row_start.assign(1, 0);
    for (Index r = 0; r < layer.outputs; ++r) {
        for (Index c = 0; c < lengths[r]; ++c) {
            layer.row.push_back(r);
            layer.column.push_back(c);
        }
        layer.row_start.push_back(layer.num_edges());
    }
    layer.column_start.clear();
    for (Index c = 0; c < inputs; ++c) {
        layer.column_start.push_back(static_cast<EdgeIndex>(layer.slot.size()));
        for (Index r = 0; r < layer.outputs; ++r) {
            if (c >= lengths[r]) continue;
            layer.slot.push_back(layer.row_start[r] + c);
            layer.row_by_input.push_back(r);
        }
    }
    layer.column_start.push_back(layer.num_edges());
    layer.weight = random_values(2, layer.num_edges());
    return layer;
}

/// Rows that begin and end where chunks do, that span two, three and many, and none at all.
std::vector<SparseCase> uneven_cases() {
    constexpr Index c = coo_chunk;
    return {rows_of("one chunk exactly", {c}, c, 2),
            rows_of("one edge more", {c, 1}, c, 2),
            rows_of("ends with a chunk", {c - 3, 3, 0, 5, c - 5}, c, 3),
            rows_of("spans three chunks", {1, 2 * c, 0, 7, 3}, 2 * c, 130),
            rows_of("fills chunks between", {5, 3 * c - 5, c, 0}, 3 * c, 2),
            huge_row_case()};
}

TEST_P(CooKernels, EqualPlainLoops) {
    for (const auto& cases : {sparse_cases(), uneven_cases()}) {
        for (const SparseCase& layer : cases) {
            check_forward(layer, Relu{}, coo_forward);
            check_input_gradient(layer, coo_input_gradient);
        }
    }
}

TEST_P(CooKernels, EveryActivation) {
    check_forward_of_every_activation(rows_of("activations", {2, 300, 0, 9}, 300, 5), coo_forward);
}

TEST_P(CooKernels, RowsOfEdges) {
    for (const auto& cases : {sparse_cases(), uneven_cases()}) {
        for (const SparseCase& layer : cases) {
            if (layer.num_edges() == 0) continue;
            const DeviceArray<EdgeIndex> start(layer.row_start);
            const DeviceArray<Index> row(layer.num_edges());
            launch(edge_rows_kernel<threads>, dim3(blocks_for(layer.num_edges(), threads)), dim3(threads), 0,
                   start.data(), layer.outputs, layer.num_edges(), row.data());
            EXPECT_EQ(row.read(), layer.row) << layer.name;
        }
    }
}

TEST_P(CooKernels, LeaveOutTheirNeighboursEdges) { check_neighbours_left_out(coo_forward); }

TEST(CooOrder, GivesTheSameBitsInEveryOrderOfThreads) {
    const SparseCase layer = huge_row_case();
    const Matrix x(layer.inputs, layer.batch, 3);
    std::vector<float> first;
    for (const auto& policy : cuda_on_host::every_order) {
        cuda_on_host::set_policy(policy);
        const auto y = forward_of(DeviceCase(layer), Identity{}, x, false, coo_forward).y.values;
        if (first.empty()) first = y;
        EXPECT_EQ(y, first);
    }
    cuda_on_host::set_policy({});
}

}  // namespace
}  // namespace espalier::cuda
