// Every kernel with every rule, compiled by nvcc: a kernel that does not compile, spills registers, uses local memory
// or computes in double fails the build.
#include <type_traits>
#include <vector>

#include "cuda/kernels/backward.cuh"
#include "cuda/kernels/coo.cuh"
#include "cuda/kernels/degrees.cuh"
#include "cuda/kernels/dense.cuh"
#include "cuda/kernels/dropout.cuh"
#include "cuda/kernels/forward.cuh"
#include "cuda/kernels/gather.cuh"
#include "cuda/kernels/gibbs.cuh"
#include "cuda/kernels/head.cuh"
#include "cuda/kernels/loss.cuh"
#include "cuda/kernels/many.cuh"
#include "cuda/kernels/merge.cuh"
#include "cuda/kernels/pack.cuh"
#include "cuda/kernels/panel.cuh"
#include "cuda/kernels/panel_gradient.cuh"
#include "cuda/kernels/prune.cuh"
#include "cuda/kernels/update.cuh"

namespace espalier::cuda {

using Addresses = std::vector<const void*>;

/// Taking an address instantiates a kernel.
template <class... Kernels>
void add(Addresses& addresses, Kernels... kernels) {
    (addresses.push_back(reinterpret_cast<const void*>(kernels)), ...);
}

template <class... Rules>
void add_activations(Addresses& addresses, const std::variant<Rules...>* /*type*/) {
    add(addresses, forward_kernel<forward_threads, Rules>..., activate_kernel<activate_threads, Rules>...,
        differentiate_kernel<backward_threads, Rules>...);
    // SReLU's derivative has parameters: those layers differentiate by themselves
    add(addresses,
        input_gradient_kernel<backward_threads, std::conditional_t<Rules::num_parameters == 0, Rules, Identity>>...,
        head_kernel<head_threads, SoftmaxNll, std::conditional_t<Rules::num_parameters == 0, Rules, Identity>>...);
    add(addresses, many_kernel<ForwardWork<forward_threads, Rules>>..., many_kernel<DifferentiateWork<backward_threads, Rules>>...,
        many_kernel<InputGradientWork<backward_threads, std::conditional_t<Rules::num_parameters == 0, Rules, Identity>>>...,
        many_kernel<
            HeadWork<head_threads, SoftmaxNll, std::conditional_t<Rules::num_parameters == 0, Rules, Identity>>>...);
    add(addresses, forward_coo_kernel<coo_threads, Rules>..., forward_coo_join_kernel<coo_threads, Rules>...);
    add(addresses, forward_panel_kernel<PanelNumber<0>, Rules>..., forward_panel_kernel<PanelNumber<1>, Rules>...,
        forward_panel_kernel<PanelNumber<2>, Rules>..., forward_panel_kernel<PanelNumber<3>, Rules>...,
        forward_panel_kernel<PanelNumber<4>, Rules>...);
}

template <class... Rules>
void add_optimizers(Addresses& addresses, const std::variant<Rules...>* /*type*/) {
    add(addresses, update_layers_kernel<update_threads, Rules>..., update_parameters_kernel<update_threads, Rules>...,
        many_kernel<UpdateLayersWork<update_threads, Rules>>...);
}

template <class... Rules>
void add_losses(Addresses& addresses, const std::variant<Rules...>* /*type*/) {
    add(addresses, loss_kernel<Rules>..., many_kernel<LossWork<Rules>>...);
}

template <class... Laws>
void add_laws(Addresses& addresses, const std::variant<Laws...>* /*type*/) {
    add(addresses, merge_edges_kernel<evolution_threads, std::uint32_t, Laws>...,
        merge_edges_kernel<evolution_threads, std::uint64_t, Laws>...);
}

Addresses compiled_kernels() {
    Addresses addresses;
    add(addresses, gather_kernel<gather_threads, std::uint8_t>, gather_kernel<gather_threads, float>,
        dropout_kernel<dropout_threads>, output_degrees_kernel<degrees_threads>, input_degrees_kernel<degrees_threads>);
    add(addresses, many_kernel<GatherWork<gather_threads, std::uint8_t>>, many_kernel<GatherWork<gather_threads, float>>,
        many_kernel<DropoutWork<dropout_threads>>);
    add(addresses, panel_starts_kernel<panel_starts_threads>, input_gradient_panel_kernel<PanelNumber<0>>,
        input_gradient_panel_kernel<PanelNumber<1>>, input_gradient_panel_kernel<PanelNumber<2>>,
        input_gradient_panel_kernel<PanelNumber<3>>, input_gradient_panel_kernel<PanelNumber<4>>);
    add(addresses, panel_gradient_kernel<GradientNumber<0>>, panel_gradient_kernel<GradientNumber<1>>,
        panel_gradient_kernel<GradientNumber<2>>, panel_gradient_kernel<GradientNumber<3>>);
    add(addresses, pair_starts_kernel<pack_threads>, pack_kernel<pack_threads, true>, pack_kernel<pack_threads, false>);
    add(addresses, permute_weights_kernel<backward_threads>, edge_rows_kernel<coo_threads>,
        input_gradient_coo_kernel<coo_threads>, input_gradient_coo_join_kernel<coo_threads>);
    add(addresses, sample_kernel<units_threads>, reconstruction_kernel<loss_threads>);
    add(addresses, update_layers_kernel<update_threads, KeepGradient>, sum_arrays_kernel<update_threads>);
    add(addresses, prune_digits_kernel<evolution_threads, 0>, prune_digits_kernel<evolution_threads, 1>,
        prune_digits_kernel<evolution_threads, 2>, prune_count_kernel<evolution_threads>,
        prune_list_kernel<evolution_threads>);
    add(addresses, draw_cells_kernel<evolution_threads>, list_cells_kernel<evolution_threads>,
        list_by_input_kernel<evolution_threads>, order_neurons_kernel<evolution_threads>,
        settle_edges_kernel<evolution_threads>);
    add_laws(addresses, static_cast<const WeightLaw*>(nullptr));
    add_activations(addresses, static_cast<const Activation*>(nullptr));
    add_optimizers(addresses, static_cast<const Optimizer*>(nullptr));
    add_losses(addresses, static_cast<const Loss*>(nullptr));
    return addresses;
}

}  // namespace espalier::cuda
