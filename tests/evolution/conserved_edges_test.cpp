// Edges are conserved: no layer prunes more than can grow again, and what is recorded as replaced grew.
#include <gmock/gmock.h>

#include "espalier/common/evolution_steps.hpp"
#include "espalier/error.hpp"
#include "host/cpu/cpu_backend.hpp"
#include "espalier/initialize_network.hpp"
#include "host/training/evolution_plan.hpp"
#include "small_run.hpp"

namespace espalier {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Experiment experiment_of(const std::vector<Index>& layers) {
    Experiment experiment;
    experiment.layers = layers;
    experiment.epochs = 10;
    experiment.dense_output = false;
    return experiment;
}

TEST(ConservedEdges, ShareIsZetaWhereEnoughCellsAreFree) {
    const Experiment experiment = experiment_of({100, 10});
    for (const EdgeIndex edges : {1U, 10U, 500U, 769U}) EXPECT_EQ(prune_share(experiment, 0, edges, 3), 0.3) << edges;
    // 770 edges would lose 231 and find 230 free cells
    EXPECT_LT(prune_share(experiment, 0, 770, 3), 0.3);
}

TEST(ConservedEdges, NoMoreGoThanFit) {
    for (const double share : {1.0, 0.5, 0.3}) {
        Experiment experiment = experiment_of({100, 10});
        experiment.grow = GrowRandom{0, share};
        for (EdgeIndex edges = 600; edges <= 1000; ++edges) {
            const EdgeIndex free = 1000 - edges;
            const EdgeIndex went = prune_quota(prune_share(experiment, 0, edges, 1), edges);
            const auto wanted = static_cast<EdgeIndex>(share * went + 0.5);
            ASSERT_LE(wanted, free) << share << ' ' << edges;
            // and no fewer than fit
            const EdgeIndex most = prune_quota(0.3, edges);
            if (went < most) {
                ASSERT_GT(share * (went + 1) + 1e-9, free) << share << ' ' << edges;
            }
            // in two groups none more
            for (EdgeIndex positive = 0; positive <= edges; positive += 37) {
                const double z = prune_share(experiment, 0, edges, 1);
                ASSERT_LE(prune_quota(z, positive) + prune_quota(z, edges - positive), went);
            }
        }
    }
}

TEST(ConservedEdges, AFullLayerRestsUnlessItsOwnCellsMayBeTaken) {
    Experiment experiment = experiment_of({100, 10});
    EXPECT_EQ(prune_share(experiment, 0, 1000, 1), 0);
    experiment.grow = GrowRandom{1, 1};
    EXPECT_EQ(prune_share(experiment, 0, 1000, 1), 0.3);
    experiment.grow = GrowRandom{0, 0};  // nothing is to come back
    EXPECT_EQ(prune_share(experiment, 0, 1000, 1), 0.3);
}

TEST(ConservedEdges, AScheduleThinsAFullLayerOutToWhatItAsksFor) {
    Experiment experiment = experiment_of({100, 10});
    experiment.density = Density::sparsity;
    experiment.sparsity = 0;
    experiment.edges_kept = parse_schedule("linear(value=1,end=0.5)");
    EdgeIndex edges = 1000;
    for (int epoch = 1; epoch <= 10; ++epoch) {
        const EdgeIndex pruned = prune_quota(prune_share(experiment, 0, edges, epoch), edges);
        const double share = std::get<GrowRandom>(grow_rule(experiment, 0, edges, pruned, epoch)).share;
        const auto wanted = static_cast<EdgeIndex>(share * pruned + 0.5);
        EXPECT_LE(wanted, 1000 - edges) << "epoch " << epoch;
        edges = edges - pruned + wanted;
        EXPECT_NEAR(edges, std::round(1000 * scheduled(experiment.edges_kept, epoch, 10)), 1) << "epoch " << epoch;
    }
}

class Conserved : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Rules, Conserved,
                         testing::Values("random", "random(allow_removed=1)", "parents", "parents(allow_removed=1)",
                                         "hash-order", "hash-order(allow_removed=1)"));

