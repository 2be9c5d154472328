#include "cuda/cuda_backend.hpp"

#include <algorithm>
#include <cstring>
#include <exception>
#include <functional>

#include "cuda/check.hpp"
#include "cuda/cohort.hpp"
#include "cuda/device.hpp"
#include "cuda/exchange.hpp"
#include "cuda/fingerprint.hpp"
#include "cuda/fusion.hpp"
#include "cuda/graph_cache.hpp"
#include "cuda/graph_footprint.hpp"
#include "cuda/layer_footprint.hpp"
#include "cuda/layer_transfer.hpp"
#include "cuda/limits.hpp"
#include "cuda/memory.hpp"
#include "cuda/operations.hpp"
#include "cuda/products/blas.hpp"
#include "cuda/stream.hpp"
#include "cuda/tile.hpp"
#include "cuda_calls.hpp"
#include "espalier/error.hpp"

namespace espalier::cuda {
namespace {

const CudaLayer& as_cuda(const DeviceLayer& layer) { return dynamic_cast<const CudaLayer&>(layer); }
CudaLayer& as_cuda(DeviceLayer& layer) { return dynamic_cast<CudaLayer&>(layer); }

class CudaBackend final : public Backend {
public:
    /// `companion`: its place among others that take their steps together; null alone.
    explicit CudaBackend(const CudaOptions& options, std::unique_ptr<Companion> companion = nullptr)
        : device_(options.device),
          memory_(stream_),
          exchange_(options.ranks == nullptr ? nullptr : std::make_unique<Exchange>(*options.ranks, memory_, stream_)),
          graphs_(stream_, options.graph != 0),
          tf32_(options.tf32 != 0),
          products_alone_(options.samples_in_a_row > 0),
          lanes_(products_alone_ ? tiles_of(static_cast<Index>(options.samples_in_a_row)) * tile_lanes : tile_lanes),
          sums_(memory_, metric_bytes()),
          companion_(std::move(companion)) {
        clear_sums();
        wait();
    }
    ~CudaBackend() override {
        part();
        static_cast<void>(cudaSetDevice(device_));
        if (exchange_ != nullptr && std::uncaught_exceptions() > 0) exchange_->abort();
        static_cast<void>(cudaStreamSynchronize(stream_));
    }

    [[nodiscard]] std::string name() const override { return "cuda"; }
    [[nodiscard]] std::string describe() const override {
        make_current(device_);
        return describe_device();
    }
    [[nodiscard]] Index lanes() const override { return lanes_; }

    [[nodiscard]] void* allocate(std::size_t bytes) override {
        begin();
        return memory_.allocate(bytes);
    }
    [[nodiscard]] void* keep(const void* from, std::size_t bytes) override {
        if (companion_ == nullptr || bytes == 0) return Backend::keep(from, bytes);
        return companion_->cohort().keep(from, bytes);
    }
    void release(void* memory) noexcept override {
        static_cast<void>(cudaSetDevice(device_));
        if (companion_ != nullptr && companion_->cohort().release(memory)) return;
        memory_.release(memory);
    }
    void upload(void* to, const void* from, std::size_t bytes) override {
        copy(to, from, bytes, cudaMemcpyHostToDevice);
    }
    void download(void* to, const void* from, std::size_t bytes) override {
        copy(to, from, bytes, cudaMemcpyDeviceToHost);
    }

    void expect_within_limits(const LayerShape& shape, const LayerUse& use) const override {
        cuda::expect_within_limits(shape, use);
    }
    [[nodiscard]] DeviceMemory device_memory() override {
        wait();
        DeviceMemory memory;
        std::size_t free = 0;
        std::size_t total = 0;
        check(cudaMemGetInfo(&free, &total), "asking for the free memory");
        memory.total = total;
        memory.in_use = total - free;
        if (graphs_.enabled()) memory.graph_node = bytes_of_graph_node(stream_, memory_);
        return memory;
    }
    [[nodiscard]] LayerBytes layer_bytes(const LayerShape& shape, const LayerUse& use, double zeta) const override {
        make_current(device_);
        const bool large_dense = !shape.sparse && shape.num_edges > small_dense_weights;
        // asked only then, for the question opens the library
        LayerBytes bytes = cuda::layer_bytes(shape, use, zeta, large_dense && blas_fault().empty(), spmm_device());
        if (exchange_ != nullptr) bytes.resident += bytes_of_exchange(shape);
        return bytes;
    }

