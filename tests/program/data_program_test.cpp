// A network and its data, as a user meets them: the same figures whatever other file is named, warnings, predictions,
// figures by class, runs that go on after their data moved.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "program_fixture.hpp"

namespace {

namespace fs = std::filesystem;
using espalier::Outcome;
using espalier::text_of;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class DataProgram : public espalier::ProgramTest {
protected:
    void SetUp() override {
        std::ofstream train(path("train.csv")), test(path("test.csv")), dogs(path("dogs.csv")), bare(path("bare.csv"));
        for (auto* file : {&train, &test, &dogs}) *file << "kind,weight,height\n";
        for (int i = 0; i < 40; ++i) {
            const bool dog = i % 2 == 0;
            const std::string features =
                std::to_string((dog ? 2000 : 1000) + 7 * i) + "," + std::to_string((dog ? 0.3 : 0.1) + 0.001 * i);
            (i < 30 ? train : test) << (dog ? "dog," : "cat,") << features << "\n";
            if (i >= 30 && dog) dogs << "dog," << features << "\n";
            if (i >= 30) bare << features << "\n";
        }
    }
    Outcome train_table(std::vector<std::string> more = {}) {
        std::vector<std::string> words{"train", "--dataset", "csv:" + path("train.csv") + "," + path("test.csv"),
                                       "--layers", "2-8-2", "--topology", "dense", "--epochs", "30", "--batch", "4",
                                       "--learning-rate", "0.1", "--out", path("run"), "--backend", "cpu", "--threads",
                                       "1"};
        words.insert(words.end(), more.begin(), more.end());
        return run(words);
    }
    Outcome evaluate(const std::string& dataset, std::vector<std::string> more = {"--json"}) {
        std::vector<std::string> words{"evaluate", path("run"), "--backend", "cpu"};
        if (!dataset.empty()) words.insert(words.end(), {"--dataset", dataset});
        words.insert(words.end(), more.begin(), more.end());
        return run(words);
    }
};

TEST_F(DataProgram, TheSameRowsGiveTheSameFiguresWhateverElseIsNamed) {
    const Outcome trained = train_table();
    ASSERT_EQ(trained.code, 0) << trained.err;
    EXPECT_THAT(trained.err, HasSubstr("0 = cat, 1 = dog"));
    const std::string dogs = path("dogs.csv");
    nlohmann::json first;
    for (const std::string& dataset :
         {"csv:" + path("train.csv") + "," + dogs, "csv:" + dogs + "," + dogs, "csv:" + dogs}) {
        const Outcome outcome = evaluate(dataset);
        ASSERT_EQ(outcome.code, 0) << outcome.err;
        EXPECT_THAT(outcome.err, HasSubstr("another digest"));
        auto figures = nlohmann::json::parse(outcome.out);
        figures.erase("dataset");
        if (first.is_null()) first = figures;
        EXPECT_EQ(figures, first) << dataset;
        EXPECT_EQ(figures["samples"], 5);
    }
    EXPECT_THAT(evaluate("").err, Not(HasSubstr("warning")));
}

TEST_F(DataProgram, FiguresByClassAddUp) {
    ASSERT_EQ(train_table().code, 0);
    const auto figures = nlohmann::json::parse(evaluate("").out);
    const auto recorded = nlohmann::json::parse(text_of(path("run") + "/results.json"))["class_figures"];
    EXPECT_EQ(recorded["confusion"], figures["confusion"]);
    EXPECT_EQ(figures["classes"][0]["class"], "cat");
    EXPECT_EQ(figures["classes"][1]["samples"], 5);
    int right = 0, all = 0;
    for (std::size_t i = 0; i < 2; ++i) {
        right += figures["confusion"][i][i].get<int>();
        for (const auto& each : figures["confusion"][i]) all += each.get<int>();
    }
    EXPECT_EQ(all, 10);
    EXPECT_DOUBLE_EQ(figures["test_accuracy"].get<double>(), right / 10.0);
    const Outcome shown = evaluate("", {});
    EXPECT_THAT(shown.out, AllOf(HasSubstr("test loss"), HasSubstr("precision"), HasSubstr("label \\ answer")));
}

TEST_F(DataProgram, PredictsWithLabelsAndWithout) {
    ASSERT_EQ(train_table().code, 0);
    const Outcome labelled = run({"predict", path("run"), path("test.csv")});
    ASSERT_EQ(labelled.code, 0) << labelled.err;
    EXPECT_THAT(labelled.err, Not(HasSubstr("warning"))) << "new data are what predictions are for";
    EXPECT_THAT(labelled.out, testing::StartsWith("sample,label,class,probability_cat,probability_dog\n0,dog,"));
    ASSERT_EQ(run({"predict", path("run"), path("bare.csv"), "-o", path("p.csv")}).code, 0);
    const std::string bare = text_of(path("p.csv"));
    EXPECT_THAT(bare, testing::StartsWith("sample,class,probability_cat,probability_dog\n0,"));
    EXPECT_EQ(std::count(bare.begin(), bare.end(), '\n'), 11);
    const auto without_labels = [](std::string text) {
        for (const std::string word : {"label,", "dog,", "cat,"}) {
            for (auto at = text.find(word); at != std::string::npos; at = text.find(word)) text.erase(at, word.size());
        }
        return text;
    };
    EXPECT_EQ(without_labels(labelled.out), without_labels(bare));
    const Outcome unknown = run({"predict", path("run"), path("run") + "/config.toml"});
    EXPECT_EQ(unknown.code, 2);
    EXPECT_THAT(unknown.err, HasSubstr("say which form it has"));
    EXPECT_EQ(run({"predict", path("run"), path("test.csv"), "-o", path("p.json")}).code, 2);
}

TEST_F(DataProgram, ARunGoesOnWithTheSameDataInAnotherFolder) {
    ASSERT_EQ(train_table({"--checkpoint-every", "1", "--keep", "100"}).code, 0);
    fs::create_directory(path("moved"));
    for (const char* name : {"train.csv", "test.csv"}) fs::rename(path(name), path("moved") + "/" + name);
    const std::string moved = path("moved");
    const std::string checkpoint = path("run") + "/checkpoints/" + espalier::names_in(path("run") + "/checkpoints").front();
    const Outcome by_name = run({"train", "--resume", checkpoint, "--dataset",
                                 "csv:" + moved + "/train.csv," + moved + "/test.csv"});
    EXPECT_EQ(by_name.code, 0) << by_name.err;
    EXPECT_THAT(by_name.err, HasSubstr("resuming from"));
    const Outcome by_folder = run({"train", "--resume", path("run"), "--data-dir", moved});
    EXPECT_EQ(by_folder.code, 0) << by_folder.err;
    const Outcome other = run({"train", "--resume", path("run"), "--dataset",
                               "csv:" + moved + "/test.csv," + moved + "/test.csv"});
    EXPECT_EQ(other.code, 4) << other.err;
    EXPECT_THAT(other.err, HasSubstr("its run saw other data"));
}

TEST_F(DataProgram, OneFileIsSplitAndTheNetworkKeepsThat) {
    const Outcome trained = run({"train", "--dataset", "csv:" + path("train.csv"), "--split", "0.2", "--layers", "2-8-2",
                                 "--topology", "dense", "--epochs", "2", "--out", path("run"), "--backend", "cpu"});
    ASSERT_EQ(trained.code, 0) << trained.err;
    EXPECT_THAT(trained.err, HasSubstr("24 + 6 samples"));
    const Outcome again = evaluate("");
    EXPECT_EQ(nlohmann::json::parse(again.out)["samples"], 6);
    EXPECT_THAT(again.err, Not(HasSubstr("warning")));
}

}  // namespace
