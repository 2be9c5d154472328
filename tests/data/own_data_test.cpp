// A user's own files as data sets: classes from labels, headers compared, one file split, archives, a network's own
// meaning, and data from memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "data_files.hpp"
#include "espalier/dataset.hpp"
#include "host/formats/npz.hpp"
#include "host/formats/sha256.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class OwnDataTest : public testing::Test {
protected:
    void put(const std::string& name, const std::string& bytes) { write_file(dir_ / name, bytes); }
    DataRequest request(const std::string& name, double split = 0, const DataMeaning* network = nullptr) const {
        DataRequest request;
        request.name = name;
        request.data_dir = dir_.string();
        request.split = split;
        request.network = network;
        return request;
    }
    DataSet load(const std::string& name, double split = 0, const DataMeaning* network = nullptr) const {
        return load_dataset(request(name, split, network));
    }
    std::string refused(const DataRequest& request, ExitCode code = ExitCode::data) const {
        return refusal(code, [&] { load_dataset(request); });
    }

    TemporaryFolder folder_;
    fs::path dir_ = folder_.path();
};

TEST_F(OwnDataTest, NamesOfFilesMayHoldCommas) {
    put("a,b.csv", "0,1\n1,2\n");
    put("c,d,e.csv", "1,3\n");
    put("x.csv", "0,4\n");
    EXPECT_THAT(load("csv:a,b.csv,c,d,e.csv").test.floats, ElementsAre(3));
    EXPECT_THAT(load("csv:a,b.csv,x.csv").test.floats, ElementsAre(4));
    EXPECT_THAT(load("csv:a,b.csv,a,b.csv,label=last").class_names, ElementsAre("1", "2"));
    EXPECT_THAT(refused(request("csv:a,none.csv,x.csv"), ExitCode::usage), HasSubstr("found 3"));
}

TEST_F(OwnDataTest, LabelsBecomeClassesInTheirOrderAndThatIsSaid) {
    put("numbers.csv", "10,1\n2,2\n10,3\n-1,4\n");
    put("test.csv", "2,1\n-1,2\n");
    DataSet data = load("csv:numbers.csv,test.csv");
    EXPECT_THAT(data.class_names, ElementsAre("-1", "2", "10"));
    EXPECT_THAT(data.train.labels, ElementsAre(2, 1, 2, 0));
    EXPECT_THAT(data.test.labels, ElementsAre(1, 0));
    EXPECT_EQ(data.classes, 3U);
    EXPECT_THAT(data.remarks, ElementsAre("labels are numbered from 0 as classes: 0 = -1, 1 = 2, 2 = 10"));
    put("texts.csv", "dog,1\ncat,2\n");
    data = load("csv:texts.csv,texts.csv");
    EXPECT_THAT(data.class_names, ElementsAre("cat", "dog"));
    EXPECT_THAT(data.train.labels, ElementsAre(1, 0));
    put("plain.csv", "1,1\n0,2\n");
    EXPECT_THAT(load("csv:plain.csv,plain.csv").remarks, IsEmpty());
}

TEST_F(OwnDataTest, HeadersOfTrainingAndTestAreCompared) {
    put("train.csv", "label,height,width,depth\n0,1,2,3\n1,4,5,6\n");
    put("test.csv", "label,height,depth,width\n0,1,2,3\n");
    EXPECT_THAT(refused(request("csv:train.csv,test.csv")),
                AllOf(HasSubstr("test.csv"), HasSubstr("the first that differs is 'depth'"), HasSubstr("'width'")));
    put("bare.csv", "0,1,2,9\n");
    EXPECT_EQ(load("csv:train.csv,bare.csv").test.count(), 1U) << "names that are not there are not compared";
    put("last.csv", "height,width,depth,label\n1,2,3,0\n");
    EXPECT_THAT(load("csv:train.csv,last.csv,label=label").test.floats, ElementsAre(1, 2, 3));
}

