// Whole training runs on the CUDA backend: beside the CPU, with and without graphs, twice.
#include "cuda_training.hpp"
#include "user_errors.hpp"

namespace espalier {
namespace {

class CudaTraining : public BackendTest {
protected:
    static std::unique_ptr<Backend> make(bool graph) {
        CudaOptions options;
        options.graph = graph ? 1 : 0;
        return backend_for_test(GetParam(), 1, options);
    }
};
INSTANTIATE_TEST_SUITE_P(Backends, CudaTraining, ::testing::ValuesIn(cuda_backends()), backend_test_name);

TEST_P(CudaTraining, TrainsAsTheCpuButForRounding) {
    const DataSet data = small_data();
    const Experiment experiment = small_experiment(data);
    const auto cpu = backend_for_test("cpu", 1);
    const Trained want = train(*cpu, experiment, data);
    const auto cuda = make(true);
    const Trained got = train(*cuda, experiment, data);
    // Rounding may let another edge go, so only the first epoch's figures are of the same network.
    EXPECT_NEAR(got.history[0].train_loss, want.history[0].train_loss, 1e-5);
    EXPECT_NEAR(got.history[0].test_loss, want.history[0].test_loss, 1e-5);
    EXPECT_EQ(got.history[0].replaced_positive, want.history[0].replaced_positive);
    for (std::size_t e = 0; e < want.history.size(); ++e) {
        EXPECT_NEAR(got.history[e].train_loss, want.history[e].train_loss, 0.05);
        EXPECT_EQ(got.history[e].edges, want.history[e].edges);
    }
}

TEST_P(CudaTraining, GraphsChangeNoBit) {
    const DataSet data = small_data();
    for (const LastEpoch last : {LastEpoch::evolve, LastEpoch::remove}) {
        Experiment experiment = small_experiment(data);
        experiment.last_epoch = last;
        expect_same(train(*make(true), experiment, data), train(*make(false), experiment, data));
    }
}

TEST_P(CudaTraining, GrowsByGradientWithAndWithoutGraphs) {
    const DataSet data = small_data();
    for (const char* grow : {"gradient", "gradient(samples=150,candidates=1)"}) {
        Experiment experiment = small_experiment(data);
        experiment.batch = 20;
        experiment.cadence = EverySteps{7};
        experiment.grow = parse_rule<GrowRule>(grow);
        const Trained graphs = train(*make(true), experiment, data);
        EXPECT_GT(graphs.history[1].grown, 0U);
        expect_same(graphs, train(*make(false), experiment, data));
    }
}

TEST_P(CudaTraining, RefusesWhatOnlyTheCpuGrowsBy) {
    const DataSet data = small_data();
    Experiment experiment = small_experiment(data);
    experiment.grow = GrowByPaths{};
    const auto backend = make(true);
    const auto refused = [&] {
        return refusal(ExitCode::usage,
                       [&] { const Trainer trainer(experiment, *backend, data, initialize_network(experiment)); });
    };
    EXPECT_NE(refused().find("ch-l3"), std::string::npos);
    EXPECT_NE(refused().find("is not yet there on CUDA; use --backend cpu"), std::string::npos);
    experiment.grow = GrowRandom{};
    experiment.redistribute = Redistribution::momentum;
    EXPECT_NE(refused().find("redistribute: layers that grow are not yet there on CUDA; use --backend cpu"),
              std::string::npos);
    experiment.topology = TopologyKind::fixed;  // grows nothing
    EXPECT_EQ(train(*backend, experiment, data).history.size(), experiment.epochs);
}

/// The strongest proof there is, and a cheap one: nothing here depends on the processor. (The library's products round
/// otherwise.) Evolution within replayed programs is part of it.
TEST_P(CudaTraining, GivesTheBitsOfTheSameSourcesRunOnTheCpu) {
    const DataSet data = small_data();
    for (const Spmm spmm : {Spmm::gather, Spmm::panel, Spmm::coo}) {
        for (const bool graph : {true, false}) {
            SCOPED_TRACE(std::to_string(static_cast<int>(spmm)) + (graph ? " as graphs" : ""));
            Experiment experiment = small_experiment(data);
            experiment.spmm = spmm;
            CudaOptions ungraphed;
            ungraphed.graph = 0;
            const auto here = backend_for_test("cuda_on_host", 1, ungraphed);
            expect_same(train(*make(graph), experiment, data), train(*here, experiment, data));
        }
    }
}

/// Eleven layers multiply by panels in 21 directions: their weights take two launches to be packed.
TEST_P(CudaTraining, ManyLayersByPanelsGiveTheBitsOfGathering) {
    const DataSet data = small_data();
    Experiment experiment = small_experiment(data);
    experiment.layers = {data.features(), 9, 14, 10, 13, 8, 12, 11, 9, 15, 10, data.classes};
    experiment.epochs = 2;
    experiment.spmm = Spmm::gather;
    const Trained gathered = train(*make(true), experiment, data);
    experiment.spmm = Spmm::panel;
    expect_same(train(*make(true), experiment, data), gathered);
}

TEST_P(CudaTraining, TheSameRunTwiceGivesTheSameBits) {
    const DataSet data = small_data();
    Experiment experiment = small_experiment(data);
    experiment.cadence = ByChance{0.7};
    const auto one = make(true);
    const Trained want = train(*one, experiment, data);
    const auto other = make(true);
    expect_same(train(*other, experiment, data), want);
}

}  // namespace
}  // namespace espalier
