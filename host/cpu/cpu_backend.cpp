#include "host/cpu/cpu_backend.hpp"

#include <algorithm>
#include <string>

#include "host/cpu/backward_by_blocks.hpp"
#include "host/cpu/batch_parts.hpp"
#include "host/cpu/canonical_weights.hpp"
#include "host/cpu/cpu_backend_class.hpp"
#include "host/cpu/dense.hpp"
#include "host/cpu/transposed.hpp"

namespace espalier {

void CpuBackend::wait_before_release() noexcept {
    try {
        wait();
    } catch (...) {  // nobody waits for this work any more, so its error is dropped
    }
}

void CpuBackend::reserve_scratch(const CpuLayer& layer, Index tiles) {
    const auto* dense = dynamic_cast<const DenseCpuLayer*>(&layer);
    const std::size_t floats = std::max(backward_scratch(layer, tiles), dense ? dense_scratch(*dense, tiles) : 0);
    if (floats <= scratch_floats_ && tile_backward_.has_room(layer, tiles)) return;
    wait();
    scratch_floats_ = std::max(scratch_floats_, floats);
    team_.reserve_scratch(scratch_floats_);
    tile_backward_.reserve(layer, tiles);
}

std::unique_ptr<DeviceLayer> CpuBackend::do_load(const Layer& layer, const LayerUse& use) {
    wait();
    auto result = layer_in_use(layer, use);
    if (auto* sparse = dynamic_cast<SparseCpuLayer*>(result.get())) cut_rows(*sparse, team_.threads());
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
    enqueue_canonical_weights();
    if (const auto* dense = dynamic_cast<const DenseCpuLayer*>(&layer)) {
        return forward_dense(*dense, x, saved, y, dropped);
    }
    const auto* sparse = dynamic_cast<const SparseCpuLayer*>(&layer);
    if (is_narrow(x)) {
        return enqueue(0, [=](const TeamMember& member) {
            if (member.tiles.first > 0) return;  // the batch is one tile
            const Range rows = share_of_edges(member, sparse->row_start.data(), y.rows);
            narrow_forward(*sparse, pack_lanes(x, member.scratch), saved, y, dropped, rows);
        });
    }
    enqueue(x.tiles(), [=](const TeamMember& member) {
        if (has_whole_tiles(member, x.tiles())) {
            for_tile_rows(member, x.tiles(), y.rows, 1,
                          [&](Index tile, Range rows) { forward_rows(*sparse, x, saved, y, dropped, tile, rows); });
            return;
        }
        const Range rows = share_of_edges(member, sparse->row_start.data(), y.rows);
        for_tiles_of_process(member, x.tiles(),
                             [&](Index tile) { forward_rows(*sparse, x, saved, y, dropped, tile, rows); });
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
    enqueue_transposed(layer, offset, y, x);
}

void CpuBackend::do_differentiate(const DeviceLayer& layer, ConstActivations saved, Activations dy, Activations dx) {
    const CpuLayer* differentiated = &as_cpu(layer);
    enqueue(0, [=](const TeamMember& member) {
        differentiate_neurons(*differentiated, saved, dy, share(member, dy.rows), member.tiles, member.scratch);
    });
    if (!dx) return;
    if (no_offsets_.size() < dx.rows) {
        wait();
        no_offsets_.resize(dx.rows, 0.0F);
    }
    enqueue_transposed(layer, no_offsets_.data(), dy, dx);
}

void CpuBackend::enqueue_transposed(const DeviceLayer& layer, const float* offsets, ConstActivations y, Activations x) {
    enqueue_canonical_weights();  // the offsets may be a layer's
    const CpuLayer* crossed = &as_cpu(layer);
    enqueue(transposed_tiles(*crossed, y),
            [=](const TeamMember& member) { transposed_part(member, *crossed, offsets, y, x); });
}

Metrics CpuBackend::metrics() {
    wait();
    exchange_.share_scores(group_sums_);
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

std::unique_ptr<Backend> make_cpu_backend(int threads, Ranks* ranks) {
    return std::make_unique<CpuBackend>(threads, ranks);
}

}  // namespace espalier