TEST_F(OwnDataTest, OneFileIsSplitByClassAndAlwaysAlike) {
    std::string rows;
    for (int i = 0; i < 100; ++i) rows += std::to_string(i % 10 == 0 ? 1 : 0) + "," + std::to_string(i) + "\n";
    put("all.csv", rows);
    const DataSet data = load("csv:all.csv", 0.2);
    EXPECT_EQ(data.train.count(), 80U);
    EXPECT_EQ(data.test.count(), 20U);
    EXPECT_EQ(std::accumulate(data.test.labels.begin(), data.test.labels.end(), 0), 2) << "a fifth of each class";
    EXPECT_EQ(load("csv:all.csv", 0.2).test.floats, data.test.floats);
    EXPECT_TRUE(std::is_sorted(data.test.floats.begin(), data.test.floats.end()));
    std::vector<float> all = data.train.floats;
    all.insert(all.end(), data.test.floats.begin(), data.test.floats.end());
    std::sort(all.begin(), all.end());
    std::vector<float> expected(100);
    std::iota(expected.begin(), expected.end(), 0.0F);
    EXPECT_EQ(all, expected);
    EXPECT_THAT(refused(request("csv:all.csv"), ExitCode::usage), HasSubstr("--split 0.2"));
    EXPECT_THAT(refused(request("csv:all.csv,all.csv", 0.2), ExitCode::usage), HasSubstr("test samples of its own"));
    EXPECT_THAT(refused(request("csv:all.csv", 0.001), ExitCode::usage), HasSubstr("holds none out"));
    EXPECT_THAT(refused(request("synthetic", 0.2), ExitCode::usage), HasSubstr("split: synthetic"));
}

TEST_F(OwnDataTest, ARareClassStaysAmongTheTrainingSamples) {
    put("rare.csv", "0,1\n0,2\n0,3\n0,4\n1,5\n");
    const DataSet data = load("csv:rare.csv", 0.5);
    EXPECT_EQ(data.classes, 2U);
    EXPECT_EQ(std::count(data.train.labels.begin(), data.train.labels.end(), 1), 1);
}

TEST_F(OwnDataTest, ANetworksMeaningIsObeyed) {
    put("train.csv", "label,a\ncat,1\ndog,3\n");
    const DataMeaning network = load("csv:train.csv,train.csv");
    put("dogs.csv", "label,a\ndog,100\ndog,200\n");
    const DataSet alone = load("csv:dogs.csv", 0, &network);
    EXPECT_EQ(alone.train.count(), 0U);
    EXPECT_THAT(alone.test.labels, ElementsAre(1, 1)) << "as the network counts";
    EXPECT_EQ(alone.mean, network.mean);
    EXPECT_EQ(alone.deviation, network.deviation);
    const DataSet beside = load("csv:dogs.csv,dogs.csv", 0, &network);
    EXPECT_EQ(beside.mean, network.mean);
    EXPECT_EQ(beside.test.labels, alone.test.labels);
    put("cow.csv", "label,a\ncow,1\n");
    EXPECT_THAT(refused(request("csv:cow.csv", 0, &network)),
                AllOf(HasSubstr("line 2"), HasSubstr("the network knows"), HasSubstr("'cow'")));
    put("other.csv", "label,b\ncat,1\n");
    EXPECT_THAT(refused(request("csv:other.csv", 0, &network)), HasSubstr("the columns of the network"));
    put("wide.csv", "cat,1,2\n");
    EXPECT_THAT(refused(request("csv:wide.csv", 0, &network)), HasSubstr("expected samples of 1 x 1 x 1"));
}

