// The kernel after a dense product, for every activation.
#include "cuda/kernels/dense.cuh"

#include "kernel_cases.hpp"

namespace espalier::cuda {
namespace {

using DenseKernel = cuda_on_host::EveryOrder;
INSTANTIATE_TEST_SUITE_P(Orders, DenseKernel, testing::ValuesIn(cuda_on_host::every_order));

enum class Saved { apart, in_place, none };

template <class Rule>
void check_activate(const Rule& rule, Index rows, Index batch, Saved where) {
    const Matrix product(rows, batch, 3);
    const auto biases = random_values(4, rows);
    std::vector<float> parameters = random_values(5, std::size_t{4} * rows);
    for (Index n = 0; n < rows; ++n) parameters[2 * rows + n] = parameters[n] + 0.5F;
    const DeviceArray<float> d_biases(biases);
    const DeviceArray<float> d_parameters(parameters);
    const TiledArray y(product);
    const TiledArray apart(Matrix(rows, batch), 9);
    const Activations saved = where == Saved::none ? Activations{} : where == Saved::apart ? apart.view() : y.view();
    launch(activate_kernel<threads, Rule>, dim3(blocks_for(rows, threads / 32), y.view().tiles()), dim3(threads), 0,
           rule, d_biases.data(), d_parameters.data(), saved, y.view(), Dropped{});
    const Matrix found = y.read();
    const Matrix kept = apart.read();
    for (Index n = 0; n < rows; ++n) {
        const Rule own = for_neuron(rule, parameters.data(), n, rows);
        for (Index s = 0; s < batch; ++s) {
            const float z = product(n, s) + biases[n];
            ASSERT_EQ(found(n, s), own.value(z)) << "neuron " << n << " sample " << s;
            const float expected = Rule::saves_input ? z : own.value(z);
            ASSERT_EQ(kept(n, s), where == Saved::apart ? expected : 0.0F) << "what is saved";
        }
    }
}

TEST_P(DenseKernel, AddsTheBiasAndActivates) {
    const auto check_all = [&]<class... Rules>(std::variant<Rules...>*) {
        (check_activate(Rules{}, 11, 133, Saved::apart), ...);
        (check_activate(Rules{}, 1, 1, Saved::none), ...);
        (check_activate(Rules{}, 5, 128, Rules::saves_input ? Saved::apart : Saved::in_place), ...);
    };
    check_all(static_cast<Activation*>(nullptr));
}

}  // namespace
}  // namespace espalier::cuda
