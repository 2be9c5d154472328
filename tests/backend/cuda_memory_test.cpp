// The estimate of a GPU's memory beside what the backend takes, with its sources run on the CPU.
#include <gtest/gtest.h>

#include "cuda_on_host/runtime/runtime.hpp"
#include "cuda_training.hpp"
#include "host/training/memory_estimate.hpp"
#include "small_rbm.hpp"

namespace espalier {
namespace {

class CudaMemory : public testing::Test {
protected:
    void SetUp() override { cuda_on_host::set_machine({}); }
    void TearDown() override { cuda_on_host::set_machine({}); }
    static std::unique_ptr<Backend> make() { return backend_for_test("cuda_on_host", 1); }
};

TEST_F(CudaMemory, TheMemoryEstimateIsRight) {
    const DataSet data = small_data();
    for (const Spmm spmm : {Spmm::gather, Spmm::panel, Spmm::coo}) {
        for (const bool evolves : {false, true}) {
            Experiment experiment = small_experiment(data);
            experiment.layers = {data.features(), 500, 400, data.classes};
            experiment.epsilon = 20;
            experiment.epochs = 1;
            experiment.train_samples = 200;
            experiment.test_samples = 150;
            experiment.batch = 200;
            experiment.spmm = spmm;
            experiment.last_epoch = LastEpoch::evolve;
            if (!evolves) experiment.cadence = NeverEvolve{};
            const auto cuda = make();
            const MemoryEstimate estimate = estimate_memory(experiment, *cuda);
            const std::uint64_t before = cuda_on_host::counts().live_bytes;
            cuda_on_host::count_afresh();
            static_cast<void>(train(*cuda, experiment, data));
            const auto used = static_cast<double>(cuda_on_host::counts().peak_bytes - before);
            auto estimated = static_cast<double>(estimate.gpu_bytes - estimate.gpu_in_use_bytes);
            if (!evolves) estimated -= static_cast<double>(estimate.evolution_bytes);
            // Thrust's temporaries on a device are others than here.
            EXPECT_NEAR(estimated / used, 1, evolves ? 0.3 : 0.05) << estimated << " estimated, " << used << " used";
        }
    }
}

/// The device's bytes that a run holds at its peak beside those it began with.
double used_by(Backend& cuda, const Experiment& experiment, const DataSet& data, std::size_t node_bytes) {
    const std::uint64_t before = cuda_on_host::counts().live_bytes;
    cuda_on_host::count_afresh();
    static_cast<void>(train(cuda, experiment, data));
    return static_cast<double>(cuda_on_host::counts().peak_bytes - before) +
           static_cast<double>(cuda_on_host::counts().peak_nodes * node_bytes);
}

/// Its backward pass sums by both halves of a batch.
TEST_F(CudaMemory, TheMemoryEstimateKnowsBothHalvesOfABoltzmannMachine) {
    DataSet data = load_dataset("synthetic", "", 200, 20);
    use_as_units(data);
    Experiment experiment = small_rbm_experiment(data.features(), 60);
    experiment.dataset = "synthetic";
    experiment.train_samples = 200;
    experiment.test_samples = 20;
    experiment.epsilon = 20;
    experiment.epochs = 1;
    experiment.batch = 200;
    experiment.spmm = Spmm::panel;
    experiment.cadence = NeverEvolve{};
    const auto cuda = make();
    const MemoryEstimate estimate = estimate_memory(experiment, *cuda);
    const double used = used_by(*cuda, experiment, data, 0);
    const auto estimated = static_cast<double>(estimate.gpu_bytes - estimate.gpu_in_use_bytes - estimate.evolution_bytes);
    EXPECT_NEAR(estimated / used, 1, 0.05) << estimated << " estimated, " << used << " used";
}

TEST_F(CudaMemory, TheMemoryEstimateKnowsContextGraphsAndCandidates) {
    constexpr double context = 50 << 20;
    constexpr std::size_t node_bytes = 2000;
    cuda_on_host::Machine machine;
    machine.context_bytes = static_cast<std::size_t>(context);
    machine.graph_node_bytes = node_bytes;
    cuda_on_host::set_machine(machine);
    for (const GrowRule& rule : std::vector<GrowRule>{GrowRandom{}, GrowNearParents{}, GrowHashOrder{}}) {
        for (const std::size_t batch : {20, 100}) {
            DataSet data = load_dataset("synthetic", "", 100, 50);
            Experiment experiment = small_experiment(data);
            experiment.layers = {data.features(), 500, 400, data.classes};
            experiment.epsilon = 20;
            experiment.epochs = 1;
            experiment.last_epoch = LastEpoch::evolve;
            experiment.train_samples = 100;
            experiment.test_samples = 50;
            experiment.batch = static_cast<Index>(batch);
            experiment.grow = rule;
            const auto cuda = make();
            const MemoryEstimate estimate = estimate_memory(experiment, *cuda);
            EXPECT_GE(static_cast<double>(estimate.gpu_in_use_bytes), context);
            const double estimated = static_cast<double>(estimate.gpu_bytes - estimate.gpu_in_use_bytes);
            const double used = used_by(*cuda, experiment, data, node_bytes);
            // Thrust's temporaries on a device are others than here.
            EXPECT_NEAR(estimated / used, 1, 0.3)
                << rule_text(rule) << ", batch " << batch << ": " << estimated << " estimated, " << used << " used";
            const double graphs = static_cast<double>(estimate.gpu_graph_bytes);
            const double nodes = static_cast<double>(cuda_on_host::counts().peak_nodes * node_bytes);
            EXPECT_GE(graphs, 0.99 * nodes);
            EXPECT_LE(graphs, 1.5 * nodes);
        }
    }
}

TEST_F(CudaMemory, TheMemoryEstimateKnowsTheGraphsOfDropout) {
    constexpr std::size_t node_bytes = 2000;
    cuda_on_host::Machine machine;
    machine.graph_node_bytes = node_bytes;
    cuda_on_host::set_machine(machine);
    const std::function<void(Experiment&)> kinds[] = {
        [](Experiment& /*each*/) {},
        [](Experiment& each) { each.spmm = Spmm::panel; },
        [](Experiment& each) { each.spmm = Spmm::coo; },
        [](Experiment& each) { each.activation = SRelu{}; },
        [](Experiment& each) { each.dense_output = false; },
        [](Experiment& each) { each.dropout_gradient = DropoutGradient::unmasked; },
        [](Experiment& each) { each.dropout_scale = DropoutScale::test; },
    };
    const DataSet data = load_dataset("synthetic", "", 100, 50);
    for (const auto& kind : kinds) {
        Experiment experiment = small_experiment(data);
        experiment.layers = {data.features(), 40, 30, 20, data.classes};
        experiment.epochs = 3;
        experiment.train_samples = 100;
        experiment.test_samples = 50;
        experiment.batch = 20;
        kind(experiment);
        const auto cuda = make();
        const auto estimated = static_cast<double>(estimate_memory(experiment, *cuda).gpu_graph_bytes);
        static_cast<void>(used_by(*cuda, experiment, data, node_bytes));
        const auto nodes = static_cast<double>(cuda_on_host::counts().peak_nodes * node_bytes);
        SCOPED_TRACE(&kind - kinds);
        EXPECT_GE(estimated, 0.99 * nodes);
        EXPECT_LE(estimated, 1.5 * nodes);
    }
}

}  // namespace
}  // namespace espalier
