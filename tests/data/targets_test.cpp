// Real-valued targets: read from tables and arrays, normalised while training, kept in the data's meaning; figures of a
// regression against hand-computed ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data_files.hpp"
#include "espalier/dataset.hpp"
#include "espalier/predictions.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class TargetsTest : public testing::Test {
protected:
    void put(const std::string& name, const std::string& bytes) { write_file(dir_ / name, bytes); }
    template <class Item>
    void put_array(const std::string& name, NpyType type, const std::vector<std::uint64_t>& shape,
                   const std::vector<Item>& items) {
        write_npy(dir_ / name, type, shape, items.data());
    }
    DataRequest request(const std::string& name, const std::string& targets, const DataMeaning* network = nullptr) const {
        DataRequest request;
        request.name = name;
        request.data_dir = dir_.string();
        request.targets = targets;
        request.network = network;
        return request;
    }
    DataSet load(const std::string& name, const std::string& targets, const DataMeaning* network = nullptr) const {
        return load_dataset(request(name, targets, network));
    }
    std::string refused(const std::string& name, const std::string& targets, ExitCode code = ExitCode::data) const {
        return refusal(code, [&] { load(name, targets); });
    }

    TemporaryFolder folder_;
    fs::path dir_ = folder_.path();
};

TEST_F(TargetsTest, ColumnsOfATableByNameAndPlaceInTheOrderAskedFor) {
    put("a.csv", "x,y,\"p, q\",z\n1,10,0.5,7\n2,20,1.5,8\n3,30,2.5,9\n");
    const DataSet one = load("csv:a.csv,a.csv", "y");
    EXPECT_THAT(one.target_names, ElementsAre("y"));
    EXPECT_THAT(one.train.targets, ElementsAre(10, 20, 30));
    EXPECT_THAT(one.train.floats, ElementsAre(1, 0.5F, 7, 2, 1.5F, 8, 3, 2.5F, 9));
    EXPECT_THAT(one.column_names, ElementsAre("x", "p, q", "z"));
    EXPECT_THAT(one.train.labels, ElementsAre(0, 0, 0));
    EXPECT_EQ(one.classes, 0U);
    EXPECT_THAT(one.target_mean, ElementsAre(20));
    EXPECT_NEAR(one.target_deviation[0], std::sqrt(200.0 / 3), 1e-12);
    const DataSet two = load("csv:a.csv,a.csv", "last, y");
    EXPECT_THAT(two.target_names, ElementsAre("z", "y"));
    EXPECT_THAT(two.train.targets, ElementsAre(7, 10, 8, 20, 9, 30));
    EXPECT_THAT(load("csv:a.csv,a.csv", "p, q").target_names, ElementsAre("p, q")) << "a name with a comma in it";
    put("bare.csv", "1;2;3\n4;5;7\n");
    const DataSet bare = load("csv:bare.csv,bare.csv", "3");
    EXPECT_THAT(bare.target_names, ElementsAre("target"));
    EXPECT_THAT(bare.test.targets, ElementsAre(3, 7));
    EXPECT_THAT(load("csv:bare.csv,bare.csv", "1,2").target_names, ElementsAre("target_1", "target_2"));
}

TEST_F(TargetsTest, WhatIsNoTargetIsRefusedByLineAndColumn) {
    put("a.csv", "x,y\n1,2\n3,oops\n");
    EXPECT_THAT(refused("csv:a.csv,a.csv", "y"), HasSubstr("line 3, column 2 ('y'): expected a finite number, found 'oops'"));
    EXPECT_THAT(refused("csv:a.csv,a.csv", "1,y"), HasSubstr("expected a feature beside the targets"));
    EXPECT_THAT(refused("csv:a.csv,a.csv,header=no", "y"), HasSubstr("expected a header with a column 'y'"));
    EXPECT_THAT(refused("csv:a.csv,a.csv", "0"), HasSubstr("found 2 columns"));
    put("b.csv", "x,other\n1,2\n");
    put("a.csv", "x,y\n1,2\n3,4\n");
    EXPECT_THAT(refused("csv:a.csv,b.csv", "last"), HasSubstr("b.csv: expected the targets of"));
    EXPECT_THAT(refused("csv:a.csv,a.csv,label=y", "y", ExitCode::usage), HasSubstr("give one of them"));
}