    [[nodiscard]] Layer store(const DeviceLayer& layer) override {
        begin();
        return layer_at_rest(stream_, as_cuda(layer));
    }
    void reset_state(DeviceLayer& layer) override {
        begin();
        clear_state(stream_, as_cuda(layer));
    }

    [[nodiscard]] Metrics metrics() override;
    void wait() override {
        begin();
        if (exchange_ != nullptr) return exchange_->wait();
        check(cudaStreamSynchronize(stream_), "work on the device");
    }
    [[nodiscard]] Index ranks() const override { return share(0).stride; }
    void share_tiles(Activations values) override {
        if (exchange_ == nullptr) return;
        begin();
        exchange_->share_tiles(values);
    }
    [[nodiscard]] std::vector<std::uint64_t> fingerprints(const DeviceLayer& layer) override {
        if (exchange_ == nullptr) return {};
        wait();
        return exchange_->gather(fingerprint(stream_, as_cuda(layer)));
    }
    void run(const std::function<void()>& program) override {
        make_current(device_);
        if (companion_ != nullptr) wait();  // for the others have other streams
        const auto whole = [&] {
            fusion_.forget();  // of a program that was only noted down, and not to its end
            program();
            fusion_.release();
        };
        fuses_ = true;
        try {
            if (companion_ == nullptr || !companion_->run(graphs_, whole)) graphs_.run(whole);
        } catch (...) {
            fuses_ = false;
            fusion_.forget();
            throw;
        }
        fuses_ = false;
    }
    [[nodiscard]] std::vector<std::unique_ptr<Backend>> companions(std::size_t count) override;
    void part() noexcept override {
        if (companion_ != nullptr) companion_->part();
    }

protected:
    [[nodiscard]] std::unique_ptr<DeviceLayer> do_load(const Layer& layer, const LayerUse& use) override {
        begin();
        Blas* const blas = blas_for(layer);
        SparseLibrary* const library = library_for(use);
        if (products_alone_ && blas == nullptr && (library == nullptr || !layer.is_sparse())) {
            throw UserError(ExitCode::device, "samples in a row: only layers that cuBLAS or cuSPARSE multiplies");
        }
        auto result = layer_in_use(stream_, memory_, layer, use, blas, library);
        result->products_alone = products_alone_;
        result->id = ++layers_loaded_;
        if (exchange_ != nullptr) exchange_->expect(*result);
        return result;
    }
    void do_gather(const Samples& samples, const BatchChoice& choice, Activations x, std::int32_t* labels,
                   const StepScalars* step) override {
        enqueue(cuda::gather, samples, choice, own(x), labels, step, share(choice.size));
    }
    void do_forward(const DeviceLayer& layer, ConstActivations x, Activations saved, Activations y) override {
        make_current(device_);
        enqueue_forward(as_cuda(layer), x, saved, y, {});
    }
    void do_forward_dropout(const DeviceLayer& layer, ConstActivations x, Activations saved, Activations y,
                            const Dropout& dropout) override {
        if (products_alone_) return Backend::do_forward_dropout(layer, x, saved, y, dropout);
        make_current(device_);
        enqueue_forward(as_cuda(layer), x, saved, y, dropped(dropout, y.batch));
    }
    void do_dropout(Activations values, float rate, std::uint64_t seed, std::uint32_t layer,
                    const StepScalars* step) override {
        make_current(device_);
        fusion_.release_before(values);
        graphs_.enqueue(cuda::dropout, own(values), rate, Stream{seed, Purpose::dropout, layer, 0}, step,
                        share(values.batch));
    }
    void do_loss(const Loss& loss, ConstActivations z, const std::int32_t* labels, Activations dz,
                 const float* class_weights, const float* targets) override {
        make_current(device_);
        fusion_.loss(loss, own(z), labels, own(dz), class_weights, targets, sums(), share(z.batch));
        if (!fuses_) fusion_.release();
    }
    void do_backward(DeviceLayer& layer, ConstActivations x, ConstActivations saved, Activations dy, Activations dx,
                     const StepScalars* step) override {
        enqueue_backward(as_cuda(layer), x, saved, dy, dx, step, {});
    }
    void do_backward_dropout(DeviceLayer& layer, ConstActivations x, ConstActivations saved, Activations dy, Activations dx,
                             const StepScalars* step, const Dropout& dropout) override {
        if (products_alone_) return Backend::do_backward_dropout(layer, x, saved, dy, dx, step, dropout);
        enqueue_backward(as_cuda(layer), x, saved, dy, dx, step, dropped(dropout, x.batch));
    }
    void do_differentiate(const DeviceLayer& layer, ConstActivations saved, Activations dy, Activations dx) override {
        enqueue(cuda::differentiate, as_cuda(layer), own(saved), own(dy), Dropped{});
        if (dx) enqueue(cuda::input_gradient, as_cuda(layer), ConstActivations(own(dy)), LayerBelow{}, own(dx));
    }
    void do_transposed(const DeviceLayer& layer, const DeviceLayer& offsets, ConstActivations y,
                       Activations x) override {
        expect_alone();
        enqueue(cuda::transposed, as_cuda(layer), as_cuda(offsets), y, x);
    }
    void do_sample(const UnitDraw& draw, ConstActivations values, Activations means, Activations states,
                   const StepScalars* step) override {
        if (states) expect_alone();
        enqueue(cuda::sample, draw, own(values), own(means), own(states), step);
    }
    void do_score_reconstruction(ConstActivations probabilities, ConstActivations data) override {
        expect_alone();
        enqueue(cuda::score_reconstruction, probabilities, data, sums());
    }