TEST_F(OwnDataTest, AMeaningReadsBackExactlyAndFaultsAreNamed) {
    DataMeaning meaning;
    meaning.name = "csv:\xff";
    meaning.digest = "abc";
    meaning.height = 1;
    meaning.width = 2;
    meaning.scale = 1.0 / 255;
    meaning.mean = {0.1, 1e-300};
    meaning.deviation = {1.0 / 3, 2};
    meaning.class_names = {"a\"b", "caf\xc3\xa9"};
    meaning.classes = 2;
    meaning.column_names = {"x", "y"};
    const DataMeaning again = parse_meaning(meaning_json(meaning), "n");
    EXPECT_EQ(again.mean, meaning.mean);
    EXPECT_EQ(again.deviation, meaning.deviation);
    EXPECT_EQ(again.scale, meaning.scale);
    EXPECT_EQ(again.class_names, meaning.class_names);
    EXPECT_EQ(again.column_names, meaning.column_names);
    EXPECT_EQ(again.classes, 2U);
    const auto says = [](const std::string& json) {
        return refusal(ExitCode::checkpoint, [&] { parse_meaning(json, "net"); });
    };
    EXPECT_THAT(says("[1]"), HasSubstr("net: expected 'data' to be a JSON object"));
    EXPECT_THAT(says("{}"), HasSubstr("expected 'name'"));
    meaning.deviation[1] = 0;
    EXPECT_THAT(says(meaning_json(meaning)), HasSubstr("deviations above 0"));
    meaning.deviation = {1};
    EXPECT_THAT(says(meaning_json(meaning)), HasSubstr("as many means and deviations"));
    meaning.width = 0;
    EXPECT_THAT(says(meaning_json(meaning)), HasSubstr("'width'"));
}

TEST_F(OwnDataTest, ArraysOfTrainingAndTestOrOfOneFileSplit) {
    const std::vector<float> x = {1, 2, 3, 4, 5, 6, 7, 8};
    const std::vector<std::int64_t> y = {3, 5, 3, 5};
    write_npy(dir_ / "x.npy", NpyType::f4, {4, 2}, x.data());
    write_npy(dir_ / "y.npy", NpyType::i8, {4}, y.data());
    DataSet data = load("npy:x.npy,y.npy,x.npy,y.npy");
    EXPECT_THAT(data.class_names, ElementsAre("3", "5"));
    EXPECT_THAT(data.mean, ElementsAre(4, 5)) << "a table's columns";
    data = load("npy:x.npy,y.npy", 0.5);
    EXPECT_EQ(data.train.count(), 2U);
    EXPECT_EQ(data.test.count(), 2U);
    EXPECT_THAT(refused(request("npy:x.npy,y.npy,x.npy"), ExitCode::usage), HasSubstr("found 3"));
    EXPECT_THAT(refused(request("npy:x.npy,y.npy,label=last", 0.5), ExitCode::usage), HasSubstr("for csv only"));
    put("images", idx({4, 2, 1}, ramp(8)));
    put("labels", idx({4}, std::string("\0\1\0\1", 4)));
    data = load("idx:images,labels,images,labels");
    EXPECT_EQ(data.height, 2U);
    EXPECT_EQ(data.scale, 1.0 / 255);
    EXPECT_EQ(data.mean.size(), 1U) << "an image's channels";
}

TEST_F(OwnDataTest, ArchivesAsNumPyAndKerasWriteThem) {
    const std::vector<float> x = {1, 2, 3, 4};
    const std::vector<std::int64_t> y = {0, 1};
    const auto array = [&](const std::string& name, const auto& items, std::vector<std::uint64_t> shape) {
        return NpzMember{name, sizeof items[0] == 4 ? "<f4" : "<i8", std::move(shape), items.data(),
                         items.size() * sizeof items[0]};
    };
    write_npz(dir_ / "both.npz", {array("x_test", x, {2, 2}), array("x_train", x, {2, 2}), array("y_test", y, {2}),
                                  array("y_train", y, {2})});
    DataSet data = load("npz:both.npz");
    EXPECT_EQ(data.train.count(), 2U);
    EXPECT_THAT(data.test.floats, ElementsAre(1, 2, 3, 4));
    write_npz(dir_ / "one.npz", {array("data", x, {2, 2}), array("target", y, {2})});
    EXPECT_EQ(load("npz:one.npz,one.npz").test.count(), 2U);
    const std::vector<float> more_x = {1, 2, 3, 4, 5, 6, 7, 8};
    const std::vector<std::int64_t> more_y = {0, 1, 0, 1};
    write_npz(dir_ / "more.npz", {array("data", more_x, {4, 2}), array("target", more_y, {4})});
    const DataSet split = load("npz:more.npz", 0.5);
    EXPECT_EQ(split.classes, 2U);
    EXPECT_EQ(split.test.count(), 2U);
    write_npz(dir_ / "odd.npz", {array("foo", x, {2, 2})});
    EXPECT_THAT(refused(request("npz:odd.npz")), HasSubstr("expected arrays x_train, y_train"));
    EXPECT_THAT(refused(request("npz:odd.npz")), HasSubstr("found foo"));
    write_npz(dir_ / "bad.npz", {array("x", x, {2, 2}), array("y", y, {1, 1, 2})});
    EXPECT_THAT(refused(request("npz:bad.npz", 0.5)), HasSubstr("bad.npz/y: expected as many labels"));
}

