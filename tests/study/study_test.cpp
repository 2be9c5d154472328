// Study files as grids of experiments, and the tables of what they found.
#include "host/study/study_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "espalier/error.hpp"
#include "host/options/recipes.hpp"
#include "host/study/study_results.hpp"
#include "host/topology/group_statistics.hpp"
#include "recorded_run.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Study study_of(const std::string& text, const OptionTexts& given = {}) { return read_study({"s", "", text}, given); }

std::vector<std::string> row_names(const Study& study) {
    std::vector<std::string> names;
    for (const StudyRow& row : study.rows) names.push_back(row.name);
    return names;
}

std::vector<std::string> cell_names(const Study& study) {
    std::vector<std::string> names;
    for (const StudyCell& cell : study.cells) names.push_back(cell.name);
    return names;
}

std::string study_refusal(const std::string& text, const OptionTexts& given = {}) {
    try {
        (void)study_of(text, given);
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        return error.what();
    }
    return "nothing refused";
}

TEST(StudyFile, ListsAreAxesTheFirstVaryingSlowest) {
    const Study study = study_of("weight-decay = [0, 1e-3]\nepochs = 3\nzeta = [0.1, 0.2]\nseeds = 2\n");
    EXPECT_THAT(row_names(study), ElementsAre("weight-decay 0, zeta 0.1", "weight-decay 0, zeta 0.2",
                                              "weight-decay 1e-3, zeta 0.1", "weight-decay 1e-3, zeta 0.2"));
    ASSERT_EQ(study.cells.size(), 8U);
    EXPECT_EQ(study.cells[4].name, "weight-decay-0-zeta-0.1-seed2");
    EXPECT_EQ(study.cells[4].row, 0U);
    EXPECT_EQ(study.cells[4].experiment.seed, 2U);
    for (const StudyCell& cell : study.cells) EXPECT_EQ(cell.experiment.epochs, 3U);
    EXPECT_DOUBLE_EQ(scheduled(study.rows[2].experiment.weight_decay, 0, 1), 1e-3);
    EXPECT_DOUBLE_EQ(scheduled(study.rows[1].experiment.zeta, 0, 1), 0.2);
}

TEST(StudyFile, RulesWithCommasAreValuesToo) {
    const Study study = study_of("optimizer = [\"adam(beta1=0.8,beta2=0.9)\", \"sgd\"]\nlayers = \"784-20-10\"\n");
    ASSERT_EQ(study.rows.size(), 2U);
    EXPECT_FLOAT_EQ(std::get<Adam>(study.rows[0].experiment.optimizer).beta2, 0.9F);
    EXPECT_TRUE(std::holds_alternative<Sgd>(study.rows[1].experiment.optimizer));
    EXPECT_THAT(study.rows[0].experiment.layers, ElementsAre(784, 20, 10));
    EXPECT_EQ(study.cells[0].name, "optimizer-adam-beta1=0.8-beta2=0.9-seed1");
}

TEST(StudyFile, SectionsAreRowsOnTopOfTheLinesAbove) {
    const Study study = study_of(
        "recipe = \"baseline-1\"\nepochs = 4\n[as published]\n[decoupled]\ndecay-form = \"decoupled\"\n"
        "weight-decay = [1e-3, 1e-2]\n[other recipe]\nrecipe = \"experiment-2\"\n");
    EXPECT_THAT(row_names(study), ElementsAre("as published", "decoupled, weight-decay 1e-3",
                                              "decoupled, weight-decay 1e-2", "other recipe"));
    EXPECT_EQ(study.rows[0].experiment.recipe, "baseline-1");
    EXPECT_EQ(study.rows[1].experiment.decay_form, "decoupled");
    EXPECT_DOUBLE_EQ(scheduled(study.rows[3].experiment.weight_decay, 0, 1), 1e-2);
    EXPECT_EQ(study.rows[3].experiment.epochs, 4U);
    EXPECT_THAT(row_names(study_of("[zeta from 0.3 to 0]\nzeta = 0.1\n")), ElementsAre("zeta from 0.3 to 0"));
}