TEST_F(TargetsTest, ArraysOfEveryTypeAndSomeOfTheirColumns) {
    put_array<float>("x.npy", NpyType::f4, {3, 2}, {1, 2, 3, 4, 5, 6});
    put_array<double>("y.npy", NpyType::f8, {3}, {0.5, -1, 2.25});
    put_array<std::int16_t>("y2.npy", NpyType::i2, {3, 2}, {1, -1, 2, -2, 3, -3});
    EXPECT_THAT(load("npy:x.npy,y.npy,x.npy,y.npy", "all").test.targets, ElementsAre(0.5, -1, 2.25));
    const DataSet both = load("npy:x.npy,y2.npy,x.npy,y2.npy", "all");
    EXPECT_THAT(both.target_names, ElementsAre("target_1", "target_2"));
    EXPECT_THAT(both.train.targets, ElementsAre(1, -1, 2, -2, 3, -3));
    EXPECT_THAT(load("npy:x.npy,y2.npy,x.npy,y2.npy", "last").train.targets, ElementsAre(-1, -2, -3));
    EXPECT_THAT(refused("npy:x.npy,y2.npy,x.npy,y2.npy", "price", ExitCode::usage),
                HasSubstr("expected all, or first, last or numbers from 1 to 2"));
    EXPECT_THAT(refused("npy:x.npy,y2.npy,x.npy,y.npy", "all"), HasSubstr("expected 2 targets"));
    put_array<double>("bad.npy", NpyType::f8, {3}, {0.5, NAN, 2.25});
    EXPECT_THAT(refused("npy:x.npy,bad.npy,x.npy,y.npy", "all"), HasSubstr("expected finite numbers, found nan at index 1"));
    EXPECT_THAT(refused("npy:x.npy,x.npy,x.npy,y.npy", "all"), HasSubstr("expected 2 targets"));
}

TEST_F(TargetsTest, ANetworkKeepsTheirUnitsAndReadsThemElsewhere) {
    put("a.csv", "x,y\n1,10\n2,20\n3,30\n");
    const DataSet data = load("csv:a.csv,a.csv", "y");
    const DataMeaning read = parse_meaning(meaning_json(data), "net");
    EXPECT_EQ(read.target_names, data.target_names);
    EXPECT_EQ(read.target_mean, data.target_mean);
    EXPECT_EQ(read.target_deviation, data.target_deviation);
    DataMeaning of_classes = data;
    of_classes.target_names.clear();
    EXPECT_EQ(meaning_json(of_classes).find("target"), std::string::npos) << "networks of classes are as they were";
    put("other.csv", "x,y\n5,1000\n6,-1000\n");
    const DataSet other = load("csv:other.csv", "y", &read);
    EXPECT_EQ(other.target_mean, data.target_mean);
    EXPECT_THAT(other.test.targets, ElementsAre(1000, -1000));
    put_array<float>("x.npy", NpyType::f4, {2, 1}, {1, 2});
    put_array<float>("y.npy", NpyType::f4, {2}, {15, 25});
    EXPECT_THAT(load("npy:x.npy,y.npy", "y", &read).target_names, ElementsAre("y"));
    auto bare = request("csv:bare.csv", "y", &read);
    bare.needs_labels = false;
    put("bare.csv", "x\n5\n6\n");
    EXPECT_THAT(load_dataset(bare).test.targets, IsEmpty());
    EXPECT_EQ(load_dataset(bare).test.count(), 2U);
    for (const std::string broken : {R"("target_deviation":[0.0])", R"("target_deviation":[])"}) {
        std::string text = meaning_json(data);
        text.replace(text.find("\"target_deviation\""), std::string::npos, broken + "}");
        EXPECT_THAT(refusal(ExitCode::checkpoint, [&] { parse_meaning(text, "net"); }), HasSubstr("target"));
    }
}