    Pruned do_prune(DeviceLayer& layer, const Pruning& pruning) override {
        begin();
        return cuda::prune(stream_, memory_, as_cuda(layer), pruning);
    }
    Pruned do_prune_ends(DeviceLayer& layer, const DeadEnds& dead, Degrees& left) override;
    std::uint32_t do_replace(DeviceLayer& layer, const Regrowth* regrowth) override {
        begin();
        return cuda::replace(stream_, memory_, as_cuda(layer), regrowth);
    }
    [[nodiscard]] Degrees do_degrees(const DeviceLayer& layer) override;

private:
    void enqueue_forward(const CudaLayer& layer, ConstActivations x, Activations saved, Activations y, const Dropped& dropped) {
        fusion_.forward(layer, own(x), own(saved), own(y), dropped);
        if (!fuses_) fusion_.release();
    }
    void enqueue_backward(CudaLayer& layer, ConstActivations x, ConstActivations saved, Activations dy, Activations dx,
                          const StepScalars* step, const Dropped& dropped) {
        make_current(device_);
        if (exchange_ != nullptr) exchange_->make_room();
        make_room_for_tiles(memory_, layer, own(x).tiles());
        fusion_.backward(layer, own(x), own(saved), own(dy), own(dx), step, share(x.batch), dropped);
        if (!fuses_) fusion_.release();
    }
    [[nodiscard]] Dropped dropped(const Dropout& dropout, Index batch) const {
        const Stream draws{dropout.seed, Purpose::dropout, dropout.layer, 0};
        return {DropoutMask(dropout.rate, draws), dropout.step, share(batch)};
    }
    /// What work(outputs, inputs) counts for each neuron of a layer.
    template <class Work>
    Degrees counted(const CudaLayer& layer, const Work& work);
    /// This rank's part of a batch, and of a view of it; all of it alone.
    [[nodiscard]] RankShare share(Index batch) const {
        return exchange_ == nullptr ? RankShare{0, 1, batch} : exchange_->share(batch);
    }
    template <class T>
    [[nodiscard]] TiledView<T> own(const TiledView<T>& view) const {
        return share(view.batch).of(view);
    }
    /// Verbs of Boltzmann machines, whose arrays hold several batches, know nothing of ranks.
    void expect_alone() const { expects(exchange_ == nullptr, "one process, for a Boltzmann machine on a GPU"); }
    /// What a verb that no graph can hold begins with. A process may have a backend on each of several devices, and use
    /// them from threads of which each begins with device 0.
    void begin() {
        make_current(device_);
        graphs_.forbid();
        fusion_.release();
    }
    /// What the other verbs do.
    template <class Operation, class... Arguments>
    void enqueue(Operation* operation, const Arguments&... arguments) {
        make_current(device_);
        fusion_.release();
        graphs_.enqueue(operation, arguments...);
    }
    /// For a large dense layer, where there is a cuBLAS.
    Blas* blas_for(const Layer& layer) {
        if (layer.is_sparse() || layer.weights.size() <= small_dense_weights) return nullptr;
        if (blas_ == nullptr && blas_fault().empty()) blas_ = open_blas(stream_, memory_, tf32_);
        return blas_.get();
    }
    /// Where it is asked for.
    SparseLibrary* library_for(const LayerUse& use) {
        if (use.spmm != Spmm::cusparse) return nullptr;
        if (library_ == nullptr) {
            if (const std::string fault = sparse_library_fault(); !fault.empty()) {
                throw UserError(ExitCode::device, "spmm: " + fault);
            }
            library_ = open_sparse_library(stream_, memory_, lanes_);
        }
        return library_.get();
    }
    void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
        begin();
        if (bytes > 0) check(cudaMemcpyAsync(to, from, bytes, kind, stream_), "a copy");
        wait();
    }
    [[nodiscard]] MetricSums* sums() const { return reinterpret_cast<MetricSums*>(sums_.data()); }
    void clear_sums() { check(cudaMemsetAsync(sums_.data(), 0, sums_.size(), stream_), "clearing the metrics"); }

