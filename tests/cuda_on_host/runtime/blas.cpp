// Stands in for cuBLAS: plain loops, queued on the stream as its kernels would be.
#include "cuda/products/blas.hpp"

#include <functional>

namespace cuda_on_host {
void enqueue(CUstream_st* stream, std::function<void()> work);
}  // namespace cuda_on_host

namespace espalier::cuda {
namespace {

class PlainLoops final : public Blas {
public:
    explicit PlainLoops(cudaStream_t stream) : stream_(stream) {}

    void forward(const float* w, ConstActivations x, Activations y) override {
        for_all_lanes(y, [=](Index tile, Index output, Index lane) {
            float sum = 0;
            for (Index i = 0; i < x.rows; ++i) sum += w[std::size_t{output} * x.rows + i] * x.row(tile, i)[lane];
            y.row(tile, output)[lane] = sum;
        });
    }
    void input_gradient(const float* w, ConstActivations dy, Activations dx) override {
        for_all_lanes(dx, [=](Index tile, Index input, Index lane) {
            float sum = 0;
            for (Index o = 0; o < dy.rows; ++o) sum += w[std::size_t{o} * dx.rows + input] * dy.row(tile, o)[lane];
            dx.row(tile, input)[lane] = sum;
        });
    }
    void weight_gradient(ConstActivations dy, ConstActivations x, float* gradient) override {
        cuda_on_host::enqueue(stream_, [=] {
            for (Index o = 0; o < dy.rows; ++o) {
                for (Index i = 0; i < x.rows; ++i) {
                    float sum = 0;
                    for (Index tile = 0; tile < x.tiles(); ++tile) {
                        for (Index lane = 0; lane < x.lanes; ++lane) {
                            sum += dy.row(tile, o)[lane] * x.row(tile, i)[lane];
                        }
                    }
                    gradient[std::size_t{o} * x.rows + i] = sum;
                }
            }
        });
    }

private:
    template <class Work>
    void for_all_lanes(Activations view, const Work& work) {
        cuda_on_host::enqueue(stream_, [=] {
            for (Index tile = 0; tile < view.tiles(); ++tile) {
                for (Index row = 0; row < view.rows; ++row) {
                    for (Index lane = 0; lane < view.lanes; ++lane) work(tile, row, lane);
                }
            }
        });
    }
    cudaStream_t stream_;
};

}  // namespace

std::string blas_fault() { return {}; }
std::unique_ptr<Blas> open_blas(cudaStream_t stream, Memory& /*memory*/) {
    return std::make_unique<PlainLoops>(stream);
}

}  // namespace espalier::cuda
