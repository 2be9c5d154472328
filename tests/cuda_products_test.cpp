// Every way to multiply of the CUDA backend, with its sources run on the CPU: the same training to the bit by gathering
// and by panels, but for rounding by coordinates; tables that follow the topology; the choice by shape.
#include <gmock/gmock.h>

#include <cmath>

#include "backend_fixture.hpp"
#include "cuda_on_host/runtime/runtime.hpp"
#include "espalier/error.hpp"

namespace espalier {
namespace {

class CudaProducts : public testing::Test {
protected:
    void SetUp() override { cuda_on_host::set_machine({}); }
    void TearDown() override { cuda_on_host::set_machine({}); }
};

struct Trained {
    Layer layer;
    std::vector<float> y;
    std::vector<float> dx;
};

/// Forward, backward, prune, regrow, and forward and backward again on the new topology.
Trained train(const Layer& layer, Index batch, const LayerUse& use, bool remove = false) {
    const auto backend = backend_for_test("cuda_on_host", 1);
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
    step();
    if (layer.is_sparse()) {
        backend->prune(*device, PruneBySign{}, 0.3);
        if (remove) {
            backend->remove(*device);
        } else {
            backend->regrow(*device, GrowRandom{}, HeNormal{}, true, 1, 0, 0);
        }
        step();
    }
    return {backend->store(*device), y.raw(), dx.raw()};
}

LayerUse with(Spmm spmm, Index batch) { return {true, Momentum{0.5F}, spmm, batch}; }

std::vector<Shape> shapes() {
    return {{1, 1, 1, 1}, {70, 30, 0.2, 130}, {30, 300, 0.05, 64}, {900, 5, 0.9, 3}, {20, 20, 0, 5}, {60, 20, -1, 70}};
}

TEST_F(CudaProducts, PanelsGiveTheBitsOfGathering) {
    for (const Shape& shape : shapes()) {
        for (const bool remove : {false, true}) {
            SCOPED_TRACE(printed(shape));
            TestRandom random(1);
            const Layer layer = test_layer(shape, Tanh{}, 1, random);
            const Trained gathered = train(layer, shape.batch, with(Spmm::gather, shape.batch), remove);
            const Trained panels = train(layer, shape.batch, with(Spmm::panel, shape.batch), remove);
            expect_identical(panels.layer, gathered.layer);
            EXPECT_EQ(panels.y, gathered.y);
            EXPECT_EQ(panels.dx, gathered.dx);
        }
    }
}

TEST_F(CudaProducts, EveryPanelBlockGivesTheBitsOfGathering) {
    const Shape shape{90, 300, 0.1, 150};
    TestRandom random(1);
    const Layer layer = test_layer(shape, Relu{}, 1, random);
    const Trained gathered = train(layer, shape.batch, with(Spmm::gather, shape.batch));
    for (const int multiprocessors : {1, 4, 8, 30}) {  // fewer are filled by larger blocks
        cuda_on_host::Machine machine;
        machine.multiprocessors = multiprocessors;
        cuda_on_host::set_machine(machine);
        SCOPED_TRACE(multiprocessors);
        const Trained panels = train(layer, shape.batch, with(Spmm::panel, shape.batch));
        expect_identical(panels.layer, gathered.layer);
        EXPECT_EQ(panels.y, gathered.y);
        EXPECT_EQ(panels.dx, gathered.dx);
    }
}

TEST_F(CudaProducts, CoordinatesDifferByRoundingOnly) {
    for (const Shape& shape : shapes()) {
        SCOPED_TRACE(printed(shape));
        TestRandom random(1);
        const Layer layer = test_layer(shape, Tanh{}, 1, random);
        const Trained gathered = train(layer, shape.batch, with(Spmm::gather, shape.batch));
        // made for a batch of one tile, used with what comes
        const Trained coo = train(layer, shape.batch, with(Spmm::coo, 1));
        const auto doubles = [](const std::vector<float>& values) {
            return std::vector<double>(values.begin(), values.end());
        };
        EXPECT_EQ(coo.layer.is_sparse(), gathered.layer.is_sparse());
        if (coo.layer.is_sparse()) {
            EXPECT_EQ(coo.layer.topology->column, gathered.layer.topology->column);
        }
        expect_close(doubles(coo.layer.weights), doubles(gathered.layer.weights), {1e-5, 1e-5}, "weights");
        expect_close(doubles(coo.y), doubles(gathered.y), {1e-5, 1e-5}, "y");
        expect_close(doubles(coo.dx), doubles(gathered.dx), {2e-5, 1e-5}, "dx");
    }
}

TEST_F(CudaProducts, TheChoiceByShapeIsTaken) {
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
    EXPECT_EQ(kernels_of_load(Spmm::panel), kernels_of_load(Spmm::gather) + 2) << "a table for each direction";
}

TEST_F(CudaProducts, WhatThisBackendLacksIsRefused) {
    TestRandom random(1);
    const Layer layer = test_layer({5, 5, 0.5, 3}, Relu{}, 1, random);
    try {
        train(layer, 3, with(Spmm::cusparse, 3));
        FAIL() << "not refused";
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        EXPECT_THAT(error.what(), testing::HasSubstr("choose gather, panel, coo or auto"));
    }
}

}  // namespace
}  // namespace espalier