TEST(StudyFile, TheCommandLineTakesTheFilesPlace) {
    const std::string text = "recipe = [\"baseline-1\", \"experiment-1\"]\nseeds = 2\nseed = 5\n";
    const Study study = study_of(text, {{"epochs", "2"}, {"seeds", "1"}, {"weight-decay", "[0, 1e-4]"}});
    EXPECT_THAT(cell_names(study),
                ElementsAre("baseline-1-weight-decay-0-seed5", "baseline-1-weight-decay-1e-4-seed5",
                            "experiment-1-weight-decay-0-seed5", "experiment-1-weight-decay-1e-4-seed5"));
    EXPECT_EQ(study.rows[3].experiment.epochs, 2U);
    EXPECT_EQ(study.rows[0].experiment.threads, 1);
    EXPECT_THAT(row_names(study_of(text, {{"recipe", "extra"}})), ElementsAre("s"));
}

TEST(StudyFile, RowsOfOneNameHaveFoldersOfTheirOwn) {
    const Study study = study_of("optimizer = [\"momentum(momentum=0.5)\", \"momentum[momentum=0.5]\"]\n[a b]\n[a-b]\n",
                                 {{"optimizer", "sgd"}});
    EXPECT_THAT(cell_names(study), ElementsAre("a-b-seed1", "a-b-2-seed1"));
}

TEST(StudyFile, WhatCannotRunIsRefusedBeforeAnythingRuns) {
    EXPECT_THAT(study_refusal("wieght-decay = [0, 1]\n"), HasSubstr("did you mean 'weight-decay'"));
    EXPECT_THAT(study_refusal("zeta = [0.1, 2]\n"), testing::AllOf(HasSubstr("study s"), HasSubstr("zeta")));
    EXPECT_THAT(study_refusal("seeds = 0\n"), HasSubstr("seeds: '0' is not a whole number"));
    EXPECT_THAT(study_refusal("seeds = [1, 2]\n"), HasSubstr("seeds"));
    EXPECT_THAT(study_refusal("seed = [1, 2]\n"), HasSubstr("seeds = N"));
    EXPECT_THAT(study_refusal("epochs = 3\nbatch = 9\nepochs = 4\n"), HasSubstr("'epochs' is given twice"));
    EXPECT_THAT(study_refusal("recipe = [\"experimnt-1\"]\n"), HasSubstr("did you mean 'experiment-1'"));
    EXPECT_THAT(study_refusal("", {{"zeta", "[0.1, 0.2"}}), HasSubstr("closing bracket"));
    EXPECT_THROW((void)find_study("regularisation"), UserError);
}

TEST(StudyFile, EveryShippedStudyResolves) {
    ASSERT_FALSE(study_files().empty());
    for (const StudyFile& file : study_files()) {
        const Study study = read_study(find_study(file.name), {});
        EXPECT_GT(study.cells.size(), 1U) << file.name;
        EXPECT_NE(file.summary, file.name) << "the first line says what it is";
    }
    const Study study = read_study(find_study("regularization"), {});
    EXPECT_EQ(study.rows.size(), 5U);
    EXPECT_EQ(study.rows[0].experiment.epochs, 155U);
}

TEST(PublishedFigures, StandBesideTheSameSettingsOnly) {
    const Study study = read_study(find_study("regularization"), {});
    ASSERT_NE(published(study.rows[3].experiment), nullptr);
    EXPECT_EQ(published(study.rows[3].experiment)->recipe, "experiment-1");
    EXPECT_DOUBLE_EQ(published(study.rows[3].experiment)->figures.at("test_loss"), 0.0885);
    EXPECT_DOUBLE_EQ(published(study.rows[3].experiment)->figures.at("contrast"), 0.140);
    ASSERT_NE(published(study.rows[0].experiment), nullptr);
    EXPECT_EQ(published(study.rows[0].experiment)->recipe, "baseline-1");
    EXPECT_EQ(published(study.rows[1].experiment), nullptr);
    Experiment shorter = study.rows[3].experiment;
    shorter.seed = 77;
    EXPECT_NE(published(shorter), nullptr);
    shorter.epochs = 20;
    EXPECT_EQ(published(shorter), nullptr);
}

