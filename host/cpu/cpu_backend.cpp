#include "host/cpu/cpu_backend.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "host/cpu/backward_by_blocks.hpp"
#include "host/cpu/backward_by_tiles.hpp"
#include "host/cpu/batch_parts.hpp"
#include "host/cpu/dense.hpp"
#include "host/cpu/dense_library.hpp"
#include "host/cpu/evolution/degrees.hpp"
#include "host/cpu/evolution/evolve.hpp"
#include "host/cpu/layer_transfer.hpp"
#include "host/cpu/operations.hpp"
#include "host/cpu/team.hpp"

namespace espalier {

namespace {

void add_offsets(const float* offsets, Activations x, Index tile, Range rows) {
    for (Index r = rows.begin; r < rows.end; ++r) {
        float* row = x.row(tile, r);
        for (Index lane = 0; lane < worked_lanes(x.used(tile)); ++lane) row[lane] += offsets[r];
    }
}

CpuLayer& as_cpu(DeviceLayer& layer) { return dynamic_cast<CpuLayer&>(layer); }
const CpuLayer& as_cpu(const DeviceLayer& layer) { return dynamic_cast<const CpuLayer&>(layer); }
SparseCpuLayer& as_sparse(DeviceLayer& layer) { return dynamic_cast<SparseCpuLayer&>(layer); }
const SparseCpuLayer& as_sparse(const DeviceLayer& layer) { return dynamic_cast<const SparseCpuLayer&>(layer); }

class CpuBackend final : public Backend {
public:
    explicit CpuBackend(int threads) : team_(threads), instruction_set_(instruction_set()) {
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
        return cpu_layer_bytes(shape, use, zeta);
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
    void wait() override {
        // an exception leaves an empty queue: what was enqueued is lost with the step that failed
        const auto clear = [](CpuBackend* backend) {
            backend->queue_.clear();
            backend->tile_backward_.clear();
        };
        const std::unique_ptr<CpuBackend, decltype(clear)> guard(this, clear);
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
    void do_transposed(const DeviceLayer& layer, const DeviceLayer& offsets, ConstActivations y,
                       Activations x) override;
    void do_sample(const UnitDraw& draw, ConstActivations values, Activations means, Activations states,
                   const StepScalars* step) override;
    void do_score_reconstruction(ConstActivations probabilities, ConstActivations data) override;
    Pruned do_prune(DeviceLayer& layer, const Pruning& pruning) override {
        wait();
        return espalier::prune(as_sparse(layer), pruning, team_.threads());
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
        queue_.emplace_back(tiles, function);
    }
    template <class Function>
    void enqueue(Index tiles, const Function& function) {
        tile_backward_.enqueue_updates();
        enqueue_beside_updates(tiles, function);
    }
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
    void enqueue_neurons(CpuLayer& layer, const Saved& saved, Activations dy, const StepScalars* step);

    Team team_;
    std::string instruction_set_;
    std::size_t scratch_floats_ = 0;  // of every thread
    std::vector<Phase> queue_;
    TileBackward tile_backward_{queue_};
    std::vector<Metrics> group_sums_;  // per group of 16 lanes of the batch, so that no sum depends on the threads
    std::uint64_t batches_ = 0;
};

void CpuBackend::wait_before_release() noexcept {
    try {
        wait();
    } catch (...) {  // nobody waits for this work any more, so its error is dropped
    }
}

void CpuBackend::reserve_scratch(const CpuLayer& layer, Index tiles) {
    const auto* dense = dynamic_cast<const DenseCpuLayer*>(&layer);
    const std::size_t floats = std::max(backward_scratch(layer, tiles), dense ? dense_scratch(*dense, tiles) : 0);
    if (floats <= scratch_floats_) return;
    wait();
    team_.reserve_scratch(floats);
    scratch_floats_ = floats;
}

std::unique_ptr<DeviceLayer> CpuBackend::do_load(const Layer& layer, const LayerUse& use) {
    wait();
    auto result = layer_in_use(layer, use);
    if (dynamic_cast<const DenseCpuLayer*>(result.get()) != nullptr) {
        static_cast<void>(DenseLibrary::get());  // that it is missing shows now, not in a step
    }
    reserve_scratch(*result, tiles_of(use.batch));
    result->before_destruction = [this] { wait_before_release(); };
    return result;
}

void CpuBackend::do_gather(const Samples& samples, const BatchChoice& choice, Activations x, std::int32_t* labels,
                           const StepScalars* step) {
    enqueue(x.tiles(), [=](const TeamMember& member) {
        const std::uint32_t epoch = choice.shuffled ? step->epoch : 0;
        for_tile_rows(member, x.tiles(), x.rows, 128, [&](Index tile, Range features) {
            gather_rows(samples, choice, x, labels, epoch, tile, features);
        });
    });
}

void CpuBackend::do_forward_dropout(const DeviceLayer& layer, ConstActivations x, Activations saved, Activations y,
                                    const Dropout& dropout) {
    const Dropped dropped{dropout.mask, y.rows, DropoutMask(dropout.rate, {}).scale()};
    enqueue_beside_updates(y.tiles(), [=](const TeamMember& member) {
        const DropoutMask mask(dropout.rate, {dropout.seed, Purpose::dropout, dropout.layer, dropout.step->step});
        for_tile_rows(member, y.tiles(), y.rows, 1,
                      [&](Index tile, Range rows) { draw_dropped(mask, dropped, tile, y.used(tile), rows); });
    });
    forward_layer(layer, x, saved, y, dropped);
}

void CpuBackend::forward_layer(const DeviceLayer& layer, ConstActivations x, Activations saved, Activations y,
                               const Dropped& dropped) {
    if (const auto* dense = dynamic_cast<const DenseCpuLayer*>(&layer)) {
        return forward_dense(*dense, x, saved, y, dropped);
    }
    const auto* sparse = dynamic_cast<const SparseCpuLayer*>(&layer);
    if (is_narrow(x)) {
        return enqueue(0, [=](const TeamMember& member) {
            const Range rows = share_of_edges(member, sparse->row_start.data(), y.rows);
            narrow_forward(*sparse, pack_lanes(x, member.scratch), saved, y, dropped, rows);
        });
    }
    enqueue(x.tiles(), [=](const TeamMember& member) {
        if (whole_tiles(x.tiles(), member.count)) {
            for_tile_rows(member, x.tiles(), y.rows, 1,
                          [&](Index tile, Range rows) { forward_rows(*sparse, x, saved, y, dropped, tile, rows); });
            return;
        }
        const Range rows = share_of_edges(member, sparse->row_start.data(), y.rows);
        for (Index tile = 0; tile < x.tiles(); ++tile) forward_rows(*sparse, x, saved, y, dropped, tile, rows);
    });
}

void CpuBackend::forward_dense(const DenseCpuLayer& layer, ConstActivations x, Activations saved, Activations y,
                               const Dropped& dropped) {
    enqueue(x.tiles(), [=, &layer](const TeamMember& member) {
        for_tile_rows(member, x.tiles(), y.rows, dense_block, [&](Index tile, Range rows) {
            for (Index block = rows.begin / dense_block; block < dense_blocks(rows.end); ++block) {
                const Range outputs = dense_block_rows(block, y.rows);
                dense_product(layer, x, y, tile, outputs);
                finish_rows(layer, saved, y, dropped, tile, outputs);
            }
        });
    });
}

void CpuBackend::do_dropout(Activations values, float rate, std::uint64_t seed, std::uint32_t layer,
                            const StepScalars* step) {
    enqueue_beside_updates(values.tiles(), [=](const TeamMember& member) {
        const DropoutMask mask(rate, {seed, Purpose::dropout, layer, step->step});
        for_tile_rows(member, values.tiles(), values.rows, 1,
                      [&](Index tile, Range rows) { dropout_rows(values, mask, tile, rows); });
    });
}

void CpuBackend::do_loss(const Loss& loss, ConstActivations z, const std::int32_t* labels, Activations dz,
                         const float* class_weights, const float* targets) {
    enqueue_scores(z.tiles(), [=](Index tile, Index lane, Metrics& sums) {
        loss_lanes(loss, z, labels, dz, class_weights, targets, tile, lane, sums);
    });
}

template <class Work>
void CpuBackend::enqueue_scores(Index tiles, const Work& work) {
    const std::size_t groups = std::size_t{tiles} * (cpu_lanes / 16);
    if (group_sums_.size() < groups) {
        wait();
        group_sums_.resize(groups);
    }
    ++batches_;
    enqueue(tiles, [=, this](const TeamMember& member) {
        for_lane_groups(member, tiles, [&](Index tile, Index lane) {
            work(tile, lane, group_sums_[(std::size_t{tile} * cpu_lanes + lane) / 16]);
        });
    });
}

void CpuBackend::do_score_reconstruction(ConstActivations probabilities, ConstActivations data) {
    enqueue_scores(data.tiles(), [=](Index tile, Index lane, Metrics& sums) {
        reconstruction_lanes(probabilities, data, tile, lane, sums);
    });
}

void CpuBackend::do_sample(const UnitDraw& draw, ConstActivations values, Activations means, Activations states,
                           const StepScalars* step) {
    enqueue_beside_updates(values.tiles(), [=](const TeamMember& member) {
        const BernoulliUnits units(draw, step != nullptr ? step->step : 0);
        for_tile_rows(member, values.tiles(), values.rows, 1,
                      [&](Index tile, Range rows) { sample_rows(units, draw, values, means, states, tile, rows); });
    });
}

void CpuBackend::do_transposed(const DeviceLayer& layer, const DeviceLayer& offsets, ConstActivations y,
                               Activations x) {
    const auto* sparse_offsets = dynamic_cast<const SparseCpuLayer*>(&offsets);
    const float* offset = sparse_offsets != nullptr ? sparse_offsets->weights.data()
                                                    : dynamic_cast<const DenseCpuLayer&>(offsets).weights.data();
    if (const auto* dense = dynamic_cast<const DenseCpuLayer*>(&layer)) {
        return enqueue(x.tiles(), [=](const TeamMember& member) {
            for_tile_rows(member, x.tiles(), x.rows, dense_block, [&](Index tile, Range columns) {
                for (Index block = columns.begin / dense_block; block < dense_blocks(columns.end); ++block) {
                    const Range inputs = dense_block_rows(block, x.rows);
                    dense_input_gradient(*dense, y, x, tile, inputs);
                    add_offsets(offset, x, tile, inputs);
                }
            });
        });
    }
    const auto* sparse = dynamic_cast<const SparseCpuLayer*>(&layer);
    if (is_narrow(y)) {
        return enqueue(0, [=](const TeamMember& member) {
            const Range columns = share_of_edges(member, sparse->column_start.data(), x.rows);
            narrow_transposed(*sparse, offset, pack_lanes(y, member.scratch), x, columns);
        });
    }
    enqueue(x.tiles(), [=](const TeamMember& member) {
        const auto of_tile = [&](Index tile, Range columns) {
            transposed_rows(*sparse, input_edges(*sparse), offset, y, x, tile, columns);
        };
        if (whole_tiles(x.tiles(), member.count)) return for_tile_rows(member, x.tiles(), x.rows, 1, of_tile);
        const Range columns = share_of_edges(member, sparse->column_start.data(), x.rows);
        for (Index tile = 0; tile < x.tiles(); ++tile) of_tile(tile, columns);
    });
}

void CpuBackend::enqueue_neurons(CpuLayer& layer, const Saved& saved, Activations dy, const StepScalars* step) {
    enqueue(0, [=, &layer](const TeamMember& member) {
        backward_neurons(layer, saved, dy, share(member, layer.num_outputs), step->update, member.scratch);
    });
}

void CpuBackend::backward_layer(DeviceLayer& layer, ConstActivations x, const Saved& saved, Activations dy,
                                Activations dx, const StepScalars* step) {
    if (auto* sparse = dynamic_cast<SparseCpuLayer*>(&layer)) {
        backward_sparse(*sparse, x, saved, dy, dx, step);
    } else {
        enqueue_neurons(as_cpu(layer), saved, dy, step);
        backward_dense(dynamic_cast<DenseCpuLayer&>(layer), x, dy, dx, step);
    }
}

void CpuBackend::backward_sparse(SparseCpuLayer& layer, ConstActivations x, const Saved& saved, Activations dy,
                                 Activations dx, const StepScalars* step) {
    if (TileBackward::suits(layer, x, team_.threads())) {
        if (queue_.size() >= max_queued) wait();
        return tile_backward_.enqueue(layer, x, saved, dy, dx, step);
    }
    if (!layer.by_input()) {
        enqueue(0, [=, &layer](const TeamMember& member) {
            const Range rows = share_of_edges(member, layer.row_start.data(), layer.num_outputs);
            backward_rows(layer, x, saved, dy, rows, step->update, member.scratch);
        });
        return;
    }
    enqueue_neurons(layer, saved, dy, step);
    enqueue(0, [=, &layer](const TeamMember& member) {
        const Range columns = share_of_edges(member, layer.column_start.data(), layer.num_inputs);
        backward_columns(layer, x, dy, dx, columns, step->update, member.scratch);
    });
}

void CpuBackend::backward_dense(DenseCpuLayer& layer, ConstActivations x, ConstActivations dy, Activations dx,
                                const StepScalars* step) {
    if (dx) {
        enqueue(0, [=, &layer](const TeamMember& member) {
            const Index blocks = dense_blocks(layer.num_inputs);
            const Range own = share(member, x.tiles() * blocks);
            for (Index i = own.begin; i < own.end; ++i) {
                dense_input_gradient(layer, dy, dx, i / blocks, dense_block_rows(i % blocks, layer.num_inputs));
            }
        });
    }
    enqueue(0, [=, &layer](const TeamMember& member) {
        const Range own = share(member, dense_blocks(layer.num_outputs));
        for (Index block = own.begin; block < own.end; ++block) {
            dense_update(layer, x, dy, dense_block_rows(block, layer.num_outputs), step->update, member.scratch);
        }
    });
}

Metrics CpuBackend::metrics() {
    wait();
    Metrics all;
    for (const Metrics& group : group_sums_) {
        all.add_sums(group);
        all.first_nonfinite = std::min(all.first_nonfinite, group.first_nonfinite);
    }
    all.batches = batches_;  // not the groups' sum: each of them counts every batch
    std::fill(group_sums_.begin(), group_sums_.end(), Metrics{});
    batches_ = 0;
    return all;
}

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(int threads) { return std::make_unique<CpuBackend>(threads); }

}  // namespace espalier
