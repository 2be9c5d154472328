// What tests of growth need of a pruned layer.
#pragma once

#include <memory>
#include <set>
#include <vector>

#include "espalier/common/evolution_steps.hpp"
#include "espalier/topology.hpp"
#include "test_layers.hpp"

namespace espalier {

/// Memory that lives as long as this.
class TestScratch {
public:
    template <class T>
    T* take(std::size_t count) {
        const auto block = std::make_shared<std::vector<T>>(count);
        blocks_.push_back(block);
        return block->data();
    }

private:
    std::vector<std::shared_ptr<void>> blocks_;
};

inline CsrView csr_view(const Topology& topology) {
    return {topology.num_inputs, topology.num_outputs, static_cast<EdgeIndex>(topology.num_edges()),
            topology.row_start.data(), topology.column.data()};
}

/// The cells that can take an edge after those of the slots `pruned` went, ascending; `allow_removed`: those of the
/// pruned edges too.
inline std::vector<Cell> missing_cells(const Topology& topology, const std::vector<EdgeIndex>& pruned,
                                       bool allow_removed) {
    const std::vector<Cell> cells = cells_of(topology);
    std::set<Cell> held(cells.begin(), cells.end());
    if (allow_removed) {
        for (const EdgeIndex slot : pruned) held.erase(cells[slot]);
    }
    std::vector<Cell> result;
    for (Cell cell = 0; cell < topology.num_cells(); ++cell) {
        if (held.count(cell) == 0) result.push_back(cell);
    }
    return result;
}

}  // namespace espalier