StudyResults two_rows() {
    StudyResults results{"s", "a study", "espalier 0", {}};
    RowResult first{"weight-decay 0", {{"epochs", "155"}}, {}, {}, {}, {}, {}};
    for (const double shift : {-1.0, 0.0, 1.0}) {
        first.cells.push_back({static_cast<std::uint64_t>(shift + 2),
                               {},
                               {{"test_loss", 0.1 + 0.01 * shift},
                                {"train_loss", 0.05},
                                {"test_accuracy", 0.97},
                                {"train_accuracy", 0.98},
                                {"loss_gap", 0.05 + 0.01 * shift},
                                {"contrast", -0.3 + 0.01 * shift},
                                {"contrast_p_value", shift > 0 ? 0.2 : 0.001}}});
    }
    first.published = {{"test_loss", 0.0884}, {"train_loss", 0.0428}};
    first.published_recipe = "baseline-1";
    first.published_learning = "negative";
    first.published_source = "one run";
    RowResult second{"weight-decay 1", {{"epochs", "155"}}, {}, {}, {}, {}, {}};
    second.cells.push_back({1, "exit code 5: the loss is nan", {}});
    results.rows = {first, second};
    return results;
}

TEST(StudyResults, ReadBackFromTheirJson) {
    const TemporaryFolder folder;
    std::ofstream(folder.path() / "study.json") << study_json(two_rows());
    const StudyResults back = read_study_json(folder.path() / "study.json");
    EXPECT_EQ(study_json(back), study_json(two_rows()));
    EXPECT_EQ(back.rows[1].cells[0].failure, "exit code 5: the loss is nan");
    const auto json = nlohmann::json::parse(study_json(back));
    EXPECT_DOUBLE_EQ(json["rows"][0]["means"]["test_loss"]["mean"], 0.1);
    // t of 2 degrees of freedom at 95 %: 4.3027; deviation 0.01; 3 seeds
    EXPECT_NEAR(json["rows"][0]["means"]["test_loss"]["half_width"], 4.302653 * 0.01 / std::sqrt(3.0), 1e-8);
    std::ofstream(folder.path() / "study.json") << "{\"study\": 3}";
    EXPECT_THROW((void)read_study_json(folder.path() / "study.json"), UserError);
    EXPECT_THROW((void)read_study_json(folder.path() / "none.json"), UserError);
}

TEST(StudyResults, TableShowsIntervalsVerdictsAndWhatWasPublished) {
    const std::string text = markdown(study_table(two_rows()));
    std::istringstream stream(text);
    std::vector<std::string> lines;
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    ASSERT_EQ(lines.size(), 5U) << text;  // header, rule, row, published, row
    EXPECT_THAT(lines[2], HasSubstr("| 0.1000 ± 0.0248 |"));
    EXPECT_THAT(lines[2], HasSubstr("| -0.300 ± 0.025 |"));
    EXPECT_THAT(lines[2], HasSubstr("| negative (2/3) |"));
    EXPECT_THAT(lines[3], HasSubstr("| published (baseline-1) |"));
    EXPECT_THAT(lines[3], testing::AllOf(HasSubstr(" 0.0428 "), HasSubstr(" +0.0456 "), HasSubstr(" negative ")));
    EXPECT_THAT(lines[4], HasSubstr("| weight-decay 1"));
    EXPECT_THAT(lines[4], HasSubstr("| –"));
    const std::string sheet = csv(study_table(two_rows()));
    EXPECT_THAT(sheet, HasSubstr("weight-decay 0,3,0.05,"));
    EXPECT_THAT(csv(cells_table(two_rows())), HasSubstr("weight-decay 1,1,exit code 5: the loss is nan,"));
}

TEST(StudyResults, ChangesCarryWelchIntervals) {
    StudyResults results = two_rows();
    results.rows[1].cells = results.rows[0].cells;
    for (CellResult& cell : results.rows[1].cells) {
        cell.figures["contrast"] += 0.2;
        cell.figures["test_loss"] *= 1.01;
    }
    const std::string text = markdown(changes_table(results));
    // equal variances of 0.01 and three runs a side: 4 degrees of freedom, t = 2.7764
    EXPECT_THAT(text, HasSubstr("| **+0.200 ± 0.023** |"));
    EXPECT_THAT(text, HasSubstr("| +0.0010 ± 0.0228 |"));
    EXPECT_THAT(markdown(confidence_table(results)), HasSubstr("| 0.1000 ± 0.0248 |"));
    EXPECT_THAT(markdown(topology_table(results)), HasSubstr("| -0.300 ± 0.025 |"));
}

