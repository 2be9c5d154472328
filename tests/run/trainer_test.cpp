// The training loop as its callers meet it: divisible, told by several observers, owner of its experiment.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "host/cpu/cpu_backend.hpp"
#include "espalier/initialize_network.hpp"
#include "same_network.hpp"
#include "small_run.hpp"

namespace espalier {
namespace {

// What a trainer keeps a reference to cannot be a temporary.
static_assert(std::is_constructible_v<Trainer, Experiment, Backend&, const DataSet&, const Network&>);
static_assert(!std::is_constructible_v<Trainer, Experiment, Backend, const DataSet&, const Network&>);
template <class Observer>
constexpr bool can_observe = requires(Trainer& trainer) {
    trainer.add_observer(std::declval<Observer>());
};
static_assert(can_observe<TrainObserver&> && !can_observe<TrainObserver>);

struct MadeRun {
    Experiment experiment = small_experiment();
    std::unique_ptr<Backend> backend = make_cpu_backend(1);
    DataSet data = load_dataset("synthetic", "", experiment.train_samples, experiment.test_samples);
    Network born = initialize_network(experiment);
};

TEST(Trainer, AdvancedAPieceAtATimeGivesTheSameBits) {
    MadeRun made;
    made.experiment.cadence = EverySteps{41};
    Trainer whole(made.experiment, *made.backend, made.data, made.born);
    ASSERT_TRUE(whole.run());

    // two at once, in turns, on one backend
    Trainer first(made.experiment, *made.backend, made.data, made.born);
    Trainer second(made.experiment, *made.backend, made.data, made.born);
    int pieces = 0;
    while (first.advance()) {
        second.advance();
        ++pieces;
    }
    EXPECT_FALSE(second.advance());
    EXPECT_TRUE(first.done() && second.done());
    // 150 steps an epoch with evolutions after 41: five or six slices, and the epoch's end
    EXPECT_GT(pieces, 4 * 5);
    for (Trainer* each : {&first, &second}) {
        EXPECT_TRUE(same_arrays(each->network(), whole.network()));
        ASSERT_EQ(each->history().size(), whole.history().size());
        for (std::size_t e = 0; e < whole.history().size(); ++e) {
            EXPECT_EQ(without_times(each->history()[e]), without_times(whole.history()[e]));
        }
    }
    EXPECT_FALSE(first.advance());  // nothing happens any more
    EXPECT_EQ(first.history().size(), made.experiment.epochs);
}

TEST(Trainer, OwnsItsExperiment) {
    MadeRun made;
    const auto trained = [&](bool changed) {
        auto given = std::make_unique<Experiment>(made.experiment);
        Trainer trainer(*given, *made.backend, made.data, made.born);
        if (changed) given->learning_rate = Constant{0, 0};
        given.reset();
        trainer.run();
        return trainer.network();
    };
    const Network kept = trained(true);
    EXPECT_TRUE(same_arrays(kept, trained(false)));
    EXPECT_FALSE(same_arrays(kept, made.born));
}

TEST(Trainer, TellsItsObserversInTheirOrderAndReadsTheNetworkOnce) {
    class Naming final : public TrainObserver {
    public:
        Naming(std::string name, std::vector<std::string>& heard) : name_(std::move(name)), heard_(heard) {}
        void on_degrees(std::uint32_t epoch, std::size_t layer, const Degrees&, const Degrees&) override {
            hear("degrees " + std::to_string(layer), epoch);
        }
        void on_epoch(const EpochRecord& record) override { hear("epoch", record.epoch); }
        void on_epoch_end(EpochEnd& end) override {
            hear("end", end.trainer().progress().epoch);
            EXPECT_EQ(end.trainer().history().size(), end.trainer().progress().epoch);
            EXPECT_EQ(end.trainer().progress().step, 0U);
            network = &end.network();
        }
        const Network* network = nullptr;

    private:
        void hear(const std::string& what, std::uint32_t epoch) {
            heard_.push_back(name_ + ": " + what + " of " + std::to_string(epoch));
        }
        std::string name_;
        std::vector<std::string>& heard_;
    };
    MadeRun made;
    made.experiment.epochs = 2;
    std::vector<std::string> heard;
    Naming a("a", heard), b("b", heard);
    Trainer trainer(made.experiment, *made.backend, made.data, made.born);
    trainer.add_observer(a);
    trainer.add_observer(b);
    trainer.run();
    EXPECT_EQ(a.network, b.network);
    std::vector<std::string> expected;
    for (const char* epoch : {"1", "2"}) {
        for (const char* what : {"degrees 0", "degrees 1", "epoch", "end"}) {
            for (const char* who : {"a", "b"}) expected.push_back(std::string(who) + ": " + what + " of " + epoch);
        }
    }
    EXPECT_THAT(heard, testing::ElementsAreArray(expected));
}

}  // namespace
}  // namespace espalier
