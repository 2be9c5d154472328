#include "cuda/cuda_backend.hpp"

#include <cstring>
#include <type_traits>

#include "cuda/products/blas.hpp"
#include "cuda/check.hpp"
#include "cuda/device.hpp"
#include "cuda/layer_footprint.hpp"
#include "cuda/layer_transfer.hpp"
#include "cuda/memory.hpp"
#include "cuda/operations.hpp"
#include "cuda/graph_cache.hpp"
#include "cuda_calls.hpp"
#include "espalier/error.hpp"

namespace espalier::cuda {
namespace {

constexpr Index cuda_lanes = 128;

class OwnStream {
public:
    OwnStream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream"); }
    OwnStream(const OwnStream&) = delete;
    OwnStream& operator=(const OwnStream&) = delete;
    ~OwnStream() { static_cast<void>(cudaStreamDestroy(stream_)); }
    operator cudaStream_t() const { return stream_; }  // NOLINT(google-explicit-constructor)

private:
    cudaStream_t stream_ = nullptr;
};

const CudaLayer& as_cuda(const DeviceLayer& layer) { return dynamic_cast<const CudaLayer&>(layer); }
CudaLayer& as_cuda(DeviceLayer& layer) { return dynamic_cast<CudaLayer&>(layer); }
CudaLayer& as_sparse(DeviceLayer& layer) {
    CudaLayer& any = as_cuda(layer);
    expects(!any.is_dense, "a sparse layer");
    return any;
}

class CudaBackend final : public Backend {
public:
    explicit CudaBackend(const CudaOptions& options)
        : graphs_(stream_, options.graph != 0), sums_(memory_, metric_bytes()) {
        clear_sums();
        wait();
    }
    ~CudaBackend() override { static_cast<void>(cudaStreamSynchronize(stream_)); }

    [[nodiscard]] std::string name() const override { return "cuda"; }
    [[nodiscard]] std::string describe() const override {
        const std::string fault = blas_fault();
        return describe_device() + (fault.empty() ? "" : "; " + fault);
    }
    [[nodiscard]] Index lanes() const override { return cuda_lanes; }

    [[nodiscard]] void* allocate(std::size_t bytes) override {
        graphs_.forbid();
        return memory_.allocate(bytes);
    }
    void release(void* memory) noexcept override { memory_.release(memory); }
    void upload(void* to, const void* from, std::size_t bytes) override {
        copy(to, from, bytes, cudaMemcpyHostToDevice);
    }
    void download(void* to, const void* from, std::size_t bytes) override {
        copy(to, from, bytes, cudaMemcpyDeviceToHost);
    }

    [[nodiscard]] LayerBytes layer_bytes(const LayerShape& shape, const LayerUse& use, double zeta) const override {
        return cuda::layer_bytes(shape, use, zeta, blas_fault().empty(), spmm_device());
    }

    [[nodiscard]] std::unique_ptr<DeviceLayer> load(const Layer& layer, const LayerUse& use) override {
        graphs_.forbid();
        auto result = layer_in_use(stream_, memory_, layer, use, blas_for(layer), library_for(use));
        result->id = ++layers_loaded_;
        return result;
    }
    [[nodiscard]] Layer store(const DeviceLayer& layer) override {
        graphs_.forbid();
        return layer_at_rest(stream_, as_cuda(layer));
    }
    void reset_state(DeviceLayer& layer) override {
        graphs_.forbid();
        clear_state(stream_, as_cuda(layer));
    }

    void gather(const Samples& samples, const BatchChoice& choice, Activations x, std::int32_t* labels,
                const StepScalars* step) override;
    void forward(const DeviceLayer& layer, ConstActivations x, Activations saved, Activations y) override;
    void dropout(Activations values, float rate, std::uint64_t seed, std::uint32_t layer,
                 const StepScalars* step) override;
    void loss(const Loss& loss, ConstActivations z, const std::int32_t* labels, Activations dz) override;
    void backward(DeviceLayer& layer, ConstActivations x, ConstActivations saved, Activations dy, Activations dx,
                  const StepScalars* step) override;

    void transposed(const DeviceLayer& layer, const DeviceLayer& offsets, ConstActivations y, Activations x) override;
    void sample(const UnitDraw& draw, ConstActivations values, Activations means, Activations states,
                const StepScalars* step) override;
    void score_reconstruction(ConstActivations probabilities, ConstActivations data) override;

    Pruned prune(DeviceLayer& layer, const PruneRule& rule, double zeta) override;
    std::uint32_t regrow(DeviceLayer& layer, const GrowRule& rule, const WeightLaw& law, bool reset_state,
                         std::uint64_t seed, std::uint32_t layer_number, std::uint32_t event) override {
        graphs_.forbid();
        return evolve(stream_, memory_, as_sparse(layer), {&rule, &law, reset_state, seed, layer_number, event});
    }
    void remove(DeviceLayer& layer) override {
        graphs_.forbid();
        evolve(stream_, memory_, as_sparse(layer), {});
    }
    [[nodiscard]] Degrees degrees(const DeviceLayer& layer) override;

