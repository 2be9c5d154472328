// Stands in for cuSPARSE: plain loops, queued on the stream as its kernels would be. As there, what was prepared
// belongs to a topology: a product after a change without refresh() is found out.
#include "cuda/products/cusparse.hpp"

#include <functional>
#include <stdexcept>
#include <vector>

namespace cuda_on_host {
void enqueue(CUstream_st* stream, std::function<void()> work);
}  // namespace cuda_on_host

namespace espalier::cuda {
namespace {

/// What a refresh saw.
struct Prepared {
    std::vector<EdgeIndex> start;
    std::vector<Index> column;
};

class LoopedMatrix final : public SparseMatrix {
public:
    LoopedMatrix(cudaStream_t stream, const CsrArrays& arrays) : stream_(stream), arrays_(arrays) {}

    void refresh(EdgeIndex num_edges) override {
        cuda_on_host::enqueue(stream_, [=, prepared = prepared_, arrays = arrays_] {
            prepared->start.assign(arrays.start, arrays.start + arrays.num_rows + 1);
            prepared->column.assign(arrays.column, arrays.column + num_edges);
        });
    }
    void multiply(ConstActivations x, Activations y) override {
        for_all_edges([=, value = arrays_.value](Index row, const auto& edges) {
            for (Index s = 0; s < y.tiles() * y.lanes; ++s) {
                float sum = 0;
                edges([&](EdgeIndex e, Index column) { sum += value[e] * x.at(column, s); });
                y.at(row, s) = sum;
            }
        });
    }
    void sample(ConstActivations dy, ConstActivations x) override {
        for_all_edges([=, value = arrays_.value](Index row, const auto& edges) {
            edges([&](EdgeIndex e, Index column) {
                float sum = 0;
                for (Index s = 0; s < x.tiles() * x.lanes; ++s) sum += dy.at(row, s) * x.at(column, s);
                value[e] = sum;
            });
        });
    }

private:
    /// work(row, edges) for each row, where edges(each) calls each(edge, column).
    template <class Work>
    void for_all_edges(const Work& work) {
        cuda_on_host::enqueue(stream_, [=, prepared = prepared_, arrays = arrays_] {
            for (Index row = 0; row < arrays.num_rows; ++row) {
                if (prepared->start.empty() || prepared->start[row + 1] != arrays.start[row + 1]) {
                    throw std::logic_error("the rows changed since refresh()");
                }
                work(row, [&](const auto& each) {
                    for (EdgeIndex e = arrays.start[row]; e < arrays.start[row + 1]; ++e) {
                        if (prepared->column[e] != arrays.column[e]) {
                            throw std::logic_error("the columns changed since refresh()");
                        }
                        each(e, arrays.column[e]);
                    }
                });
            }
        });
    }
    cudaStream_t stream_;
    CsrArrays arrays_;
    std::shared_ptr<Prepared> prepared_ = std::make_shared<Prepared>();
};

class PlainLibrary final : public SparseLibrary {
public:
    explicit PlainLibrary(cudaStream_t stream) : stream_(stream) {}
    std::unique_ptr<SparseMatrix> matrix(const CsrArrays& arrays) override {
        return std::make_unique<LoopedMatrix>(stream_, arrays);
    }

private:
    cudaStream_t stream_;
};

}  // namespace

std::string sparse_library_fault() { return {}; }
std::unique_ptr<SparseLibrary> open_sparse_library(cudaStream_t stream, Memory& /*memory*/) {
    return std::make_unique<PlainLibrary>(stream);
}

}  // namespace espalier::cuda