TEST_F(TargetsTest, TheyMoveWithTheirSamples) {
    DataSet data;
    data.width = data.height = 1;
    data.target_names = {"a", "b"};
    for (int i = 0; i < 20; ++i) {
        data.train.floats.push_back(static_cast<float>(i));
        data.train.labels.push_back(0);
        data.train.targets.insert(data.train.targets.end(), {i + 0.5, -1.0 * i});
    }
    const Split held = hold_out(data.train, 1, 0.3);
    EXPECT_EQ(held.count(), 6U);
    EXPECT_EQ(data.train.count(), 14U);
    for (const Split* split : std::initializer_list<const Split*>{&held, &data.train}) {
        ASSERT_EQ(split->targets.size(), 2 * split->floats.size());
        for (std::size_t i = 0; i < split->floats.size(); ++i) {
            EXPECT_EQ(split->targets[2 * i], static_cast<double>(split->floats[i]) + 0.5);
            EXPECT_EQ(split->targets[2 * i + 1], -static_cast<double>(split->floats[i]));
        }
    }
}

TEST_F(TargetsTest, FromMemory) {
    const std::vector<float> x{1, 2, 3, 4, 5, 6};
    const std::vector<double> y{1e9, 1e9 + 2, 1e9 + 4};
    const DataSet data = make_dataset(x, y, {1, 2, 1}, x, y);
    EXPECT_THAT(data.target_names, ElementsAre("target"));
    EXPECT_THAT(data.target_mean, ElementsAre(1e9 + 2));
    EXPECT_NEAR(data.target_deviation[0], std::sqrt(8.0 / 3), 1e-9) << "small beside its mean";
    EXPECT_EQ(data.test.targets, y);
    EXPECT_EQ(data.train.count(), 3U);
    const DataSet two = make_dataset(x, std::vector<double>{1, 2, 3, 4, 5, 6}, {1, 2, 1}, {}, {},
                                     Standardize::automatic, {"a", "b"});
    EXPECT_THAT(two.target_mean, ElementsAre(3, 4));
    EXPECT_THAT(refusal(ExitCode::data, [&] { make_dataset(x, std::vector<double>{1, 2}, {1, 2, 1}); }),
                HasSubstr("expected 2 samples of 2 values, as there are targets, found 6 values"));
    EXPECT_THAT(refusal(ExitCode::data, [&] { make_dataset(x, std::vector<double>{1, NAN, 2}, {1, 2, 1}); }),
                HasSubstr("found nan in sample 1, target 0"));
    EXPECT_THAT(refusal(ExitCode::data, [&] { make_dataset(x, std::vector<double>{1e200, 0, -1e200}, {1, 2, 1}); }),
                HasSubstr("too large"));
    const DataSet constant = make_dataset(x, std::vector<double>{0.1, 0.1, 0.1}, {1, 2, 1});
    EXPECT_THAT(constant.target_deviation, ElementsAre(1));
    EXPECT_THAT(constant.remarks, ElementsAre(HasSubstr("the same in all training samples")));
}

TEST(TargetFigures, AreHandComputedOnes) {
    // errors 0, 1, -2 around a mean of 2: squares 2, errors 5; of the second target all are right
    const TargetFigures figures = target_figures({1, 5, 3, 6, 1, 7}, {1, 5, 2, 6, 3, 7}, {"a", "b"});
    EXPECT_DOUBLE_EQ(figures.r2[0], 1 - 5.0 / 2);
    EXPECT_DOUBLE_EQ(figures.rmse[0], std::sqrt(5.0 / 3));
    EXPECT_DOUBLE_EQ(figures.mae[0], 1);
    EXPECT_DOUBLE_EQ(figures.r2[1], 1);
    EXPECT_DOUBLE_EQ(figures.mean_r2(), -0.25);
    EXPECT_DOUBLE_EQ(figures.mean_rmse(), std::sqrt(5.0 / 3) / 2);
    EXPECT_EQ(target_figures({1, 1}, {4, 4}, {"a"}).r2[0], 0) << "as scikit-learn has it of a constant";
    EXPECT_EQ(target_figures({4, 4}, {4, 4}, {"a"}).r2[0], 1);
    EXPECT_TRUE(std::isnan(target_figures({4}, {4}, {"a"}).r2[0]));
    EXPECT_THAT(target_figures_json(target_figures({4}, {5}, {"a"})), HasSubstr("\"r2\":null,\"rmse\":1.0"));
    DataMeaning units;
    units.target_names = {"a", "b"};
    units.target_mean = {100, -1};
    units.target_deviation = {10, 0.5};
    EXPECT_THAT(in_target_units({1, 2, -1, 0}, units), ElementsAre(110, 0, 90, -1));
}

}  // namespace
}  // namespace espalier