TEST(StudyStatistics, WelchsIntervalAgreesWithAWorkedExample) {
    // variances 10 of 5 values and 2.25 of 4
    const std::vector<double> a{6, 8, 10, 12, 14}, b{1, 2, 4, 4};
    const MeanInterval change = welch_difference(a, b);
    EXPECT_DOUBLE_EQ(change.mean, 10 - 2.75);
    const double of_a = 10.0 / 5, of_b = 2.25 / 4;
    const double freedom = (of_a + of_b) * (of_a + of_b) / (of_a * of_a / 4 + of_b * of_b / 3);
    EXPECT_NEAR(change.half_width, student_quantile(0.95, freedom) * std::sqrt(of_a + of_b), 1e-12);
    EXPECT_TRUE(std::isinf(welch_difference({1}, {2, 3}).half_width));
}

TEST(StudyStatistics, TrendIsExactOnSmallGroups) {
    // 3 groups of 2, perfectly ordered: 2 of the 90 ways to deal six values are as extreme
    const RankTrend up = rank_trend({{1, 2}, {3, 4}, {5, 6}}, 99999);
    EXPECT_DOUBLE_EQ(up.ascending, 1);
    EXPECT_NEAR(up.p_value, 2.0 / 90, 0.002);
    const RankTrend down = rank_trend({{5, 6}, {3, 4}, {1, 2}}, 999);
    EXPECT_DOUBLE_EQ(down.ascending, 0);
    const RankTrend none = rank_trend({{1, 4}, {2.5, 2.5}, {1, 4}}, 999);
    EXPECT_DOUBLE_EQ(none.ascending, 0.5);
    EXPECT_DOUBLE_EQ(none.p_value, 1);
}

TEST(StudyStatistics, TrendOfNoiseIsFoundAtTheStatedLevelOnly) {
    int found = 0;
    for (std::uint64_t trial = 0; trial < 400; ++trial) {
        std::vector<std::vector<double>> groups(5, std::vector<double>(3));
        std::uint64_t n = 0;
        for (auto& group : groups) {
            for (double& value : group) value = normal(Stream{trial, Purpose::synthetic, 9, 0}.bits(n++));
        }
        found += rank_trend(groups, 199, trial).p_value <= 0.05 ? 1 : 0;
    }
    EXPECT_GE(found, 5);  // binomial(400, 0.05): mean 20, deviation 4.4
    EXPECT_LE(found, 37);
}

TEST(StudyResults, TrendIsThatOfTheOneNumericAxis) {
    StudyResults results = two_rows();
    results.rows.resize(1, results.rows[0]);
    results.rows.resize(3, results.rows[0]);
    const char* const decays[] = {"1e-2", "0", "1e-3"};  // not in order
    for (std::size_t r = 0; r < 3; ++r) {
        results.rows[r].options["weight-decay"] = decays[r];
        for (CellResult& cell : results.rows[r].cells) cell.figures["contrast"] += r == 0 ? 0.5 : r == 1 ? 0 : 0.2;
    }
    EXPECT_THAT(trend_sentence(results), testing::AllOf(HasSubstr("over weight-decay"), HasSubstr("100.0 % ascend")));
    for (RowResult& row : results.rows) row.options["zeta"] = "0.3";
    results.rows[1].options["zeta"] = "0.5";
    EXPECT_EQ(trend_sentence(results), "");
    results.rows[1].options["zeta"] = "0.3";
    results.rows[1].options["weight-decay"] = "linear(value=0)";
    EXPECT_EQ(trend_sentence(results), "");
    EXPECT_EQ(trend_sentence(two_rows()), "");
}

