// The class behind make_cpu_backend(): verbs become phases of a queue, which its team walks when somebody waits.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "espalier/backend.hpp"
#include "host/cpu/backward_by_tiles.hpp"
#include "host/cpu/canonical_weights.hpp"
#include "host/cpu/cpu_backend.hpp"
#include "host/cpu/dense_library.hpp"
#include "host/cpu/evolution/degrees.hpp"
#include "host/cpu/evolution/evolve.hpp"
#include "host/cpu/exchange.hpp"
#include "host/cpu/fingerprint.hpp"
#include "host/cpu/layer_transfer.hpp"
#include "host/cpu/operations.hpp"
#include "host/cpu/team.hpp"

namespace espalier {

inline CpuLayer& as_cpu(DeviceLayer& layer) { return dynamic_cast<CpuLayer&>(layer); }
inline const CpuLayer& as_cpu(const DeviceLayer& layer) { return dynamic_cast<const CpuLayer&>(layer); }
inline SparseCpuLayer& as_sparse(DeviceLayer& layer) { return dynamic_cast<SparseCpuLayer&>(layer); }
inline const SparseCpuLayer& as_sparse(const DeviceLayer& layer) { return dynamic_cast<const SparseCpuLayer&>(layer); }

class CpuBackend final : public Backend {
public:
    CpuBackend(int threads, Ranks* ranks)
        : exchange_(ranks), team_(threads, exchange_.tiles(), exchange_.sharing()), instruction_set_(instruction_set()) {
        queue_.reserve(max_queued);
    }

    [[nodiscard]] std::string name() const override { return "cpu"; }
    [[nodiscard]] std::string describe() const override {
        return "cpu: " + instruction_set_ + ", " + std::to_string(team_.threads()) +
               (team_.threads() == 1 ? " thread" : " threads") + dense_kernels();
    }
    /// Which kernels multiply this process's large dense layers; empty while it has had none.
    [[nodiscard]] static std::string dense_kernels() {
        const DenseLibrary* library = DenseLibrary::if_open();
        return library == nullptr ? "" : "; dense: " + library->describe();
    }
    [[nodiscard]] Index lanes() const override { return cpu_lanes; }

    [[nodiscard]] void* allocate(std::size_t bytes) override { return allocate_aligned(bytes); }
    void release(void* memory) noexcept override {
        wait_before_release();
        release_aligned(memory);
    }
    void upload(void* to, const void* from, std::size_t bytes) override { copy(to, from, bytes); }
    void download(void* to, const void* from, std::size_t bytes) override { copy(to, from, bytes); }

    [[nodiscard]] std::uint64_t array_bytes(std::uint64_t bytes) const override { return cpu_array_bytes(bytes); }
    [[nodiscard]] LayerBytes layer_bytes(const LayerShape& shape, const LayerUse& use, double zeta) const override {
        LayerBytes bytes = cpu_layer_bytes(shape, use, zeta);
        if (!use.needs_input_gradient) return bytes;
        const Index parts = row_parts(shape.num_inputs, shape.num_edges, team_.threads());
        bytes.resident += std::uint64_t{sizeof(EdgeIndex)} * (parts - 1) * shape.num_inputs;
        return bytes;
    }

    [[nodiscard]] Layer store(const DeviceLayer& layer) override {
        wait();
        return layer_at_rest(as_cpu(layer));
    }
    void reset_state(DeviceLayer& layer) override {
        wait();
        clear_state(as_cpu(layer));
    }