TEST_P(Conserved, EveryLayerKeepsItsEdgesThroughARun) {
    for (const PruneRule& prune : {PruneRule{PruneBySign{}}, PruneRule{PruneByMagnitude{}}}) {
        Experiment experiment = small_experiment();
        experiment.dense_output = false;
        experiment.density = Density::erk;
        experiment.sparsity = 0.6;  // fills the last layer, 80 cells; the one before it to 95 %
        experiment.grow = parse_rule<GrowRule>(GetParam());
        experiment.prune = prune;
        experiment.last_epoch = LastEpoch::evolve;
        const auto backend = make_cpu_backend(1);
        const DataSet data = load_dataset("synthetic", "", 300, 50);
        const Network born = initialize_network(experiment);
        Trainer trainer(experiment, *backend, data, born);
        ASSERT_TRUE(trainer.run());
        const Network trained = trainer.network();
        ASSERT_EQ(born.layers[2].weights.size(), 80U) << "a full layer is the case in question";
        for (std::size_t l = 0; l < born.layers.size(); ++l) {
            EXPECT_EQ(trained.layers[l].weights.size(), born.layers[l].weights.size()) << "layer " << l + 1;
        }
        for (const EpochRecord& record : trainer.history()) {
            EXPECT_GT(record.grown, 0U);
            EXPECT_EQ(record.grown, record.pruned);
            EXPECT_LE(record.replaced_positive + record.replaced_negative, record.grown);
        }
    }
}

TEST(ConservedEdges, ReplacedCountsWhatGrew) {
    Experiment experiment = small_experiment();  // whose last epoch leaves what it pruned at 0
    const auto backend = make_cpu_backend(1);
    const DataSet data = load_dataset("synthetic", "", 300, 50);
    Trainer trainer(experiment, *backend, data, initialize_network(experiment));
    ASSERT_TRUE(trainer.run());
    for (const EpochRecord& record : trainer.history()) {
        const bool last = record.epoch == experiment.epochs;
        EXPECT_GT(record.pruned, 0U);
        EXPECT_EQ(record.grown, last ? 0U : record.pruned) << record.epoch;
        EXPECT_EQ(record.replaced_positive + record.replaced_negative, last ? 0U : record.pruned) << record.epoch;
    }
}

std::string refusal(const Experiment& experiment) {
    try {
        (void)initialize_network(experiment);
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        return error.what();
    }
    return "nothing refused";
}

TEST(ConservedEdges, ALayerWithoutAnEdgeIsRefusedWithItsCure) {
    Experiment experiment = experiment_of({784, 300, 100, 10});
    experiment.density = Density::sparsity;
    experiment.sparsity = 0.9999;
    EXPECT_THAT(refusal(experiment), AllOf(HasSubstr("layer 3 (100 x 10)"), HasSubstr("sparsity 0.9999"),
                                           HasSubstr("about 0.9994999")));
    experiment.sparsity = 0.9994999;
    EXPECT_EQ(refusal(experiment), "nothing refused");
    experiment.density = Density::epsilon;
    experiment.epsilon = 0.001;
    EXPECT_THAT(refusal(experiment), AllOf(HasSubstr("layer 2 (300 x 100)"), HasSubstr("epsilon 0.001"),
                                           HasSubstr("about 0.0025")));
    experiment.epsilon = 0.009;
    EXPECT_THAT(refusal(experiment), AllOf(HasSubstr("layer 3 (100 x 10)"), HasSubstr("about 0.00909")));
    experiment.dense_output = true;
    EXPECT_EQ(refusal(experiment), "nothing refused");
    // drawn, by bad luck, without one
    experiment.birth_law = BernoulliCells{};
    Network network = initialize_network(experiment);
    network.layers[1].topology = from_cells(300, 100, {});
    network.layers[1].weights.clear();
    EXPECT_THROW(expect_edges(experiment, network), UserError);
}

TEST(ConservedEdges, APerceptronOfBiasesAloneIsAControlWithANote) {
    Experiment experiment = experiment_of({784, 12, 10});
    experiment.dense_output = true;
    experiment.density = Density::sparsity;
    experiment.sparsity = 0.99999;
    const Network network = initialize_network(experiment);
    EXPECT_EQ(network.layers[0].weights.size(), 0U);
    EXPECT_NO_THROW(expect_edges(experiment, network));
    EXPECT_THAT(edge_notes(experiment),
                ElementsAre(AllOf(HasSubstr("layer 1 (784 x 12) gets no edge by sparsity 0.99999"), HasSubstr("about"))));
}

TEST(ConservedEdges, EpsilonBeyondALayerFillsIt) {
    Experiment experiment = experiment_of({20, 10, 4});
    experiment.epsilon = 5;
    for (const BirthLaw& law : {BirthLaw{ExactCount{}}, BirthLaw{BernoulliCells{}}}) {
        experiment.birth_law = law;
        const Network network = initialize_network(experiment);
        EXPECT_EQ(network.layers[1].weights.size(), 40U);
    }
    EXPECT_THAT(edge_notes(experiment),
                testing::ElementsAre("layer 2 (10 x 4) is full: epsilon 5 asks for 70 edges, it has 40 cells"));
    experiment.epsilon = 2;
    EXPECT_THAT(edge_notes(experiment), testing::IsEmpty());
}

}  // namespace
}  // namespace espalier
