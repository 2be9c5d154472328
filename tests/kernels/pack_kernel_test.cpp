// Packed edges: every edge once, where its panel product looks for it; weights alone follow a change of weights.
#include "cuda/kernels/pack.cuh"

#include <algorithm>

#include "panel_cases.hpp"

namespace espalier::cuda {
namespace {

using PackKernels = cuda_on_host::EveryOrder;
INSTANTIATE_TEST_SUITE_P(Orders, PackKernels, testing::ValuesIn(cuda_on_host::every_order));

constexpr PanelBlock blocks[] = {{64, 16, 128}, {64, 8, 32}, {64, 4, 64}, {64, 2, 32}};

/// Reads what a warp reads.
class Reader {
public:
    Reader(const DevicePackedPanels& packed, const RowView& view)
        : block_(packed.block),
          layout_(packed.panels.layout),
          start_(view.start.read()),
          other_(view.other.read()),
          order_(view.order.read()),
          pair_start_(packed.pair_start.read()),
          pairs_(packed.pairs.read()),
          taken_(packed.pairs.size()) {}

    /// `weight_of`: of an edge by its number in the view.
    template <class Weight>
    void expect_packed(Index num_rows, const Weight& weight_of) {
        const Index rows = block_.rows_per_warp;
        const Index groups = layout_.num_positions / rows;
        for (Index group = 0; group < groups; ++group) {
            EdgeIndex at = pair_start_[group];
            for (Index panel = 0; panel < layout_.num_panels; ++panel) {
                ASSERT_EQ(pair_start_[std::size_t{panel} * groups + group], at);
                for (Index r = 0; r < rows; ++r) {
                    if (r % header_rows == 0) header_ = take(at++);
                    const Index position = group * rows + r;
                    const Index count = position < num_rows ? count_of(order_[position], panel) : 0;
                    ASSERT_EQ(counted(r % header_rows), count) << "panel " << panel << " position " << position;
                    for (Index e = 0; e < count; e += 2) {
                        expect_pair(take(at++), order_[position], panel, e, count, weight_of);
                        if (testing::Test::HasFatalFailure()) return;
                    }
                }
            }
        }
    }
    [[nodiscard]] EdgeIndex taken() const { return static_cast<EdgeIndex>(std::count(taken_.begin(), taken_.end(), 1)); }

private:
    const EdgePair& take(EdgeIndex at) {
        EXPECT_EQ(taken_.at(at)++, 0) << "pair " << at << " is two warps'";
        return pairs_.at(at);
    }
    [[nodiscard]] Index counted(Index row) const {
        const std::uint32_t words[] = {header_.place, __float_as_uint(header_.weight)};
        return words[row / 2] >> row % 2 * 16 & 0xffffU;
    }
    [[nodiscard]] EdgeIndex first_of(Index row, Index panel) const {
        return first_edge_of_panel(other_.data(), start_[row], start_[row + 1], layout_, panel);
    }
    [[nodiscard]] Index count_of(Index row, Index panel) const { return first_of(row, panel + 1) - first_of(row, panel); }
    template <class Weight>
    void expect_pair(const EdgePair& pair, Index row, Index panel, Index at, Index count, const Weight& weight_of) {
        const auto expect = [&](Index place, float weight, EdgeIndex edge) {
            const Index within = other_[edge] - panel * layout_.panel_neurons;
            ASSERT_LT(within, layout_.panel_neurons);
            ASSERT_EQ(place, (panel % product_stages * layout_.panel_neurons + within) * block_.columns * sizeof(float));
            ASSERT_EQ(weight, weight_of(edge));
        };
        const EdgeIndex edge = first_of(row, panel) + at;
        expect(pair.place, pair.weight, edge);
        if (at + 1 < count) expect(pair.second_place, pair.second_weight, edge + 1);
    }

    PanelBlock block_;
    PanelLayout layout_;
    std::vector<EdgeIndex> start_;
    std::vector<Index> other_;
    std::vector<Index> order_;
    std::vector<EdgeIndex> pair_start_;
    std::vector<EdgePair> pairs_;
    std::vector<int> taken_;
    EdgePair header_{};
};

/// Both views of a layer in blocks of one kind; then with other weights, both in one launch.
void check_layer(const SparseCase& layer, const PanelBlock& block) {
    SCOPED_TRACE(layer.name + ", " + std::to_string(block.rows_per_warp) + " rows of a warp");
    const DeviceCase device(layer);
    const RowView views[] = {by_output(device), by_input(device)};
    const DevicePackedPanels packed[] = {{views[0], block, panel_shared_bytes(block, 8)},
                                         {views[1], block, panel_shared_bytes(block, 12)}};
    const DeviceArray<float> other_weights(padded(random_values(77, layer.num_edges())));
    for (const bool again : {false, true}) {
        const std::vector<float> weights = again ? other_weights.read() : layer.weight;
        if (again) {
            std::vector<PackedProduct> products;
            for (const int v : {0, 1}) {
                products.push_back(packed[v].product(views[v]));
                products.back().weight = other_weights.data();
            }
            DevicePackedPanels::pack<false>(products);
        }
        for (const int v : {0, 1}) {
            Reader reader(packed[v], views[v]);
            reader.expect_packed(views[v].num_rows,
                                 [&](EdgeIndex edge) { return weights[v == 0 ? edge : layer.slot[edge]]; });
            if (testing::Test::HasFatalFailure()) return;
            EXPECT_EQ(reader.taken(), packed[v].used);
            EXPECT_LE(packed[v].used + pairs_read_ahead, packed[v].pairs.size());
        }
    }
}

TEST_P(PackKernels, EveryEdgeWhereItsProductLooks) {
    for (const SparseCase& layer : sparse_cases()) {
        for (const PanelBlock& block : blocks) {
            check_layer(layer, block);
            if (testing::Test::HasFatalFailure()) return;
        }
    }
}

TEST_P(PackKernels, MorePanelsThanLanes) { check_layer(sparse_case("many panels", 500, 37, 1, 60), blocks[1]); }

TEST_P(PackKernels, WholeRows) {
    check_layer(sparse_case("whole rows", 91, 70, 1, every_cell), blocks[0]);
    check_layer(huge_row_case(), blocks[3]);
}

}  // namespace
}  // namespace espalier::cuda