    [[nodiscard]] Metrics metrics() override;
    void wait() override {
        graphs_.forbid();
        check(cudaStreamSynchronize(stream_), "work on the device");
    }
    void run(const std::function<void()>& program) override { graphs_.run(program); }

private:
    /// For a large dense layer, where there is a cuBLAS.
    Blas* blas_for(const Layer& layer) {
        if (layer.is_sparse() || layer.weights.size() <= small_dense_weights) return nullptr;
        if (blas_ == nullptr && blas_fault().empty()) blas_ = open_blas(stream_, memory_);
        return blas_.get();
    }
    /// Where it is asked for.
    SparseLibrary* library_for(const LayerUse& use) {
        if (use.spmm != Spmm::cusparse) return nullptr;
        if (library_ == nullptr) {
            if (const std::string fault = sparse_library_fault(); !fault.empty()) {
                throw UserError(ExitCode::device, "spmm: " + fault);
            }
            library_ = open_sparse_library(stream_, memory_);
        }
        return library_.get();
    }
    void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
        graphs_.forbid();
        check(cudaMemcpyAsync(to, from, bytes, kind, stream_), "a copy");
        wait();
    }
    void clear_sums() { check(cudaMemsetAsync(sums_.data(), 0, sums_.size(), stream_), "clearing the metrics"); }

