#include "cuda/kernels/head.cuh"

#include <variant>

#include "cuda/launch.cuh"
#include "cuda/operations.hpp"

namespace espalier::cuda {

bool may_be_head(const CudaLayer& layer) {
    return !layer.is_sparse && updates_edges(layer) && !layer.products_alone && layer.by_input() &&
           std::holds_alternative<Identity>(layer.activation) && layer.num_outputs <= most_head_classes &&
           layer.num_inputs <= most_head_inputs && layer.forward_product.choice.kernel == Spmm::gather &&
           layer.input_product.choice.kernel == Spmm::gather &&
           head_shared_bytes(layer.num_inputs, layer.num_outputs) <= layer.shared_bytes;
}

void head(const Launcher& to, const CudaLayer& layer, const HeadCall& call, const LayerBelow& below) {
    expects(below.dropped.step == nullptr, "no dropout below a head's own kernel");
    const HeadArguments arguments{layer.weights.values.data(), layer.bias.values.data(), call.x,    call.z, call.dz,
                                  call.dx, call.labels, call.class_weights, call.sums, call.share};
    const SoftmaxNll rule = std::get<SoftmaxNll>(call.loss);
    const auto by = [&]<class Rule>(const Rule& activation) {
        if constexpr (Rule::num_parameters == 0) {
            launch_with_shared(to, ForMany<HeadWork<head_threads, SoftmaxNll, Rule>>{},
                               head_kernel<head_threads, SoftmaxNll, Rule>,
                               dim3(call.z.tiles() * (tile_lanes / head_samples)), head_threads,
                               head_shared_bytes(layer.num_inputs, layer.num_outputs), arguments, rule, activation,
                               below.saved);
        } else {
            expects(false, "a derivative without parameters");
        }
    };
    if (below.layer == nullptr) return by(Identity{});
    std::visit(by, below.layer->activation);
}

}  // namespace espalier::cuda