TEST_F(OwnDataTest, AFolderThatMovedIsFoundByDataDir) {
    put("a.csv", "0,1\n1,2\n");
    EXPECT_EQ(load("csv:/gone/job1/a.csv,/gone/job1/a.csv").train.count(), 2U);
    EXPECT_EQ(load("csv:/gone/job1/a.csv,/gone/job1/a.csv").digest, load("csv:a.csv,a.csv").digest);
}

TEST(MemoryDataTest, SamplesAndLabelsBecomeADataSet) {
    const std::vector<float> x = {1, 10, 3, 30};
    const std::vector<std::int64_t> y = {1, 0};
    const DataSet data = make_dataset(std::span<const float>(x), y, {1, 2, 1}, std::span<const float>(x), y);
    EXPECT_THAT(data.mean, ElementsAre(2, 20));
    EXPECT_THAT(data.deviation, ElementsAre(1, 10));
    EXPECT_THAT(data.class_names, ElementsAre("0", "1"));
    EXPECT_THAT(data.test.labels, ElementsAre(1, 0));
    EXPECT_EQ(data.digest.size(), 64U);
    const std::vector<std::uint8_t> bytes = {0, 255, 255, 0};
    const DataSet image = make_dataset(std::span<const std::uint8_t>(bytes), y, {2, 1, 1});
    EXPECT_DOUBLE_EQ(image.mean[0], 0.5);
    EXPECT_DOUBLE_EQ(image.scale, 1.0 / 255);
    EXPECT_EQ(image.test.count(), 0U);
}

TEST(MemoryDataTest, FaultsNameTheSample) {
    std::vector<float> x = {1, 10, 3, 30};
    std::vector<std::int64_t> y = {1, 0};
    const auto says = [&](SampleShape shape) {
        return refusal(ExitCode::data, [&] { make_dataset(std::span<const float>(x), y, shape); });
    };
    EXPECT_THAT(says({1, 3, 1}), HasSubstr("training samples: expected 2 samples of 3 values, as there are labels, found 4"));
    EXPECT_THAT(says({1, 1, 5}), HasSubstr("1 to 4 channels"));
    EXPECT_THAT(says({0, 2, 1}), HasSubstr("a height and a width from 1"));
    y[1] = -1;
    EXPECT_THAT(says({1, 2, 1}), HasSubstr("found -1 at sample 1"));
    y[1] = 0;
    x[3] = std::numeric_limits<float>::infinity();
    EXPECT_THAT(says({1, 2, 1}), HasSubstr("found inf in sample 1, feature 1"));
    x[3] = 0;
    const std::vector<std::int64_t> other = {2, 0};
    EXPECT_THAT(refusal(ExitCode::data,
                        [&] { make_dataset(std::span<const float>(x), y, {1, 2, 1}, std::span<const float>(x), other); }),
                HasSubstr("test samples: expected labels from 0 to 1 as for training, found 2 at sample 0"));
    x.clear();
    y.clear();
    EXPECT_THAT(says({1, 2, 1}), HasSubstr("at least one, found none"));
}

}  // namespace
}  // namespace espalier
