#include "cuda/limits.hpp"

#include <string>

#include "cuda/products/cusparse.hpp"
#include "espalier/error.hpp"

namespace espalier::cuda {

void expect_batch(Index batch) {
    if (batch <= max_batch) return;
    throw UserError(ExitCode::device, "batch: " + std::to_string(batch) + " is outside [1, " +
                                          std::to_string(max_batch) + "], what the CUDA backend takes");
}

void expect_within_limits(const LayerShape& shape, const LayerUse& use) {
    expect_batch(use.batch);
    const bool by_cusparse = shape.sparse && use.spmm == Spmm::cusparse;
    const std::uint64_t most = by_cusparse ? max_sparse_library_edges : max_edges;
    if (shape.num_edges <= most) return;
    throw UserError(ExitCode::device,
                    "layers: " + std::to_string(shape.num_inputs) + " x " + std::to_string(shape.num_outputs) +
                        " with " + std::to_string(shape.num_edges) + " edges is outside [0, " + std::to_string(most) +
                        "], what " +
                        (by_cusparse ? "cuSPARSE counts; choose --spmm auto, or fewer edges by --epsilon "
                                       "or --sparsity"
                                     : "the CUDA backend takes; --epsilon or --sparsity makes them fewer"));
}

}  // namespace espalier::cuda