    int device_;
    // in this order: graphs and memory go before their stream
    OwnStream stream_;
    Memory memory_;
    std::unique_ptr<Exchange> exchange_;  // null alone; after the graphs that hold its calls
    std::unique_ptr<Blas> blas_;
    std::unique_ptr<SparseLibrary> library_;
    GraphCache graphs_;
    Fusion fusion_{graphs_, exchange_.get()};
    bool fuses_ = false;  // within run()
    bool tf32_;
    bool products_alone_;
    Index lanes_;
    Array<std::byte> sums_;  // MetricSums
    std::unique_ptr<Companion> companion_;
    std::uint64_t layers_loaded_ = 0;
};

std::vector<std::unique_ptr<Backend>> CudaBackend::companions(std::size_t count) {
    if (exchange_ != nullptr || products_alone_) return {};
    make_current(device_);
    CudaOptions options;
    options.graph = graphs_.enabled() ? 1 : 0;
    options.device = device_;
    options.tf32 = tf32_ ? 1 : 0;
    const auto cohort = std::make_shared<Cohort>(device_, count, graphs_.enabled());
    std::vector<std::unique_ptr<Backend>> all;
    for (std::size_t member = 0; member < count; ++member) {
        all.push_back(std::make_unique<CudaBackend>(options, std::make_unique<Companion>(cohort, member)));
    }
    return all;
}

template <class Work>
Degrees CudaBackend::counted(const CudaLayer& layer, const Work& work) {
    const std::size_t outputs = layer.num_outputs;
    const std::size_t inputs = layer.num_inputs;
    const Borrowed counts(memory_, (outputs + inputs) * sizeof(EdgeIndex));
    auto* const found = static_cast<EdgeIndex*>(counts.data());
    work(found, found + outputs);
    const auto all = downloaded(stream_, found, outputs + inputs);
    const auto middle = all.begin() + static_cast<std::ptrdiff_t>(outputs);
    return {{middle, all.end()}, {all.begin(), middle}};
}

Degrees CudaBackend::do_degrees(const DeviceLayer& layer) {
    begin();
    const CudaLayer& own = as_cuda(layer);
    return counted(own, [&](EdgeIndex* outputs, EdgeIndex* inputs) { cuda::degrees(stream_, own, outputs, inputs); });
}

Pruned CudaBackend::do_prune_ends(DeviceLayer& layer, const DeadEnds& dead, Degrees& left) {
    begin();
    CudaLayer& own = as_cuda(layer);
    const Pruned more = cuda::prune_ends(stream_, memory_, own, dead);
    left = do_degrees(layer);
    const Degrees gone = counted(own, [&](EdgeIndex* outputs, EdgeIndex* inputs) {
        cuda::pruned_degrees(stream_, memory_, own, outputs, inputs);
    });
    const auto take = [](std::vector<EdgeIndex>& from, const std::vector<EdgeIndex>& what) {
        std::transform(from.begin(), from.end(), what.begin(), from.begin(), std::minus<>());
    };
    take(left.inputs, gone.inputs);
    take(left.outputs, gone.outputs);
    return more;
}

Metrics CudaBackend::metrics() {
    begin();
    std::vector<std::byte> sums(sums_.size());
    check(cudaMemcpyAsync(sums.data(), sums_.data(), sums.size(), cudaMemcpyDeviceToHost, stream_), "a download");
    clear_sums();
    wait();
    if (exchange_ != nullptr) {
        const std::vector<std::byte> all = exchange_->gather(sums);
        std::fill(sums.begin(), sums.end(), std::byte{0});
        for (std::size_t at = 0; at < all.size(); at += sums.size()) add_metrics(sums.data(), all.data() + at);
    }
    return metrics_of(sums.data());
}

}  // namespace

std::unique_ptr<Backend> make_backend_on_device(const CudaOptions& options) {
    return std::make_unique<CudaBackend>(options);
}

}  // namespace espalier::cuda
