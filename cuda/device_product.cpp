#include "cuda/device_product.hpp"

#include <optional>
#include <string>
#include <vector>

#include "cuda/check.hpp"
#include "cuda/device.hpp"
#include "cuda/layer_transfer.hpp"
#include "cuda/limits.hpp"
#include "cuda/memory.hpp"
#include "cuda/operations.hpp"
#include "cuda/stream.hpp"
#include "cuda/tile.hpp"
#include "cuda_calls.hpp"
#include "espalier/error.hpp"

namespace espalier::cuda {
namespace {

/// Makes a device the thread's own for a while: its owner may be at work on another.
class OnDevice {
public:
    explicit OnDevice(int number) {
        check(cudaGetDevice(&before_), "asking for the current device");
        if (before_ != number) make_current(number);
    }
    OnDevice(const OnDevice&) = delete;
    OnDevice& operator=(const OnDevice&) = delete;
    ~OnDevice() { static_cast<void>(cudaSetDevice(before_)); }

private:
    int before_ = 0;
};

/// For each canonical edge its number by input.
std::vector<EdgeIndex> input_order(const Topology& topology) {
    std::vector<EdgeIndex> next(std::size_t{topology.num_inputs} + 1);
    for (const Index column : topology.column) ++next[std::size_t{column} + 1];
    for (std::size_t c = 0; c < topology.num_inputs; ++c) next[c + 1] += next[c];
    std::vector<EdgeIndex> order;
    order.reserve(topology.column.size());
    for (const Index column : topology.column) order.push_back(next[column]++);
    return order;
}

Layer layer_of(const Topology& topology) {
    Layer layer;
    layer.num_inputs = topology.num_inputs;
    layer.num_outputs = topology.num_outputs;
    layer.activation = Identity{};
    layer.topology = topology;
    layer.weights.resize(topology.column.size());
    layer.bias.resize(topology.num_outputs);
    return layer;
}

class CudaProduct final : public DeviceProduct {
public:
    CudaProduct(const Topology& topology, int device)
        : device_(device),
          memory_(stream_),
          layer_(layer_in_use(stream_, memory_, layer_of(topology), {true, Sgd{}}, nullptr, nullptr)),
          order_(memory_, topology.column.size()),
          gradient_(memory_, layer_->gradient_by_panels() ? 0 : topology.column.size()),
          step_(memory_, 1) {
        const std::vector<EdgeIndex> order = input_order(topology);
        if (!order.empty()) {
            check(cudaMemcpyAsync(order_.data(), order.data(), order.size() * sizeof(EdgeIndex), cudaMemcpyHostToDevice,
                                  stream_),
                  "an upload");
        }
        wait();
    }
    [[nodiscard]] Index lanes() const override { return tile_lanes; }
    [[nodiscard]] int device() const override { return device_; }
    [[nodiscard]] Index num_inputs() const override { return layer_->num_inputs; }
    [[nodiscard]] Index num_outputs() const override { return layer_->num_outputs; }
    [[nodiscard]] EdgeIndex num_edges() const override { return layer_->num_edges; }

    void forward(ConstActivations x, const float* weights, const float* bias, Activations y, StreamHandle stream) override {
        expect_tiles(x, num_inputs());
        expect_tiles(y, num_outputs());
        expects(y.batch == x.batch, "as many samples in x as in y");
        work(stream, [&](cudaStream_t on) {
            take(on, weights, layer_->forward_product);
            float* const own = layer_->bias.values.data();
            if (bias != nullptr) {
                sum_arrays(on, bias, 0, 1, num_outputs(), own);  // of one: a copy
            } else {
                check(cudaMemsetAsync(own, 0, num_outputs() * sizeof(float), on), "clearing memory");
            }
            cuda::forward(on, *layer_, x, {}, y);
        });
    }

    void backward(ConstActivations x, const float* weights, ConstActivations dy, const Gradients& to,
                  StreamHandle stream) override {
        expect_tiles(x, num_inputs());
        expect_tiles(dy, num_outputs());
        expects(dy.batch == x.batch, "as many samples in x as in dy");
        work(stream, [&](cudaStream_t on) {
            if (to.x) {
                expect_tiles(to.x, num_inputs());
                take(on, weights, layer_->input_product);
                cuda::input_gradient(on, *layer_, dy, {}, to.x);
            }
            if (to.weights == nullptr && to.bias == nullptr) return;
            const Array<float>& gradient = layer_->gradient_by_panels() ? layer_->gradient_product.parts : gradient_;
            edge_gradients(on, *layer_, x, dy, step_.data(), to.weights == nullptr ? nullptr : gradient.data(), to.bias);
            if (to.weights != nullptr) permute(on, gradient.data(), layer_->slot.data(), num_edges(), to.weights);
        });
    }

private:
    static void expect_tiles(ConstActivations values, Index rows) {
        expects(values.rows == rows && values.lanes == tile_lanes && values.batch > 0, "samples in tiles of 128");
        expect_batch(values.batch);
    }
    void wait() { check(cudaStreamSynchronize(stream_), "work on the device"); }
    /// The weights in the order in which `product` reads them.
    void take(cudaStream_t stream, const float* weights, const Product& product) {
        permute(stream, weights, order_.data(), num_edges(), layer_->weights.values.data());
        if (product.choice.kernel == Spmm::panel) pack_weights(stream, {{layer_.get(), &product}});
    }
    template <class Work>
    void work(StreamHandle stream, const Work& enqueue) {
        const OnDevice here(device_);
        const auto on = stream.has_value() ? static_cast<cudaStream_t>(*stream) : static_cast<cudaStream_t>(stream_);
        // The layer's own arrays are written by every call.
        if (last_.has_value() && *last_ != on) check(cudaDeviceSynchronize(), "work on the device");
        last_ = on;
        if (stream.has_value()) return enqueue(on);
        check(cudaDeviceSynchronize(), "work on the device");
        enqueue(on);
        wait();
    }

    int device_;
    // in this order: memory goes before its stream
    OwnStream stream_;
    Memory memory_;
    std::unique_ptr<CudaLayer> layer_;
    Array<EdgeIndex> order_;   // [num_edges] of each canonical edge, its number by input
    Array<float> gradient_;    // [num_edges], canonical order; none where panels have room for it
    Array<StepScalars> step_;  // of no meaning to gradients
    std::optional<cudaStream_t> last_;
};

}  // namespace

std::unique_ptr<DeviceProduct> make_product_on_device(const Topology& topology, int device) {
    if (const std::string fault = take_device(device); !fault.empty()) throw UserError(ExitCode::device, fault);
    const OnDevice here(device);
    return std::make_unique<CudaProduct>(topology, device);
}

}  // namespace espalier::cuda
