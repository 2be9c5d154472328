// Real-valued targets as a user meets them: a planted function learned from a table, its figures everywhere the same and
// in the data's units, predictions, early stopping, resuming, and what does not go with them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "program_fixture.hpp"

namespace {

namespace fs = std::filesystem;
using espalier::Outcome;
using espalier::text_of;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class RegressionProgram : public espalier::ProgramTest {
protected:
    void SetUp() override {
        std::ofstream table(path("houses.csv")), bare(path("bare.csv"));
        table << "area,rooms,price,age,rent\n";
        bare << "area,rooms,age\n";
        std::mt19937 random(3);
        const auto draw = [&] { return (static_cast<double>(random() % 2001) - 1000) / 500; };  // in [-2, 2]
        for (int i = 0; i < 600; ++i) {
            const double area = draw(), rooms = draw(), age = draw();
            const double price = 250000 + 40000 * (area + 0.5 * std::abs(rooms) - 0.25 * age);
            table << 100 + 30 * area << ',' << rooms << ',' << price << ',' << age << ',' << 900 - 100 * age << '\n';
            if (i < 7) bare << 100 + 30 * area << ',' << rooms << ',' << age << '\n';
        }
    }
    Outcome train_on(const std::string& targets, std::vector<std::string> more = {}) {
        const bool two = targets.find(',') != std::string::npos;
        std::vector<std::string> words{"train",       "--dataset", "csv:" + path("houses.csv"), "--targets", targets,
                                       "--split",     "0.2",       "--layers", two ? "3-40-40-2" : "4-40-40-1",
                                       "--epsilon",   "6",         "--epochs", "25", "--batch", "16", "--optimizer",
                                       "adam",        "--lr",      "0.01",     "--backend", "cpu",   "--threads", "1"};
        if (std::find(more.begin(), more.end(), "--out") == more.end()) more.insert(more.end(), {"--out", path("run")});
        words.insert(words.end(), more.begin(), more.end());
        return run(words);
    }
    json results() const { return json::parse(text_of(path("run") + "/results.json")); }
    /// The numbers of a column of CSV text, by name.
    static std::vector<double> column(const std::string& csv, const std::string& name) {
        std::vector<double> values;
        std::istringstream lines(csv);
        std::string line, cell;
        std::getline(lines, line);
        std::size_t place = 0;
        std::istringstream names(line);
        for (std::size_t i = 0; std::getline(names, cell, ','); ++i) place = cell == name ? i + 1 : place;
        EXPECT_NE(place, 0U) << name << " in " << line;
        while (std::getline(lines, line)) {
            std::istringstream cells(line);
            for (std::size_t i = 0; i < place; ++i) std::getline(cells, cell, ',');
            values.push_back(std::stod(cell));
        }
        return values;
    }
};

TEST_F(RegressionProgram, LearnsAPlantedFunctionAndSaysSoEverywhere) {
    const Outcome trained = train_on("price");
    ASSERT_EQ(trained.code, 0) << trained.err;
    EXPECT_THAT(trained.err, AllOf(HasSubstr("R2"), HasSubstr("RMSE"), Not(HasSubstr(" % "))));
    EXPECT_THAT(trained.out, HasSubstr("test loss / R2 / RMSE"));
    const json found = results();
    EXPECT_GT(found["test_r2"].get<double>(), 0.97);
    EXPECT_GT(found["train_r2"].get<double>(), 0.97);
    EXPECT_TRUE(found["test_accuracy"].is_null());
    EXPECT_EQ(found["target_figures"]["targets"][0]["target"], "price");
    // the same figures in the history, as the program that reads the file again has them, and from the predictions
    const std::string history = text_of(path("run") + "/history.csv");
    EXPECT_DOUBLE_EQ(column(history, "test_r2").back(), found["test_r2"]);
    EXPECT_DOUBLE_EQ(column(history, "test_rmse").back(), found["test_rmse"]);
    EXPECT_THAT(history, Not(HasSubstr("accuracy")));
    const json tested = json::parse(run({"evaluate", path("run"), "--json"}).out);
    EXPECT_DOUBLE_EQ(tested["test_r2"], found["test_r2"]);
    EXPECT_DOUBLE_EQ(tested["test_rmse"], found["target_figures"]["rmse"]);
    EXPECT_EQ(tested["samples"], 120);
    const std::string page = text_of(path("run") + "/report.html");
    EXPECT_THAT(page, AllOf(HasSubstr("Test R²"), HasSubstr("Root mean squared error"), Not(HasSubstr("Accuracy"))));
}

TEST_F(RegressionProgram, PredictsInTheDataUnitsWithTargetsAndWithout) {
    ASSERT_EQ(train_on("price,rent").code, 0);
    EXPECT_EQ(results()["target_figures"]["targets"][1]["target"], "rent");
    const Outcome all = run({"predict", path("run"), path("houses.csv")});
    ASSERT_EQ(all.code, 0) << all.err;
    EXPECT_THAT(all.out, testing::StartsWith("sample,price,rent,predicted_price,predicted_rent\n0,"));
    const auto price = column(all.out, "price"), predicted = column(all.out, "predicted_price");
    ASSERT_EQ(price.size(), 600U);
    double error = 0;
    for (std::size_t i = 0; i < price.size(); ++i) error += std::pow(price[i] - predicted[i], 2) / 600;
    EXPECT_LT(std::sqrt(error), 20000) << "of prices that deviate by 50,000 from their mean";
    const Outcome bare = run({"predict", path("run"), path("bare.csv"), "--json"});
    ASSERT_EQ(bare.code, 0) << bare.err;
    const json values = json::parse(bare.out)["values"];
    ASSERT_EQ(values.size(), 7U);
    for (std::size_t i = 0; i < values.size(); ++i) EXPECT_DOUBLE_EQ(values[i][0], predicted[i]);
    ASSERT_EQ(run({"predict", path("run"), path("bare.csv"), "-o", path("p.npy")}).code, 0);
    EXPECT_THAT(run({"inspect", path("p.npy"), "--json"}).out, AllOf(HasSubstr("\"f8\""), HasSubstr("[7,2]")));
    EXPECT_THAT(run({"inspect", path("run")}).out, HasSubstr("[\"price\",\"rent\"]"));
}

TEST_F(RegressionProgram, TheBestEpochIsToldByTheValidationLossAndARunGoesOnToTheSameBits) {
    const std::vector<std::string> early{"--validation", "0.2", "--patience", "2", "--epochs", "60"};
    const Outcome trained = train_on("price", early);
    ASSERT_EQ(trained.code, 0) << trained.err;
    const json found = results();
    const std::string history = text_of(path("run") + "/history.csv");
    const auto losses = column(history, "validation_loss");
    const auto best = static_cast<std::size_t>(std::min_element(losses.begin(), losses.end()) - losses.begin());
    EXPECT_EQ(found["kept_epoch"], best + 1);
    EXPECT_LT(losses.size(), 60U);
    EXPECT_DOUBLE_EQ(column(history, "validation_r2")[best], found["validation_r2"]);
    EXPECT_DOUBLE_EQ(json::parse(run({"evaluate", path("run"), "--json"}).out)["test_r2"], found["test_r2"]);
    // 12 epochs at once, and 8 with 4 more behind them
    ASSERT_EQ(train_on("price", {"--epochs", "8", "--out", path("part"), "--topology", "fixed"}).code, 0);
    ASSERT_EQ(train_on("price", {"--epochs", "12", "--out", path("whole"), "--topology", "fixed"}).code, 0);
    const Outcome resumed = run({"train", "--resume", path("part"), "--epochs", "12"});
    ASSERT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_EQ(column(text_of(path("part") + "/history.csv"), "test_r2"),
              column(text_of(path("whole") + "/history.csv"), "test_r2"));
}

TEST_F(RegressionProgram, SaysWhatDoesNotGoWithTargets) {
    std::ofstream(path("w.csv")) << "0,1\n";
    const auto refused = [&](std::vector<std::string> more, const std::string& words, int code = 2) {
        const Outcome outcome = train_on("price", std::move(more));
        EXPECT_EQ(outcome.code, code) << words;
        EXPECT_THAT(outcome.err, HasSubstr(words));
    };
    refused({"--class-weights", "balanced"}, "class-weights: real-valued targets know no classes");
    refused({"--loss", "mse"}, "loss: mse is for classes");
    refused({"--layers", "4-40-3"}, "has 1 target, the network 3 outputs; expected 1");
    refused({"--model", "rbm", "--layers", "4-9"}, "targets: a restricted Boltzmann machine");
    refused({"--targets", "prize"}, "line 1: expected a header with a column 'prize', a target, found 'area', 'rooms'", 3);
    refused({"--targets", "price,price"}, "expected each target once", 3);
    refused({"--targets", "6"}, "expected a target in column 6, found 5 columns", 3);
    refused({"--targets", "", "--loss", "squared-error", "--dataset", "synthetic", "--split", "0", "--layers", "784-9-1"},
            "say which columns of synthetic they are with --targets");
    refused({"--dataset", "csv:" + path("houses.csv") + ",label=price"}, "targets: label=price names classes");
    refused({"--dataset", "synthetic", "--split", "0"}, "targets: synthetic has classes");
    std::ofstream(path("houses.csv"), std::ios::app) << "1,2,NA,3,4\n";
    refused({}, "line 602, column 3 ('price'): expected a finite number, found a missing value: 'NA'", 3);
    ASSERT_EQ(train({"--out", path("classes"), "--epochs", "1"}).code, 0);
    const Outcome classes = run({"evaluate", path("classes"), "--targets", "last"});
    EXPECT_EQ(classes.code, 2);
    EXPECT_THAT(classes.err, HasSubstr("was trained on classes"));
}

TEST_F(RegressionProgram, AStudyOfRegressionsComparesR2) {
    std::ofstream(path("decay.toml")) << "# Decay and R2\n\nseeds = 2\ndataset = \"csv:" << path("houses.csv")
                                      << "\"\ntargets = \"price\"\nsplit = 0.2\nlayers = \"4-20-1\"\nepsilon = 6\n"
                                         "epochs = 2\nbatch = 16\nweight-decay = [0, 0.1]\n";
    const Outcome outcome = run({"study", path("decay.toml"), "--out", path("study")});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    std::string tables;
    for (const auto& file : fs::recursive_directory_iterator(path("study"))) {
        if (file.path().filename() == "study.csv") tables = text_of(file.path().string());
    }
    EXPECT_THAT(tables, AllOf(HasSubstr("test_r2,test_r2_half_width"), Not(HasSubstr("accuracy"))));
}

}  // namespace
