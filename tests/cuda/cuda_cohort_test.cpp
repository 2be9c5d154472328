// Many networks in one launch (cuda/cohort.hpp): whatever companions train at once has the bits of each network by itself.
#include <functional>
#include <thread>
#include <tuple>

#include "cuda_on_host/runtime/runtime.hpp"
#include "cuda_training.hpp"
#include "user_errors.hpp"

namespace espalier {
namespace {

/// What became of a network.
struct Ended {
    Trained trained;
    ExitCode code = ExitCode::ok;
    std::string why;
};

class Cohorts : public BackendTest {
protected:
    void SetUp() override { cuda_on_host::set_machine({}); }
    void TearDown() override { cuda_on_host::set_machine({}); }
    static std::unique_ptr<Backend> make(bool graph) {
        CudaOptions options;
        options.graph = graph ? 1 : 0;
        return backend_for_test(GetParam(), 1, options);
    }
    /// Asked by the trainer of a network, whose number is given, whether to stop.
    using Stop = std::function<bool(std::size_t number, const Trainer& trainer)>;
    static std::vector<Ended> together(const std::vector<Experiment>& experiments, const DataSet& data, bool graph,
                                         const Stop& stop = [](std::size_t, const Trainer&) { return false; }) {
        auto backends = make(graph)->companions(experiments.size());
        std::vector<Ended> ended(experiments.size());
        std::vector<std::thread> threads;
        for (std::size_t n = 0; n < experiments.size(); ++n) {
            threads.emplace_back([&, n, backend = std::move(backends.at(n))]() mutable {
                std::tie(ended[n].code, ended[n].why) = error_of([&] {
                    const std::unique_ptr<Backend> own = std::move(backend);
                    Trainer trainer(experiments[n], *own, data, initialize_network(experiments[n]));
                    trainer.run([&] { return stop(n, trainer); });
                    ended[n].trained = {trainer.network(), trainer.history()};
                });
            });
        }
        for (std::thread& each : threads) each.join();
        return ended;
    }
    static std::vector<Trained> alone(const std::vector<Experiment>& experiments, const DataSet& data) {
        std::vector<Trained> each;
        for (const Experiment& experiment : experiments) each.push_back(train(*make(true), experiment, data));
        return each;
    }
    static void expect_as(const std::vector<Trained>& alone, const std::vector<Ended>& ended) {
        for (std::size_t n = 0; n < ended.size(); ++n) {
            SCOPED_TRACE("network " + std::to_string(n) + " of " + std::to_string(ended.size()));
            ASSERT_EQ(ended[n].code, ExitCode::ok) << ended[n].why;
            expect_same(ended[n].trained, alone[n]);
        }
    }
};
INSTANTIATE_TEST_SUITE_P(Backends, Cohorts, ::testing::ValuesIn(cuda_backends()), backend_test_name);

/// Little: a step on the host costs what gathering a tile costs.
DataSet little_data() { return load_dataset("synthetic", "", 64, 20); }

/// `count` networks of one shape, each with seed, schedules and number of edges of its own.
std::vector<Experiment> unlike(const DataSet& data, std::size_t count) {
    std::vector<Experiment> all;
    for (std::size_t n = 0; n < count; ++n) {
        Experiment experiment = small_experiment(data);
        const auto number = static_cast<double>(n);
        experiment.dropout = 0;
        experiment.batch = 32;
        experiment.epochs = 3;
        experiment.seed = 1 + n;
        experiment.epsilon = 1.5 + 0.2 * number;
        experiment.learning_rate = Constant{0.01 + 0.005 * number, 0};
        experiment.weight_decay = Constant{0.0002 * number, 0};
        experiment.zeta = Constant{0.3 - 0.05 * number, 0};
        all.push_back(experiment);
    }
    return all;
}

TEST_P(Cohorts, OneTwoThreeOrFiveHaveTheBitsOfEachAlone) {
    const DataSet data = little_data();
    const std::vector<Trained> each = alone(unlike(data, 5), data);
    for (const std::size_t count : {1U, 2U, 3U, 5U}) expect_as(each, together(unlike(data, count), data, true));
    SCOPED_TRACE("launch by launch");
    for (const std::size_t count : {1U, 3U}) expect_as(each, together(unlike(data, count), data, false));
}

TEST_P(Cohorts, EveryKindOfNetworkHasItsBits) {
    const DataSet data = little_data();
    const std::function<void(Experiment&)> kinds[] = {
        [](Experiment& each) { each.dropout = 0.2; },
        [](Experiment& each) { each.activation = SRelu{}; },
        [](Experiment& each) { each.activation = Tanh{}, each.optimizer = Adam{}; },
        [](Experiment& each) { each.spmm = Spmm::panel; },
        [](Experiment& each) { each.spmm = Spmm::coo; },
        [](Experiment& each) { each.last_epoch = LastEpoch::remove; },
        [](Experiment& each) { each.cadence = EverySteps{3}, each.grow = parse_rule<GrowRule>("gradient"); },
    };
    for (const auto& kind : kinds) {
        std::vector<Experiment> experiments = unlike(data, 2);
        for (Experiment& each : experiments) kind(each), each.epochs = 2;
        SCOPED_TRACE(&kind - kinds);
        expect_as(alone(experiments, data), together(experiments, data, true));
    }
}

TEST_P(Cohorts, EachDropsUnitsOfItsOwn) {
    const DataSet data = little_data();
    const std::function<void(Experiment&)> kinds[] = {
        [](Experiment& each) { each.activation = Tanh{}; },
        [](Experiment& each) { each.activation = SRelu{}; },
        [](Experiment& each) { each.activation = Identity{}; },
        [](Experiment& each) { each.spmm = Spmm::coo, each.dense_output = false; },
        [](Experiment& each) { each.dropout_gradient = DropoutGradient::unmasked; },
        [](Experiment& each) { each.dropout_scale = DropoutScale::test; },
    };
    for (const auto& kind : kinds) {
        std::vector<Experiment> experiments = unlike(data, 4);
        const double rates[] = {0.2, 0.5, 0, 0.2};
        for (std::size_t n = 0; n < experiments.size(); ++n) {
            experiments[n].dropout = rates[n];
            experiments[n].epochs = 2;
            kind(experiments[n]);
        }
        experiments[3].seed = experiments[0].seed;
        SCOPED_TRACE(&kind - kinds);
        expect_as(alone(experiments, data), together(experiments, data, true));
    }
}

TEST_P(Cohorts, UnlikeShapesAndWhatNoListHoldsAreLaunchedApart) {
    const DataSet data = little_data();
    std::vector<Experiment> experiments = unlike(data, 4);
    experiments[1].layers = {data.features(), 25, data.classes};
    experiments[2].spmm = Spmm::cusparse;
    experiments[3].batch = 25;
    expect_as(alone(experiments, data), together(experiments, data, true));
}

TEST_P(Cohorts, OneThatEndsOrStopsEarlyHoldsNobodyUp) {
    const DataSet data = little_data();
    std::vector<Experiment> experiments = unlike(data, 3);
    experiments[0].epochs = 1;
    const std::vector<Ended> ended = together(experiments, data, true, [](std::size_t number, const Trainer& trainer) {
        return number == 1 && trainer.progress().epoch == 1 && trainer.progress().step > 0;
    });
    EXPECT_EQ(ended[1].trained.history.size(), 1U);
    expect_as(alone({experiments[0], experiments[2]}, data), {ended[0], ended[2]});
}

TEST_P(Cohorts, OneThatDivergesFailsAlone) {
    const DataSet data = little_data();
    std::vector<Experiment> experiments = unlike(data, 3);
    experiments[1].learning_rate = Constant{1e30, 0};
    const std::vector<Ended> ended = together(experiments, data, true);
    EXPECT_EQ(ended[1].code, ExitCode::nonfinite);
    EXPECT_NE(ended[1].why.find("the loss is"), std::string::npos) << ended[1].why;
    expect_as(alone({experiments[0], experiments[2]}, data), {ended[0], ended[2]});
}

TEST_P(Cohorts, OneThatNeverBeginsHoldsNobodyUp) {
    const DataSet data = little_data();
    const std::vector<Experiment> experiments = unlike(data, 1);
    auto backends = make(true)->companions(2);
    backends[1].reset();
    expect_same(train(*backends[0], experiments[0], data), train(*make(true), experiments[0], data));
}

TEST_P(Cohorts, OneThatPartedGoesOnByItself) {
    const DataSet data = little_data();
    const std::vector<Experiment> experiments = unlike(data, 2);
    auto backends = make(true)->companions(2);
    for (std::size_t n = 0; n < 2; ++n) {
        backends[n]->part();
        expect_same(train(*backends[n], experiments[n], data), train(*make(true), experiments[n], data));
    }
}

TEST_P(Cohorts, EqualDataLieInMemoryOnce) {
    auto backends = make(true)->companions(2);
    const std::vector<float> some(1000, 0.5F);
    std::vector<float> other = some;
    other.back() = 0.25F;
    const std::size_t bytes = some.size() * sizeof(float);
    void* const first = backends[0]->keep(some.data(), bytes);
    void* const second = backends[1]->keep(some.data(), bytes);
    void* const third = backends[1]->keep(other.data(), bytes);
    EXPECT_EQ(first, second);
    EXPECT_NE(first, third);
    backends[0]->release(first);
    std::vector<float> read(some.size());
    backends[1]->download(read.data(), second, bytes);
    EXPECT_EQ(read, some);
    backends[1]->release(second);
    backends[1]->release(third);
    void* const again = backends[0]->keep(other.data(), bytes);
    backends[0]->download(read.data(), again, bytes);
    EXPECT_EQ(read, other);
    backends[0]->release(again);
}

TEST(CohortsOnHost, ADeviceThatBreaksFailsThemAllAndHangsNobody) {
    const DataSet data = little_data();
    const std::vector<Experiment> experiments = unlike(data, 3);
    for (const std::uint64_t kernels : {5U, 60U, 200U}) {
        cuda_on_host::set_machine({});
        cuda_on_host::count_afresh();
        auto backends = backend_for_test("cuda_on_host", 1, {})->companions(3);
        cuda_on_host::Machine machine;
        machine.break_after = kernels;
        cuda_on_host::set_machine(machine);
        std::vector<ExitCode> codes(3, ExitCode::ok);
        std::vector<std::thread> threads;
        for (std::size_t n = 0; n < 3; ++n) {
            threads.emplace_back([&, n, backend = std::move(backends[n])]() mutable {
                codes[n] = error_of([&] {
                               const std::unique_ptr<Backend> own = std::move(backend);
                               train(*own, experiments[n], data);
                           }).first;
            });
        }
        for (std::thread& each : threads) each.join();
        EXPECT_EQ(codes, std::vector<ExitCode>(3, ExitCode::device)) << kernels;
    }
    cuda_on_host::set_machine({});
    EXPECT_EQ(cuda_on_host::counts().live_streams, 0U);
}

TEST(CohortsOnHost, LeaveNothingBehind) {
    cuda_on_host::set_machine({});
    const cuda_on_host::Counts before = cuda_on_host::counts();
    {
        const DataSet data = little_data();
        auto backends = backend_for_test("cuda_on_host", 1, {})->companions(1);
        train(*backends[0], unlike(data, 1)[0], data);
    }
    EXPECT_EQ(cuda_on_host::counts().live_allocations, before.live_allocations);
    EXPECT_EQ(cuda_on_host::counts().live_streams, before.live_streams);
    EXPECT_EQ(cuda_on_host::counts().live_graphs, before.live_graphs);
}

}  // namespace
}  // namespace espalier
