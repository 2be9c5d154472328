// Figures by class, against counts made by hand.
#include "espalier/predictions.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace espalier {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ClassFiguresTest, CountsMadeByHand) {
    Predictions predictions;
    predictions.classes = {0, 0, 1, 1, 1, 3};
    const ClassFigures figures = class_figures(predictions, {0, 1, 1, 1, 0, 0}, {"cat", "dog", "cow"});
    EXPECT_THAT(figures.names, ElementsAre("cat", "dog", "cow", "3")) << "an answer beyond the classes";
    EXPECT_THAT(figures.confusion, ElementsAre(ElementsAre(1, 1, 0, 1), ElementsAre(1, 2, 0, 0),
                                               ElementsAre(0, 0, 0, 0), ElementsAre(0, 0, 0, 0)));
    EXPECT_DOUBLE_EQ(figures.precision(0), 0.5);
    EXPECT_DOUBLE_EQ(figures.recall(0), 1.0 / 3);
    EXPECT_DOUBLE_EQ(figures.f1(0), 2 * 0.5 * (1.0 / 3) / (0.5 + 1.0 / 3));
    EXPECT_DOUBLE_EQ(figures.f1(1), 2.0 / 3);
    EXPECT_TRUE(std::isnan(figures.precision(2)) && std::isnan(figures.recall(2)) && std::isnan(figures.f1(2)));
    EXPECT_DOUBLE_EQ(figures.f1(3), 0) << "answered, and never right";
    EXPECT_DOUBLE_EQ(figures.balanced_accuracy(), (1.0 / 3 + 2.0 / 3) / 2);
    EXPECT_DOUBLE_EQ(figures.macro_f1(), (0.4 + 2.0 / 3) / 2);
    const auto json = nlohmann::json::parse(class_figures_json(figures));
    EXPECT_EQ(json["classes"][2]["recall"], nullptr);
    EXPECT_EQ(json["classes"][1]["samples"], 3);
    EXPECT_EQ(json["confusion"][1][1], 2);
    EXPECT_THAT(class_figures_table(figures), HasSubstr("balanced accuracy 50.00 %"));
}

TEST(ClassFiguresTest, ManyClassesHaveNoMatrix) {
    Predictions predictions;
    predictions.classes = {60000};
    const ClassFigures figures = class_figures(predictions, {60000}, {});
    EXPECT_TRUE(figures.confusion.empty());
    EXPECT_DOUBLE_EQ(figures.recall(60000), 1);
    EXPECT_FALSE(nlohmann::json::parse(class_figures_json(figures)).contains("confusion"));
}

}  // namespace
}  // namespace espalier
