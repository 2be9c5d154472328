#include "cuda/kernels/backward.cuh"

#include <type_traits>
#include <variant>

#include "cuda/launch.cuh"
#include "cuda/operations.hpp"
#include "cuda/products/product_launch.cuh"

namespace espalier::cuda {
void differentiate(const Launcher& to, const CudaLayer& layer, ConstActivations saved, Activations dy,
                   const Dropped& dropped) {
    std::visit(
        [&](const auto& rule) {
            using Rule = std::decay_t<decltype(rule)>;
            if (!std::is_same_v<Rule, Identity> || dropped.step != nullptr) {
                const std::size_t shared =
                    Rule::num_parameters == 0
                        ? 0
                        : halves_shared_bytes(dy.tiles(), backward_threads, Rule::num_parameters + 1);
                launch_with_shared(to, ForMany<DifferentiateWork<backward_threads, Rule>>{},
                                   differentiate_kernel<backward_threads, Rule>, warp_grid(dy.rows, backward_threads),
                                   backward_threads, shared, rule, layer.activation_parameters.values.data(), saved, dy,
                                   dropped, layer.neuron_sums.data());
            }
        },
        layer.activation);
}

bool fuses_derivative(const CudaLayer& layer, const CudaLayer& below) {
    const bool gathers = layer.blas == nullptr && layer.library.backward == nullptr &&
                         layer.input_product.choice.kernel == Spmm::gather;
    return gathers && !below.products_alone &&
           std::visit([](const auto& rule) { return std::decay_t<decltype(rule)>::num_parameters == 0; },
                      below.activation);
}

namespace {

void gather_input_gradient(const Launcher& to, const CudaLayer& layer, InputGradientArguments arguments,
                           ConstActivations dy, const LayerBelow& below, Activations dx) {
    if (below.layer != nullptr) arguments.dropped = below.dropped;
    const int threads = threads_for(dx.rows, dx.tiles() * to.networks(), backward_threads, layer.multiprocessors);
    const auto by = [&]<class Rule>(const Rule& rule) {
        if constexpr (Rule::num_parameters == 0) {
            launch(to, ForMany<InputGradientWork<backward_threads, Rule>>{}, input_gradient_kernel<backward_threads, Rule>,
                   warp_grid(dx.rows, threads, dx.tiles()), threads, arguments, rule, dy, below.saved, dx);
        } else {
            expects(false, "a derivative without parameters");
        }
    };
    if (below.layer == nullptr) return by(Identity{});
    std::visit(by, below.layer->activation);
}

}  // namespace

void permute(cudaStream_t stream, const float* values, const EdgeIndex* slot, EdgeIndex count, float* permuted) {
    launch(stream, permute_weights_kernel<backward_threads>, thread_grid(count, backward_threads), backward_threads, values,
           slot, count, permuted);
}

void input_gradient(const Launcher& to, const CudaLayer& layer, ConstActivations dy, const LayerBelow& below,
                    Activations dx) {
    if (layer.blas != nullptr) {
        static_cast<void>(to.stream());  // no list has a library's launches
        return layer.blas->input_gradient(layer.weights.values.data(), dy, dx);
    }
    if (layer.library.backward != nullptr) {
        permute(to.stream(), layer.weights.values.data(), layer.slot.data(), layer.num_edges,
                layer.library.permuted_weights.data());
        return layer.library.backward->multiply(dy, dx);
    }
    const InputGradientArguments arguments{layer.column_start.data(), layer.row.data(), layer.slot.data(),
                                           layer.weights.values.data(), layer.column_order.data()};
    const Product& product = layer.input_product;
    if (product.choice.kernel == Spmm::panel) {
        with_panel_block(product.choice.block, [&]<class Block>(Block) {
            launch_panels<Block>(to, input_gradient_panel_kernel<Block>, product, dx.tiles(), arguments,
                                 packed_panels(product), dy, dx);
        });
    } else if (product.choice.kernel == Spmm::coo) {
        const CooEdges edges{product.edge_row.data(), layer.row.data(), layer.num_edges};
        by_tiles(product, dx.tiles(), [&](Index first, Index count) {
            const Activations out = some_tiles(dx, first, count);
            launch(to, input_gradient_coo_kernel<coo_threads>, warp_grid(edges.chunks(), coo_threads, count),
                   coo_threads, edges, arguments, some_tiles(dy, first, count), product.parts.data(), out);
            launch(to, input_gradient_coo_join_kernel<coo_threads>, warp_grid(dx.rows, coo_threads, count),
                   coo_threads, arguments, edges.chunks(), product.parts.data(), out);
        });
    } else {
        gather_input_gradient(to, layer, arguments, dy, below, dx);
    }
}

}  // namespace espalier::cuda
