// Batches of up to eight samples have kernels of their own: the same bits as those for whole tiles give, which nine
// samples use, for any number of threads.
#include "backend_fixture.hpp"
#include "host/cpu/cpu_backend.hpp"
#include "host/cpu/operations.hpp"
#include "same_network.hpp"

namespace espalier {
namespace {

/// The first `batch` columns, zeros up to `columns`.
oracle::Matrix widened(const oracle::Matrix& values, std::size_t columns) {
    oracle::Matrix result(values.rows, columns, 0);
    for (std::size_t r = 0; r < values.rows; ++r) {
        for (std::size_t s = 0; s < values.columns; ++s) result(r, s) = values(r, s);
    }
    return result;
}

std::vector<float> columns_of(const DeviceMatrix& matrix, std::size_t columns) {
    const oracle::Matrix all = matrix.values();
    std::vector<float> result;
    for (std::size_t r = 0; r < all.rows; ++r) {
        for (std::size_t s = 0; s < columns; ++s) result.push_back(static_cast<float>(all(r, s)));
    }
    return result;
}

struct NarrowStep {
    std::vector<float> y, dy, dx, back;
    std::vector<float> dx_padding;
    Layer after;
};

/// A step on `samples`, computed in a batch of `batch`, what is more being zeros.
NarrowStep step_in(int threads, const Layer& layer, const oracle::Matrix& x, const oracle::Matrix& dy, Index batch,
                   bool first_layer, float rate) {
    const auto backend = make_cpu_backend(threads);
    const auto device = backend->load(layer, {!first_layer, Adam{}});
    const DeviceMatrix input(*backend, widened(x, batch));
    const DeviceMatrix gradient(*backend, widened(dy, batch));
    const DeviceMatrix saved(*backend, layer.num_outputs, batch);
    const DeviceMatrix y(*backend, layer.num_outputs, batch);
    const DeviceMatrix dx(*backend, layer.num_inputs, batch);
    Buffer<std::uint64_t> mask(*backend, dropout_words(y.view()));
    const auto now = device_scalars(*backend, scalars_of({Adam{}, Coupled{}, 0.02, 1e-3, 3}));
    const Dropout dropout{rate, 7, 3, now.data(), mask.data()};
    const std::size_t samples = x.columns;
    NarrowStep result;
    backend->forward(*device, input, saved, y, dropout);
    result.y = columns_of(y, samples);
    if (!first_layer) {
        Layer offsets;
        offsets.num_inputs = layer.num_inputs;
        offsets.num_outputs = 1;
        offsets.activation = Identity{};
        offsets.weights = numbers(layer.num_inputs, -0.5F);
        offsets.bias = {0};
        const auto added = backend->load(offsets, {false, Adam{}});
        const DeviceMatrix back(*backend, layer.num_inputs, batch);
        backend->transposed(*device, *added, gradient, back);
        result.back = columns_of(back, samples);
    }
    backend->backward(*device, input, saved, gradient, first_layer ? Activations{} : dx.view(), now.data(), dropout);
    result.dy = columns_of(gradient, samples);
    if (!first_layer) {
        result.dx = columns_of(dx, samples);
        result.dx_padding = dx.padding();
    }
    result.after = backend->store(*device);
    return result;
}

TEST(NarrowBatch, GivesTheBitsOfAWholeTile) {
    TestRandom random(21);
    for (const Activation& activation : {Activation(Relu{}), Activation(SRelu{})}) {
        for (const double density : {0.07, 1.0}) {
            for (const bool first_layer : {true, false}) {
                const Layer layer = test_layer({97, 71, density, 1}, activation, num_states(Adam{}), random);
                for (Index samples = 1; samples <= max_narrow_lanes; ++samples) {
                    SCOPED_TRACE(printed(samples) + " samples, density " + printed(density));
                    const oracle::Matrix x = random_matrix(97, samples, 2, random);
                    const oracle::Matrix dy = random_matrix(71, samples, 2, random);
                    const float rate = samples % 2 == 0 ? 0.4F : 0.0F;
                    const NarrowStep want = step_in(1, layer, x, dy, max_narrow_lanes + 1, first_layer, rate);
                    for (const int threads : {1, 3}) {
                        const NarrowStep got = step_in(threads, layer, x, dy, samples, first_layer, rate);
                        ASSERT_TRUE(same_bits(got.y, want.y)) << "outputs, " << threads << " threads";
                        ASSERT_TRUE(same_bits(got.back, want.back)) << "transposed, " << threads << " threads";
                        ASSERT_TRUE(same_bits(got.dy, want.dy)) << "gradients, " << threads << " threads";
                        ASSERT_TRUE(same_bits(got.dx, want.dx)) << "by the input, " << threads << " threads";
                        for (const float each : got.dx_padding) ASSERT_EQ(each, 0.0F) << "lanes past the batch";
                        expect_identical(got.after, want.after);
                    }
                }
            }
        }
    }
}

}  // namespace
}  // namespace espalier