    [[nodiscard]] Metrics metrics() override;
    [[nodiscard]] Index ranks() const override { return static_cast<Index>(exchange_.ranks()); }
    void share_tiles(Activations values) override {
        if (exchange_.alone()) return;
        enqueue_on_one([=, this] { exchange_.share_tiles(values); });
    }
    [[nodiscard]] std::vector<std::uint64_t> fingerprints(const DeviceLayer& layer) override {
        if (exchange_.alone()) return {};
        wait();
        return exchange_.gather(fingerprint(as_cpu(layer)));
    }
    void wait() override {
        // an exception leaves an empty queue: what was enqueued is lost with the step that failed
        const auto clear = [](CpuBackend* backend) {
            backend->queue_.clear();
            backend->tile_backward_.clear();
            backend->changed_.clear();
        };
        const std::unique_ptr<CpuBackend, decltype(clear)> guard(this, clear);
        enqueue_canonical_weights();
        tile_backward_.enqueue_updates();
        if (!queue_.empty()) team_.run(queue_);
    }

protected:
    [[nodiscard]] std::unique_ptr<DeviceLayer> do_load(const Layer& layer, const LayerUse& use) override;
    void do_gather(const Samples& samples, const BatchChoice& choice, Activations x, std::int32_t* labels,
                   const StepScalars* step) override;
    void do_forward(const DeviceLayer& layer, ConstActivations x, Activations saved, Activations y) override {
        forward_layer(layer, x, saved, y, {});
    }
    void do_forward_dropout(const DeviceLayer& layer, ConstActivations x, Activations saved, Activations y,
                            const Dropout& dropout) override;
    void do_dropout(Activations values, float rate, std::uint64_t seed, std::uint32_t layer,
                    const StepScalars* step) override;
    void do_loss(const Loss& loss, ConstActivations z, const std::int32_t* labels, Activations dz,
                 const float* class_weights, const float* targets) override;
    void do_backward(DeviceLayer& layer, ConstActivations x, ConstActivations saved, Activations dy, Activations dx,
                     const StepScalars* step) override {
        backward_layer(layer, x, {saved, {}}, dy, dx, step);
    }
    void do_backward_dropout(DeviceLayer& layer, ConstActivations x, ConstActivations saved, Activations dy,
                             Activations dx, const StepScalars* step, const Dropout& dropout) override {
        const Dropped dropped{dropout.mask, dy.rows, DropoutMask(dropout.rate, {}).scale()};
        backward_layer(layer, x, {saved, dropped}, dy, dx, step);
    }
    void do_differentiate(const DeviceLayer& layer, ConstActivations saved, Activations dy, Activations dx) override;
    void do_transposed(const DeviceLayer& layer, const DeviceLayer& offsets, ConstActivations y,
                       Activations x) override;
    void do_sample(const UnitDraw& draw, ConstActivations values, Activations means, Activations states,
                   const StepScalars* step) override;
    void do_score_reconstruction(ConstActivations probabilities, ConstActivations data) override;
    Pruned do_prune(DeviceLayer& layer, const Pruning& pruning) override {
        wait();
        return espalier::prune(as_sparse(layer), pruning, team_.threads());
    }
    Pruned do_prune_ends(DeviceLayer& layer, const DeadEnds& dead, Degrees& left) override {
        return espalier::prune_ends(as_sparse(layer), dead, left);
    }
    std::uint32_t do_replace(DeviceLayer& layer, const Regrowth* regrowth) override {
        wait();
        return espalier::replace(as_sparse(layer), regrowth, team_.threads());
    }
    [[nodiscard]] Degrees do_degrees(const DeviceLayer& layer) override {
        wait();
        return espalier::degrees(as_sparse(layer));
    }

private:
    // Enough that the threads' start does not count, few enough that an interrupt is answered soon.
    static constexpr std::size_t max_queued = 1024;

    /// For phases that read no layer's parameters, or only those whose update is not set aside.
    template <class Function>
    void enqueue_beside_updates(Index tiles, const Function& function) {
        if (queue_.size() >= max_queued) wait();
        queue_.emplace_back(exchange_.tiles().count(tiles), function);
    }
    /// On one thread, while the others wait.
    template <class Function>
    void enqueue_on_one(const Function& function) {
        enqueue(0, [=](const TeamMember& member) {
            if (member.index == 0) function();
        });
    }
    template <class Function>
    void enqueue(Index tiles, const Function& function) {
        tile_backward_.enqueue_updates();
        enqueue_beside_updates(tiles, function);
    }
    /// Lets the canonical weights of all layers that were updated follow those by input, before somebody reads them.
    void enqueue_canonical_weights();
    void copy(void* to, const void* from, std::size_t bytes) {
        wait();
        if (bytes > 0) std::memcpy(to, from, bytes);
    }
    void wait_before_release() noexcept;
    static Index tiles_of(Index batch) { return (batch + cpu_lanes - 1) / cpu_lanes; }
    /// For the backward pass of a batch of so many tiles.
    void reserve_scratch(const CpuLayer& layer, Index tiles);

    void forward_layer(const DeviceLayer& layer, ConstActivations x, Activations saved, Activations y,
                       const Dropped& dropped);
    void backward_layer(DeviceLayer& layer, ConstActivations x, const Saved& saved, Activations dy, Activations dx,
                        const StepScalars* step);
    void forward_dense(const DenseCpuLayer& layer, ConstActivations x, Activations saved, Activations y,
                       const Dropped& dropped);
    void backward_dense(DenseCpuLayer& layer, ConstActivations x, ConstActivations dy, Activations dx,
                        const StepScalars* step);
    void backward_sparse(SparseCpuLayer& layer, ConstActivations x, const Saved& saved, Activations dy, Activations dx,
                         const StepScalars* step);
    /// Enqueues scores, work(tile, first lane, sums), of a batch in groups of 16 lanes.
    template <class Work>
    void enqueue_scores(Index tiles, const Work& work);
    /// x = W^T y + offsets.
    void enqueue_transposed(const DeviceLayer& layer, const float* offsets, ConstActivations y, Activations x);
    void enqueue_neurons(CpuLayer& layer, const Saved& saved, Activations dy, const StepScalars* step);

    Exchange exchange_;
    Team team_;
    std::string instruction_set_;
    std::size_t scratch_floats_ = 0;  // of every thread
    std::vector<Phase> queue_;
    TileBackward tile_backward_{queue_, exchange_};
    std::vector<SparseCpuLayer*> changed_;  // whose weights by input a queued update changes
    std::vector<Metrics> group_sums_;  // per group of 16 lanes of the batch, so that no sum depends on the threads
    std::uint64_t batches_ = 0;
    AlignedVector<float> no_offsets_;  // zeros, as many as the widest layer that was differentiated has inputs
};

}  // namespace espalier