    // in this order: graphs and memory go before their stream
    OwnStream stream_;
    Memory memory_;
    std::unique_ptr<Blas> blas_;
    std::unique_ptr<SparseLibrary> library_;
    GraphCache graphs_;
    Array<std::byte> sums_;  // MetricSums
    std::uint64_t layers_loaded_ = 0;
};

bool is_tiled(ConstActivations view) { return view.lanes == cuda_lanes && view.batch > 0; }

void CudaBackend::gather(const Samples& samples, const BatchChoice& choice, Activations x, std::int32_t* labels,
                         const StepScalars* step) {
    expects(is_tiled(x), "tiles of 128 samples");
    expects(choice.size == x.batch && x.rows == samples.features, "a buffer of the batch's and the samples' shape");
    expects(std::uint64_t{choice.first} + choice.size <= samples.count, "a batch within the samples");
    expects(step != nullptr || !choice.shuffled, "the epoch of a shuffled order");
    const auto& f = samples.factor;
    const auto& o = samples.offset;
    if (graphs_.record(Operation::gather, samples.bytes, samples.floats, samples.labels, samples.count, samples.features,
                        samples.channels, f[0], f[1], f[2], f[3], o[0], o[1], o[2], o[3], choice.first, choice.size,
                        choice.shuffled, choice.seed, x.data, labels, step)) {
        return;
    }
    cuda::gather(stream_, samples, choice, x, labels, step);
}

void CudaBackend::forward(const DeviceLayer& layer, ConstActivations x, Activations saved, Activations y) {
    const CudaLayer& own = as_cuda(layer);
    expects(is_tiled(x) && is_tiled(y), "tiles of 128 samples");
    expects(x.rows == own.num_inputs && y.rows == own.num_outputs && x.batch == y.batch,
            "x and y of the layer's shape");
    expects(!saved || (saved.rows == y.rows && saved.batch == y.batch && is_tiled(saved)), "saved of the shape of y");
    if (graphs_.record(Operation::forward, own.id, own.versions, x.data, x.batch, saved.data, y.data)) return;
    cuda::forward(stream_, own, x, saved, y);
}

void CudaBackend::dropout(Activations values, float rate, std::uint64_t seed, std::uint32_t layer,
                          const StepScalars* step) {
    expects(is_tiled(values), "tiles of 128 samples");
    expects(rate >= 0 && rate < 1, "a dropout rate in [0, 1)");
    expects(step != nullptr, "the step of a dropout mask");
    if (graphs_.record(Operation::dropout, values.data, values.rows, values.batch, rate, seed, layer, step)) return;
    cuda::dropout(stream_, DropoutMask(rate, {seed, Purpose::dropout, layer, 0}), values, step);
}

void CudaBackend::loss(const Loss& loss, ConstActivations z, const std::int32_t* labels, Activations dz) {
    expects(is_tiled(z), "tiles of 128 samples");
    expects(!dz || (dz.rows == z.rows && dz.batch == z.batch && is_tiled(dz)), "dz of the shape of z");
    const bool by_index_alone = std::visit(
        [](const auto& rule) { return std::tuple_size_v<decltype(std::decay_t<decltype(rule)>::fields())> == 0; },
        loss);
    expects(by_index_alone, "a loss without fields, as its number is all that tells it from others");
    if (graphs_.record(Operation::loss, loss.index(), z.data, z.rows, z.batch, labels, dz.data)) return;
    cuda::loss(stream_, loss, z, labels, dz, reinterpret_cast<MetricSums*>(sums_.data()));
}

void CudaBackend::backward(DeviceLayer& layer, ConstActivations x, ConstActivations saved, Activations dy,
                           Activations dx, const StepScalars* step) {
    const CudaLayer& own = as_cuda(layer);
    expects(is_tiled(x) && is_tiled(dy) && is_tiled(saved), "tiles of 128 samples");
    expects(x.rows == own.num_inputs && dy.rows == own.num_outputs && x.batch == dy.batch,
            "x and dy of the layer's shape");
    expects(saved.rows == dy.rows && saved.batch == dy.batch, "saved of the shape of dy");
    expects(!dx || (dx.rows == x.rows && dx.batch == x.batch && is_tiled(dx)), "dx of the shape of x");
    expects(!dx || own.by_input() || own.blas != nullptr, "a layer loaded with needs_input_gradient where dx is given");
    expects(step != nullptr, "the scalars of a step");
    if (graphs_.record(Operation::backward, own.id, own.versions, x.data, x.batch, saved.data, dy.data, dx.data, step)) {
        return;
    }
    cuda::backward(stream_, own, x, saved, dy, dx, step);
}

void CudaBackend::transposed(const DeviceLayer& layer, const DeviceLayer& offsets, ConstActivations y, Activations x) {
    const CudaLayer& own = as_cuda(layer);
    const CudaLayer& added = as_cuda(offsets);
    expects(is_tiled(y) && is_tiled(x), "tiles of 128 samples");
    expects(x.rows == own.num_inputs && y.rows == own.num_outputs && x.batch == y.batch,
            "x and y of the layer's shape");
    expects(added.is_dense && added.num_inputs == x.rows && added.num_outputs == 1,
            "dense offsets from the layer's inputs to 1");
    expects(own.by_input() || own.blas != nullptr, "a layer loaded with needs_input_gradient");
    if (graphs_.record(Operation::transposed, own.id, own.versions, added.id, added.versions, y.data, x.data, x.batch)) {
        return;
    }
    cuda::transposed(stream_, own, added, y, x);
}

void CudaBackend::sample(const UnitDraw& draw, ConstActivations values, Activations means, Activations states,
                         const StepScalars* step) {
    expects(is_tiled(values), "tiles of 128 samples");
    for (const Activations& written : {means, states}) {
        expects(!written || (written.rows == values.rows && written.batch == values.batch && is_tiled(written)),
                "means and states of the values' shape");
    }
    expects(step != nullptr || !states, "the step of drawn states");
    if (graphs_.record(Operation::sample, draw.seed, draw.number, draw.probabilities, draw.scale, values.data, values.rows,
                        values.batch, means.data, states.data, step)) {
        return;
    }
    cuda::sample(stream_, draw, values, means, states, step);
}

void CudaBackend::score_reconstruction(ConstActivations probabilities, ConstActivations data) {
    expects(is_tiled(probabilities) && is_tiled(data), "tiles of 128 samples");
    expects(probabilities.rows == data.rows && probabilities.batch == data.batch, "probabilities of the data's shape");
    if (graphs_.record(Operation::score, probabilities.data, data.data, data.rows, data.batch)) return;
    cuda::score_reconstruction(stream_, probabilities, data, reinterpret_cast<MetricSums*>(sums_.data()));
}

Pruned CudaBackend::prune(DeviceLayer& layer, const PruneRule& rule, double zeta) {
    graphs_.forbid();
    CudaLayer& own = as_sparse(layer);
    expects(zeta >= 0 && zeta <= 1, "zeta in [0, 1]");
    expects(!own.is_pruned, "regrow() or remove() after each prune()");
    return cuda::prune(stream_, memory_, own, rule, zeta);
}

Degrees CudaBackend::degrees(const DeviceLayer& layer) {
    graphs_.forbid();
    const CudaLayer& own = as_cuda(layer);
    expects(!own.is_dense, "a sparse layer");
    const std::size_t outputs = own.num_outputs;
    const std::size_t inputs = own.num_inputs;
    const Borrowed counts(memory_, (outputs + inputs) * sizeof(EdgeIndex));
    auto* const found = static_cast<EdgeIndex*>(counts.data());
    cuda::degrees(stream_, own, found, found + outputs);
    const auto all = downloaded(stream_, found, outputs + inputs);
    const auto middle = all.begin() + static_cast<std::ptrdiff_t>(outputs);
    return {{middle, all.end()}, {all.begin(), middle}};
}

Metrics CudaBackend::metrics() {
    graphs_.forbid();
    std::vector<std::byte> sums(sums_.size());
    check(cudaMemcpyAsync(sums.data(), sums_.data(), sums.size(), cudaMemcpyDeviceToHost, stream_), "a download");
    clear_sums();
    wait();
    return metrics_of(sums.data());
}

}  // namespace

std::unique_ptr<Backend> make_backend_on_device(const CudaOptions& options) {
    return std::make_unique<CudaBackend>(options);
}

}  // namespace espalier::cuda
