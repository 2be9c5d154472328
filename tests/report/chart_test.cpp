// Charts: ticks, names beside lines or below the plot, titles, intervals, what a reader without eyes is told.
#include "host/report/svg_chart.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <regex>
#include <sstream>

#include "host/report/chart_labels.hpp"
#include "host/report/chart_scale.hpp"

namespace espalier {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Text {
    std::string kind, content;
    double x, y;
};

std::vector<Text> texts_of(const std::string& svg) {
    static const std::regex form("<text class=\"([^\"]*)\"[^>]* x=\"([^\"]*)\" y=\"([^\"]*)\">([^<]*)</text>");
    std::vector<Text> all;
    for (auto at = std::sregex_iterator(svg.begin(), svg.end(), form); at != std::sregex_iterator(); ++at) {
        all.push_back({(*at)[1], (*at)[4], std::stod((*at)[2]), std::stod((*at)[3])});
    }
    return all;
}

/// left, top, right, bottom of the plot.
std::vector<double> box_of(const std::string& svg) {
    std::istringstream numbers(svg.substr(svg.find("data-box=\"") + 10));
    std::vector<double> box(4);
    for (double& each : box) numbers >> each;
    return box;
}

double height_of(const std::string& svg) { return std::stod(svg.substr(svg.find("viewBox=\"0 0 400 ") + 17)); }

Chart chart_of(std::size_t lines, const std::string& name) {
    Chart chart{"test", "A chart", {"epoch", false, true}, {"loss"}};
    for (std::size_t l = 0; l < lines; ++l) {
        Series series{name + " " + std::to_string(l + 1), {}, {}, l};
        for (int i = 0; i <= 20; ++i) {
            series.x.push_back(i);
            series.y.push_back(static_cast<double>(l) + 0.01 * i);
        }
        chart.series.push_back(series);
    }
    return chart;
}

TEST(Ticks, OfALogarithmicScaleAreThreeAtLeast) {
    for (const auto& [low, high] : std::vector<std::pair<double, double>>{
             {2.30, 2.32}, {0.9, 1.1}, {0.3, 4}, {1, 30}, {1e-4, 1}, {1e-9, 1e9}, {40, 130}, {0.011, 0.019}}) {
        for (const bool wide : {false, true}) {
            const Scale scale{low, high, true, {}, 0, 200};
            const auto all = ticks(scale, false, wide);
            EXPECT_GE(all.size(), 3U) << low << " to " << high;
            for (const Tick& tick : all) {
                EXPECT_GE(tick.value, low * (1 - 1e-9));
                EXPECT_LE(tick.value, high * (1 + 1e-9));
            }
        }
    }
}

TEST(Ticks, ZeroStandsApartOnALogarithmicScale) {
    const Scale scale{5e-7, 2e-2, true, 1e-6, 0, 300};
    const auto all = ticks(scale, false, true);
    ASSERT_GE(all.size(), 3U);
    EXPECT_EQ(all.front().text, "0");
    EXPECT_EQ(scale(0), scale(1e-6));
    EXPECT_GT(all[1].value, 2e-6);
}

TEST(Chart, ALogarithmicAxisSaysSo) {
    Chart chart = chart_of(2, "run");
    chart.series[0].y.assign(21, 0.5);
    EXPECT_THAT(svg(chart), Not(HasSubstr("log scale")));
    chart.y.logarithmic = true;
    EXPECT_THAT(svg(chart), HasSubstr(">loss, log scale</text>"));
}

TEST(Chart, NamesStandBesideLinesWhereTheyFitElseBelowThePlot) {
    const std::string few = svg(chart_of(3, "row"));
    const std::vector<double> few_box = box_of(few);
    std::size_t beside = 0;
    for (const Text& text : texts_of(few)) {
        if (!text.kind.starts_with("name")) continue;
        ++beside;
        EXPECT_GT(text.y, few_box[1]);
        EXPECT_LT(text.y, few_box[3]);
    }
    EXPECT_EQ(beside, 3U);

    for (const std::size_t lines : {8U, 30U, 200U}) {
        const std::string many = svg(chart_of(lines, "a row with a name of some length"));
        const std::vector<double> box = box_of(many);
        std::size_t below = 0;
        for (const Text& text : texts_of(many)) {
            EXPECT_FALSE(text.kind.starts_with("name"));
            if (text.kind != "legend") continue;
            ++below;
            EXPECT_GT(text.y, box[3]) << "below the plot";
        }
        EXPECT_EQ(below, lines);
        // The plot is not what pays for the names.
        EXPECT_GE(box[3] - box[1], few_box[3] - few_box[1]);
        EXPECT_GT((box[2] - box[0]) * (box[3] - box[1]), 0.55 * 400 * height_of(many)) << lines;
    }
    Chart shared = chart_of(8, "row");
    shared.legend = Legend::shared;
    EXPECT_THAT(svg(shared), Not(HasSubstr(">row 8</text>")));
    EXPECT_THAT(svg_file(shared, ""), HasSubstr(">row 8</text>"));  // a file stands alone
}

TEST(Chart, NoTitleIsCut) {
    Chart chart = chart_of(1, "run");
    chart.title = "Training step, dense time over sparse time, of square layers on this machine, batch 128";
    std::string joined;
    for (const Text& text : texts_of(svg(chart))) {
        if (text.kind != "title") continue;
        joined += (joined.empty() ? "" : " ") + text.content;
        EXPECT_LT(text_width(text.content, 13), 330);
    }
    EXPECT_EQ(joined, chart.title);
}

TEST(Chart, IntervalsAreInTheDrawingTheCsvAndTheDescription) {
    Chart chart{"test", "Contrast", {"weight-decay", true, false, 1e-4}, {"contrast"}};
    chart.series.push_back({"row", {0, 0.001, 0.01}, {-0.1, 0, 0.25}, 0, Mark::dots, {}, true, {-0.2, -0.125, 0.125}, {0, 0.125, 0.375}});
    EXPECT_EQ(csv(chart), "series,weight-decay,contrast,low,high\nrow,0.0,-0.1,-0.2,0.0\nrow,0.001,0.0,-0.125,0.125\nrow,0.01,0.25,0.125,0.375\n");
    const std::string text = svg(chart);
    EXPECT_THAT(text, HasSubstr("data-v=\"0,-0.1 0.001,0 0.01,0.25\" data-b=\"-0.2,0 -0.125,0.125 0.125,0.375\""));
    EXPECT_THAT(text, HasSubstr("aria-label=\"Contrast. contrast over weight-decay. row: -0.1 (-0.2 to 0) at 0, 0 (-0.125 "
                                "to 0.125) at 0.001, 0.25 (0.125 to 0.375) at 0.01.\""));
}

TEST(Chart, RowsByNameAreWholeInDrawingAndCsv) {
    Chart chart{"test", "Contrast", {"contrast"}, {}};
    chart.y.names = {"prune by sign", "prune by magnitude, grown anew"};
    Series series{"prune by sign", {0.5}, {0}, 0, Mark::dots};
    series.along_x = true, series.low = {0.25}, series.high = {0.75};
    chart.series.push_back(series);
    EXPECT_EQ(csv(chart), "series,contrast,row,low,high\nprune by sign,0.5,prune by sign,0.25,0.75\n");
    EXPECT_THAT(svg(chart), HasSubstr(">prune by magnitude, grown anew</text>"));
}

TEST(Labels, DoNotTouchLinesOrEachOther) {
    Occupancy plot({0, 0, 200, 100});
    Points line;
    for (int i = 0; i <= 40; ++i) line.emplace_back(5.0 * i, 50);
    plot.take_line(line);
    const auto first = place_label(plot, line, "first", 11);
    const auto second = place_label(plot, line, "second", 11);
    ASSERT_TRUE(first && second);
    for (const auto& place : {*first, *second}) EXPECT_TRUE(place.y <= 48 || place.y - 11 >= 52) << place.y;
    EXPECT_TRUE(std::abs(first->x - second->x) > 40 || std::abs(first->y - second->y) > 12);
    Occupancy full({0, 0, 200, 100});
    full.take({0, 0, 200, 100});
    EXPECT_FALSE(place_label(full, line, "nowhere", 11));
}

TEST(Numbers, AreWrittenForPeople) {
    EXPECT_EQ(plain_number(2e-5, 6), "2e-5");
    EXPECT_EQ(plain_number(-1.5e+12, 3), "-1.5e12");
    EXPECT_EQ(plain_number(0.25, 6), "0.25");
}

}  // namespace
}  // namespace espalier
