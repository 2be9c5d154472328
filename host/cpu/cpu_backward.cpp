// The backward pass of CpuBackend: which way it goes, and the phases of layers that one process computes block by block.
#include <algorithm>
#include <array>

#include "host/cpu/backward_by_blocks.hpp"
#include "host/cpu/batch_parts.hpp"
#include "host/cpu/canonical_weights.hpp"
#include "host/cpu/cpu_backend_class.hpp"
#include "host/cpu/dense.hpp"

namespace espalier {

void CpuBackend::enqueue_neurons(CpuLayer& layer, const Saved& saved, Activations dy, const StepScalars* step) {
    enqueue(0, [=, &layer](const TeamMember& member) {
        backward_neurons(layer, saved, dy, share(member, layer.num_outputs), step->update, member.scratch);
    });
}

void CpuBackend::backward_layer(DeviceLayer& layer, ConstActivations x, const Saved& saved, Activations dy,
                                Activations dx, const StepScalars* step) {
    reserve_scratch(as_cpu(layer), x.tiles());
    auto* const sparse = dynamic_cast<SparseCpuLayer*>(&layer);
    if (!exchange_.alone() || (sparse != nullptr && TileBackward::suits(*sparse, x, team_.threads()))) {
        if (queue_.size() >= max_queued) wait();
        tile_backward_.enqueue(as_cpu(layer), x, saved, dy, dx, step);
    } else if (sparse != nullptr) {
        backward_sparse(*sparse, x, saved, dy, dx, step);
    } else {
        enqueue_neurons(as_cpu(layer), saved, dy, step);
        backward_dense(dynamic_cast<DenseCpuLayer&>(layer), x, dy, dx, step);
    }
    const bool noted = std::find(changed_.begin(), changed_.end(), sparse) != changed_.end();
    if (sparse != nullptr && sparse->by_input() && !noted) changed_.push_back(sparse);
}

void CpuBackend::enqueue_canonical_weights() {
    while (!changed_.empty()) {
        std::array<SparseCpuLayer*, 24> layers{};  // as many as a phase can hold
        for (std::size_t i = 0; i < layers.size() && !changed_.empty(); ++i) {
            layers[i] = changed_.back();
            changed_.pop_back();
        }
        enqueue(0, [layers](const TeamMember& member) {
            // indices where floats lie otherwise: nobody needs the scratch meanwhile
            auto* const next = static_cast<EdgeIndex*>(static_cast<void*>(member.scratch));
            for (SparseCpuLayer* layer : layers) {
                if (layer != nullptr) take_weights(*layer, layer->input_weights.data(), member, next);
            }
        });
    }
}

void CpuBackend::backward_sparse(SparseCpuLayer& layer, ConstActivations x, const Saved& saved, Activations dy,
                                 Activations dx, const StepScalars* step) {
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

}  // namespace espalier
