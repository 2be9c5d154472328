// Every way to multiply of the CUDA backend, on a GPU and with its sources run on the CPU: the same training to the bit
// by gathering and by panels, but for rounding by coordinates and by the library; tables that follow the topology; the
// choice by shape.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend_fixture.hpp"
#include "cuda/device.hpp"
#include "cuda/device_product.hpp"
#include "cuda/products/product.hpp"
#include "cuda/products/spmm_choice.hpp"
#include "cuda_on_host/runtime/runtime.hpp"
#include "espalier/error.hpp"
#include "user_errors.hpp"

namespace espalier {
namespace {

class CudaProducts : public BackendTest {
protected:
    void TearDown() override { cuda_on_host::set_machine({}); }
};
INSTANTIATE_TEST_SUITE_P(Backends, CudaProducts, ::testing::ValuesIn(cuda_backends()), backend_test_name);

/// Machines that only the runtime on the CPU can be.
class CudaMachines : public testing::Test {
protected:
    void SetUp() override { cuda_on_host::set_machine({}); }
    void TearDown() override { cuda_on_host::set_machine({}); }
};

struct Trained {
    Layer layer;
    std::vector<float> y;
    std::vector<float> dx;
    std::vector<float> pruned;  // y and dx between pruning and what comes after it
};

/// Every third neuron leads nowhere.
DeadEnds some_dead_ends(const Layer& layer) {
    DeadEnds dead{std::vector<std::uint8_t>(layer.num_inputs), std::vector<std::uint8_t>(layer.num_outputs)};
    for (std::size_t i = 2; i < dead.inputs.size(); i += 3) dead.inputs[i] = 1;
    for (std::size_t i = 2; i < dead.outputs.size(); i += 3) dead.outputs[i] = 1;
    return dead;
}

/// Forward, backward, prune, twice, forward and back to the inputs after either, regrow, and forward and backward again on the new topology.
Trained train(const std::string& name, const Layer& layer, Index batch, const LayerUse& use, bool remove = false) {
    const auto backend = backend_for_test(name, 1);
    TestRandom random(3);
    const auto device = backend->load(layer, use);
    const DeviceMatrix x(*backend, random_matrix(layer.num_inputs, batch, 1, random));
    const DeviceMatrix gradient(*backend, random_matrix(layer.num_outputs, batch, 1, random));
    const DeviceMatrix y(*backend, layer.num_outputs, batch);
    const DeviceMatrix dx(*backend, layer.num_inputs, batch);
    StepScalars scalars;
    scalars.update.learning_rate = 0.01F;
    const auto now = device_scalars(*backend, scalars);
    const auto step = [&] {
        backend->forward(*device, x, y, y);
        backend->backward(*device, x, y, gradient, dx, now.data());
    };
    std::vector<float> pruned;
    step();
    if (layer.is_sparse()) {
        const auto note = [&] {
            backend->forward(*device, x, y, y);
            backend->differentiate(*device, y, gradient, dx);
            for (const DeviceMatrix* each : {&y, &dx}) {
                const std::vector<float> values = each->raw();
                pruned.insert(pruned.end(), values.begin(), values.end());
            }
        };
        backend->prune(*device, {PruneBySign{}, 0.3});
        note();
        Degrees left;
        backend->prune_ends(*device, some_dead_ends(layer), left);
        note();
        if (remove) {
            backend->remove(*device);
        } else {
            backend->regrow(*device, {GrowRandom{}, HeNormal{}, true, {1, 0, 0}});
        }
        step();
    }
    return {backend->store(*device), y.raw(), dx.raw(), pruned};
}

LayerUse with(Spmm spmm, Index batch) { return {true, Momentum{0.5F}, spmm, batch}; }

std::vector<Shape> shapes() {
    return {{1, 1, 1, 1}, {70, 30, 0.2, 130}, {30, 300, 0.05, 64}, {900, 5, 0.9, 3}, {20, 20, 0, 5}, {60, 20, -1, 70}};
}

TEST_P(CudaProducts, PanelsGiveTheBitsOfGathering) {
    for (const Shape& shape : shapes()) {
        for (const bool remove : {false, true}) {
            SCOPED_TRACE(printed(shape));
            TestRandom random(1);
            const Layer layer = test_layer(shape, Tanh{}, 1, random);
            const Trained gathered = train(GetParam(), layer, shape.batch, with(Spmm::gather, shape.batch), remove);
            const Trained panels = train(GetParam(), layer, shape.batch, with(Spmm::panel, shape.batch), remove);
            expect_identical(panels.layer, gathered.layer);
            EXPECT_EQ(panels.y, gathered.y);
            EXPECT_EQ(panels.dx, gathered.dx);
            EXPECT_EQ(panels.pruned, gathered.pruned);
        }
    }
}

TEST_F(CudaMachines, EveryPanelBlockGivesTheBitsOfGathering) {
    for (const double density : {0.1, 0.015}) {  // the sparser the more rows share a panel
        const Shape shape{90, 300, density, 150};
        TestRandom random(1);
        const Layer layer = test_layer(shape, Relu{}, 1, random);
        const Trained gathered = train("cuda_on_host", layer, shape.batch, with(Spmm::gather, shape.batch));
        for (const int multiprocessors : {1, 4, 8, 30}) {  // fewer are filled by larger blocks
            cuda_on_host::Machine machine;
            machine.multiprocessors = multiprocessors;
            cuda_on_host::set_machine(machine);
            SCOPED_TRACE(printed(shape) + ", multiprocessors " + std::to_string(multiprocessors));
            const Trained panels = train("cuda_on_host", layer, shape.batch, with(Spmm::panel, shape.batch));
            expect_identical(panels.layer, gathered.layer);
            EXPECT_EQ(panels.y, gathered.y);
            EXPECT_EQ(panels.dx, gathered.dx);
            EXPECT_EQ(panels.pruned, gathered.pruned);
        }
    }
}

/// The numbers of gathering, but for rounding.
void expect_close_to_gathering(const std::string& name, Spmm spmm, Index planned_batch, bool remove) {
    for (const Shape& shape : shapes()) {
        SCOPED_TRACE(printed(shape));
        TestRandom random(1);
        const Layer layer = test_layer(shape, Tanh{}, 1, random);
        const Trained gathered = train(name, layer, shape.batch, with(Spmm::gather, shape.batch), remove);
        const Trained found = train(name, layer, shape.batch, with(spmm, planned_batch), remove);
        const auto doubles = [](const std::vector<float>& values) {
            return std::vector<double>(values.begin(), values.end());
        };
        ASSERT_EQ(found.layer.is_sparse(), gathered.layer.is_sparse());
        if (found.layer.is_sparse()) {
            EXPECT_EQ(found.layer.topology->column, gathered.layer.topology->column);
        }
        expect_close(doubles(found.layer.weights), doubles(gathered.layer.weights), {1e-5, 1e-5}, "weights");
        expect_close(doubles(found.y), doubles(gathered.y), {1e-5, 1e-5}, "y");
        expect_close(doubles(found.dx), doubles(gathered.dx), {2e-5, 1e-5}, "dx");
    }
}

TEST_P(CudaProducts, CoordinatesDifferByRoundingOnly) {
    expect_close_to_gathering(GetParam(), Spmm::coo, 1, false);  // made for one tile, used with what comes
    expect_close_to_gathering(GetParam(), Spmm::coo, 200, true);
}

TEST_P(CudaProducts, TheLibraryDiffersByRoundingOnly) {
    expect_close_to_gathering(GetParam(), Spmm::cusparse, 128, false);
    expect_close_to_gathering(GetParam(), Spmm::cusparse, 128, true);
}

/// The layout that libraries like best gives the products of tiles.
TEST_P(CudaProducts, SamplesInARowDifferByRoundingOnly) {
    CudaOptions options;
    options.samples_in_a_row = 300;
    const auto tiled = backend_for_test(GetParam(), 1);
    const auto wide = backend_for_test(GetParam(), 1, options);
    ASSERT_EQ(wide->lanes(), 384U);
    TestRandom random(1);
    for (const Shape& shape : {Shape{70, 30, 0.2, 300}, Shape{130, 130, -1, 300}}) {
        SCOPED_TRACE(printed(shape));
        Layer layer = test_layer(shape, Identity{}, 1, random);
        layer.bias.assign(layer.bias.size(), 0);
        const auto x = random_matrix(shape.inputs, shape.batch, 1, random);
        const auto gradient = random_matrix(shape.outputs, shape.batch, 1, random);
        const auto step = [&](Backend& backend) {
            const auto device = backend.load(layer, with(Spmm::cusparse, shape.batch));
            const DeviceMatrix in(backend, x), dy(backend, gradient);
            const DeviceMatrix y(backend, shape.outputs, shape.batch), dx(backend, shape.inputs, shape.batch);
            StepScalars scalars;
            scalars.update.learning_rate = 0.01F;
            const auto now = device_scalars(backend, scalars);
            backend.forward(*device, in, {}, y);
            backend.backward(*device, in, y, dy, dx, now.data());
            const std::vector<float> weights = backend.store(*device).weights;
            return std::tuple(y.values().values, dx.values().values,
                              std::vector<double>(weights.begin(), weights.end()));
        };
        const auto [y, dx, weights] = step(*wide);
        const auto [want_y, want_dx, want_weights] = step(*tiled);
        expect_close(y, want_y, {1e-5, 1e-5}, "y");
        expect_close(dx, want_dx, {1e-5, 1e-5}, "dx");
        expect_close(weights, want_weights, {1e-5, 1e-5}, "weights");
    }
    const Layer sparse = test_layer({70, 30, 0.2, 1}, Relu{}, 1, random);
    EXPECT_THROW(static_cast<void>(wide->load(sparse, with(Spmm::gather, 300))), UserError);
}

TEST_P(CudaProducts, TheFirstLayerNeedsNoInputGradient) {
    TestRandom random(1);
    const Layer layer = test_layer({40, 30, 0.3, 20}, Relu{}, 1, random);
    std::vector<float> weights;
    for (const Spmm spmm : {Spmm::gather, Spmm::panel, Spmm::coo, Spmm::cusparse}) {
        const auto backend = backend_for_test(GetParam(), 1);
        const auto device = backend->load(layer, {false, Momentum{0.5F}, spmm, 20});
        TestRandom values(2);
        const DeviceMatrix x(*backend, random_matrix(40, 20, 1, values));
        const DeviceMatrix gradient(*backend, random_matrix(30, 20, 1, values));
        const DeviceMatrix y(*backend, 30, 20);
        const auto now = device_scalars(*backend, {});
        backend->forward(*device, x, y, y);
        backend->backward(*device, x, y, gradient, {}, now.data());
        backend->prune(*device, {PruneBySign{}, 0.3});
        backend->regrow(*device, {GrowRandom{}, HeNormal{}, true, {1, 0, 0}});
        backend->forward(*device, x, y, y);
        const std::vector<float> after = backend->store(*device).weights;
        if (weights.empty()) weights = after;
        ASSERT_EQ(after.size(), weights.size());
        for (std::size_t e = 0; e < after.size(); ++e) EXPECT_NEAR(after[e], weights[e], 1e-5) << e;
    }
}

/// Where memory for the gradients of a larger batch fails, the next step takes anew what it needs.
TEST_F(CudaMachines, PanelsOutliveABatchThatFindsNoMemory) {
    const auto backend = backend_for_test("cuda_on_host", 1);
    TestRandom random(1);
    const auto device = backend->load(test_layer({40, 30, 0.4, 100}, Identity{}, 1, random), with(Spmm::panel, 100));
    const auto now = device_scalars(*backend, {});
    const auto step = [&](Index batch) {
        const DeviceMatrix x(*backend, random_matrix(40, batch, 1, random));
        const DeviceMatrix dy(*backend, random_matrix(30, batch, 1, random));
        const DeviceMatrix y(*backend, 30, batch);
        backend->forward(*device, x, y, y);
        if (batch > 100) cuda_on_host::fail_allocations_from(0);
        backend->backward(*device, x, y, dy, {}, now.data());
        backend->wait();
    };
    step(100);
    EXPECT_THROW(step(300), UserError);
    cuda_on_host::fail_allocations_from(-1);
    EXPECT_NO_THROW(step(100));
}

/// Of a direction's packed edges, as many as there may be.
std::uint64_t bytes_of_pairs(Index rows, Index others, EdgeIndex edges) {
    const cuda::SpmmDevice device = cuda::spmm_device();
    const cuda::PanelBlock block = cuda::choose_spmm(Spmm::automatic, {rows, others, edges, 0, cuda::tile_lanes}, device).block;
    const auto layout = cuda::panel_layout(block, rows, others, device.shared_bytes);
    return sizeof(cuda::EdgePair) * cuda::most_pairs(block, layout, edges);
}

/// Products on others' memory take panels where a batch is the tile that they have room for; the bits are the same.
TEST_F(CudaMachines, ProductsOnTheCallersMemoryTakePanelsWithoutAGradientBeside) {
    TestRandom random(1);
    const Layer layer = test_layer({300, 200, 0.2, 1}, Identity{}, 1, random);
    std::vector<std::vector<float>> gradients[2];
    std::uint64_t held[2] = {};
    std::uint64_t pairs = 0;
    const auto edges = static_cast<EdgeIndex>(layer.weights.size());
    for (const int panels : {0, 1}) {
        cuda_on_host::Machine machine;
        machine.multiprocessors = panels == 1 ? 1 : 132;
        cuda_on_host::set_machine(machine);
        const auto memory = backend_for_test("cuda_on_host", 1);
        const std::uint64_t before = cuda_on_host::counts().live_bytes;
        const auto product = cuda::make_product_on_device(*layer.topology, 0);
        held[panels] = cuda_on_host::counts().live_bytes - before;
        if (panels == 1) pairs = bytes_of_pairs(200, 300, edges) + bytes_of_pairs(300, 200, edges);
        TestRandom values(2);
        for (const Index batch : {100U, 200U}) {
            const DeviceMatrix x(*memory, random_matrix(300, batch, 1, values));
            const DeviceMatrix dy(*memory, random_matrix(200, batch, 1, values));
            const Buffer<float> weights(*memory, layer.weights.size());
            const Buffer<float> bias(*memory, layer.num_outputs);
            for (float* const of_bias : {bias.data(), static_cast<float*>(nullptr)}) {
                product->backward(x, nullptr, dy, {{}, weights.data(), of_bias}, {});
                for (const Buffer<float>* each : {&weights, &bias}) {
                    std::vector<float> found(each->size());
                    each->download(found.data());
                    gradients[panels].push_back(found);
                }
            }
        }
    }
    EXPECT_EQ(gradients[0], gradients[1]);
    EXPECT_LT(held[1], held[0] + pairs + edges * sizeof(float)) << "tables of panels, packed edges, and no gradient beside";
}

TEST_F(CudaMachines, PairsThatAreNotCountedAreASentence) {
    cuda::Memory memory(nullptr);
    const auto planned = [&](Index neurons) {
        const cuda::SpmmShape shape{neurons, neurons, 1000, 0, 1};
        return error_of([&] { static_cast<void>(cuda::plan_product(memory, Spmm::panel, shape, {132, 232448})); }).second;
    };
    EXPECT_EQ(planned(1000), "no error");
    EXPECT_THAT(planned(2200000),
                testing::HasSubstr("take up to 4321901064 pairs of edges, and 4294967295 are counted; choose auto"));
}

TEST_F(CudaMachines, TheChoiceByShapeIsTaken) {
    cuda_on_host::Machine machine;
    machine.multiprocessors = 1;  // which panels fill
    cuda_on_host::set_machine(machine);
    const Shape shape{64, 64, 0.2, 128};
    TestRandom random(1);
    const Layer layer = test_layer(shape, Relu{}, 1, random);
    const auto kernels_of_load = [&](Spmm spmm) {
        const auto backend = backend_for_test("cuda_on_host", 1);
        cuda_on_host::count_afresh();
        const auto device = backend->load(layer, with(spmm, shape.batch));
        backend->wait();
        return cuda_on_host::counts().kernels;
    };
    EXPECT_EQ(kernels_of_load(Spmm::automatic), kernels_of_load(Spmm::panel));
    EXPECT_EQ(kernels_of_load(Spmm::panel), kernels_of_load(Spmm::gather) + 3 + 4)
        << "a table for each direction and for the gradient; where either's pairs begin, and they";
}

}  // namespace
}  // namespace espalier