TEST(StudyDocument, TablesAreMadeAnewBetweenTheirMarks) {
    const TemporaryFolder folder;
    std::ofstream(folder.path() / "results.json") << study_json(two_rows());
    const std::string text = "# Title\n\n<!-- study figures results.json -->\nold\n<!-- end -->\n\nAfter.\n";
    const std::string made = with_tables(text, folder.path());
    EXPECT_EQ(made, "# Title\n\n<!-- study figures results.json -->\n\n" + markdown(study_table(two_rows())) +
                        "\n<!-- end -->\n\nAfter.\n");
    EXPECT_EQ(with_tables(made, folder.path()), made);
    const std::string code = "```\n<!-- study figures none.json -->\n```\n";
    EXPECT_EQ(with_tables(code, folder.path()), code);
    const auto refused = [&](const std::string& document) -> std::string {
        try {
            return with_tables(document, folder.path());
        } catch (const UserError& error) {
            return error.what();
        }
    };
    EXPECT_THAT(refused("\n<!-- study figures none.json -->\n<!-- end -->\n"), HasSubstr("line 2"));
    EXPECT_THAT(refused("<!-- study pictures results.json -->\n<!-- end -->\n"), HasSubstr("'pictures'"));
    EXPECT_THAT(refused("<!-- study figures results.json -->\nlost\n"), HasSubstr("<!-- end -->"));
}

TEST(StudyResults, FiguresOfARunAreThoseOfItsFolder) {
    const TemporaryFolder folder;
    RecordedRunOptions options;
    const Figures drifted = run_figures(record_run(folder.path() / "positive", options));
    options.drift = -0.5;
    const Figures away = run_figures(record_run(folder.path() / "negative", options));
    EXPECT_GT(drifted.at("contrast"), 0.1);
    EXPECT_LT(drifted.at("contrast_p_value"), 0.01);
    EXPECT_LT(away.at("contrast"), -0.1);
    EXPECT_DOUBLE_EQ(drifted.at("loss_gap"), drifted.at("test_loss") - drifted.at("train_loss"));
    EXPECT_DOUBLE_EQ(drifted.at("epoch"), 6);
    EXPECT_LT(drifted.at("margin"), drifted.at("margin_first") - 0.1);
    EXPECT_GT(drifted.at("contrast"), drifted.at("contrast_first") + 0.1);
    EXPECT_GT(away.at("margin"), away.at("margin_first") + 0.1);
    EXPECT_LE(drifted.at("lowest_test_loss"), drifted.at("test_loss"));
    EXPECT_FALSE(drifted.contains("operations")) << "nobody knows how many samples an epoch had";
}

TEST(StudyResults, FiguresOfEvolutionSayWhatItCostAndWhatItUsed) {
    const TemporaryFolder folder;
    RecordedRunOptions options;
    options.samples_an_epoch = 1003;
    options.lifetimes = true;
    options.more_config = "batch = 100\ndense-output = true\noptimizer = \"sgd\"\nevolve = \"never\"\n";
    const Figures figures = run_figures(record_run(folder.path() / "run", options));
    // outputs of equal degrees, rounded down; 11 steps an epoch, 6 epochs; layer 2 is dense and passes its gradient back
    const double first = 40 * (900 / 40), second = 40 * 10;
    EXPECT_DOUBLE_EQ(figures.at("operations"), 6 * (1003 * 2 * (2 * first + 3 * second) + 11 * 2 * (first + second)));
    EXPECT_EQ(figures.at("operations_of_evolution"), 0);
    const std::vector<EdgeIndex> degrees = recorded_degrees(options, options.epochs);
    EXPECT_EQ(figures.at("largest_input_degree"), *std::max_element(degrees.begin(), degrees.end()));
    EXPECT_EQ(figures.at("inputs_used"), 144 - std::count(degrees.begin(), degrees.end(), 0U));
    EXPECT_GT(figures.at("ever_active"), 900.0 / (144 * 40));
    EXPECT_LT(figures.at("ever_active"), 1);

    StudyResults results = two_rows();
    for (CellResult& cell : results.rows[0].cells) cell.figures["operations"] = 2.5e9;
    EXPECT_THAT(markdown(evolution_table(results)), HasSubstr("| 2.5 ± 0.0 "));
}

}  // namespace
}  // namespace espalier
