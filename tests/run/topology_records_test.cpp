// What a run folder holds of edges and weights, written and read back.
#include "host/run/topology_records.hpp"
#include "files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <sstream>

#include "espalier/error.hpp"
#include "host/formats/npy.hpp"
#include "host/report/report.hpp"
#include "host/run/run_reader.hpp"
#include "recorded_run.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Network network_of(const std::vector<Cell>& cells, const std::vector<float>& weights) {
    Layer layer;
    layer.num_inputs = 3;
    layer.num_outputs = 2;
    layer.topology = from_cells(3, 2, cells);
    layer.weights = weights;
    Layer dense;
    dense.num_inputs = 2;
    dense.num_outputs = 1;
    dense.weights = {0.5F, -0.25F};
    return {{layer, dense}};
}

TEST(TopologyRecords, HoldLivesAndWeights) {
    const TemporaryFolder folder;
    TopologyRecords records(folder.path(), network_of({0, 1, 4}, {0.1F, -0.2F, 0.05F}), {1, 2});
    records.epoch(1, network_of({0, 2, 4}, {0.1F, 0.75F, 100.0F}));
    records.epoch(2, network_of({0, 2, 5}, {-100.0F, 0, 0}));
    records.finish();
    EXPECT_EQ(text_of(folder.path() / "edges.csv"),
              "epoch,layer,edges,born,lost,mean_age,from_birth,ever_active\n"
              "1,1,3,1,1,0.6666666666666666,0.6666666666666666,0.6666666666666666\n"
              "2,1,3,1,1,1.0,0.3333333333333333,0.8333333333333334\n");
    EXPECT_EQ(text_of(folder.path() / "survival.csv"), "layer,age,at_risk,lost\n1,0,4,1\n1,1,2,1\n");
    const NpyArray borders = read_npy(folder.path() / "weights-bins.npy");
    EXPECT_THAT(borders.shape, ElementsAre(2, weight_bins + 1));
    float low = 0;
    std::memcpy(&low, borders.data.data(), sizeof low);
    EXPECT_FLOAT_EQ(low, -0.8F);  // four times the largest weight at birth
    const NpyArray counts = read_npy(folder.path() / "weights-layer1.npy");
    EXPECT_EQ(counts.type, NpyType::i4);
    EXPECT_THAT(counts.shape, ElementsAre(3, weight_bins));
    const auto count = [&](std::size_t record, std::size_t bin) {
        std::uint32_t value = 0;
        std::memcpy(&value, counts.data.data() + (record * weight_bins + bin) * sizeof value, sizeof value);
        return value;
    };
    // bins of 1/80: 0.1 lies in bin 64 + 8
    EXPECT_EQ(count(0, 72) + count(0, 71), 1U);
    EXPECT_EQ(count(1, 127), 1U) << "beyond the last border";
    EXPECT_EQ(count(2, 0), 1U);
    EXPECT_EQ(count(2, 64), 2U);
    EXPECT_THAT(read_npy(folder.path() / "weights-layer2.npy").shape, ElementsAre(3, weight_bins));
}

TEST(TopologyRecords, ThinnedOnesHoldTheFirstAndTheLastEpoch) {
    EXPECT_THAT(recorded_epochs(10, 4, 10), ElementsAre(1, 4, 8, 10));
    EXPECT_THAT(recorded_epochs(6, 4, 10), ElementsAre(1, 4));
    EXPECT_THAT(recorded_epochs(3, 1, 10), ElementsAre(1, 2, 3));
    const TemporaryFolder folder;
    RecordedRunOptions options;
    options.lifetimes = true;
    options.epochs = 10;
    options.every = 4;
    const RunFolder run = read_run_folder(record_run(folder.path() / "run", options));
    EXPECT_THAT(run.edges.at("epoch"), ElementsAre(1, 4, 8, 10));
    EXPECT_EQ(run.connections()->moments(), 5U);
    EXPECT_EQ(run.connections()->at(0), recorded_degrees(options, 0));
    EXPECT_EQ(run.connections()->at(3), recorded_degrees(options, 8));
    EXPECT_EQ(run.epoch_of(3), 8);
    EXPECT_EQ(run.epoch_of(4), 10);
    ASSERT_EQ(run.weights.size(), 2U);
    EXPECT_EQ(run.weights[0].counts.size(), 5U);
    // thinning leaves out lines, not epochs: the same line as without it
    options.every = 1;
    const RunFolder whole = read_run_folder(record_run(folder.path() / "whole", options));
    EXPECT_EQ(whole.edges.at("mean_age")[7], run.edges.at("mean_age")[2]);
    EXPECT_EQ(whole.lifetimes, run.lifetimes);
}

TEST(TopologyRecords, StandInTheReport) {
    const TemporaryFolder folder;
    RecordedRunOptions options;
    options.lifetimes = true;
    const auto first = record_run(folder.path() / "first", options);
    options.seed = 2;
    const auto second = record_run(folder.path() / "second", options);
    EXPECT_TRUE(write_report({first}, folder.path() / "one.html").empty());
    const std::string one = text_of(folder.path() / "one.html");
    for (const char* chart :
         {"survival", "edge-age", "from-birth", "ever-active", "weights-layer1", "weights-layer2"}) {
        EXPECT_THAT(one, HasSubstr("data-chart=\"" + std::string(chart) + "\"")) << chart;
    }
    EXPECT_THAT(text_of(folder.path() / "one-figures" / "weights-layer1.csv"), HasSubstr("birth,"));
    // 3 of 10 edges go in an epoch, so 0.7 reach age 1 and 0.49 age 2
    std::istringstream survival(text_of(folder.path() / "one-figures" / "survival.csv"));
    std::string line;
    std::getline(survival, line);
    for (const double expected : {70.0, 49.0}) {
        std::getline(survival, line);
        EXPECT_NEAR(std::stod(line.substr(line.rfind(',') + 1)), expected, 3) << line;
    }
    EXPECT_TRUE(write_report({first, second}, folder.path() / "two.html").empty());
    EXPECT_THAT(text_of(folder.path() / "two.html"), HasSubstr("data-chart=\"survival-layer1\""));
}

TEST(TopologyRecords, BrokenOnesAreNamed) {
    const TemporaryFolder folder;
    RecordedRunOptions options;
    options.lifetimes = true;
    const auto run = record_run(folder.path() / "run", options);
    const auto refusal = [&] {
        try {
            (void)read_run_folder(run);
            return std::string("nothing refused");
        } catch (const UserError& error) {
            return std::string(error.what());
        }
    };
    EXPECT_EQ(refusal(), "nothing refused");
    const std::string edges = text_of(run / "edges.csv");
    std::ofstream(run / "edges.csv") << edges.substr(0, edges.size() - 5);
    EXPECT_THAT(refusal(), testing::AllOf(HasSubstr("edges.csv"), HasSubstr("is cut off")));
    std::ofstream(run / "edges.csv") << "epoch,layer\n1,1\n";
    EXPECT_THAT(refusal(), HasSubstr("has no column 'mean_age'"));
    std::ofstream(run / "edges.csv") << edges;
    std::ofstream(run / "weights-layer2.npy") << "no array";
    EXPECT_THAT(refusal(), HasSubstr("weights-layer2.npy"));
}

TEST(TopologyRecords, HugeLayersAreNotFollowed) { EXPECT_EQ(following_bytes(1U << 13, 1U << 12, 1000), 0U); }

}  // namespace
}  // namespace espalier
