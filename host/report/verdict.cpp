// The answer of a report in words, every number in them from the runs.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "host/report/rows.hpp"
#include "host/topology/group_statistics.hpp"

namespace espalier {
namespace {

std::string printed(const char* format, double value) {
    char text[64];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

std::string p_words(double p) { return p < 0.001 ? "p < 0.001" : "p = " + printed("%.3f", p); }

/// "+0.140 ± 0.012".
std::string contrast_words(const ReportRow& row) {
    const MeanInterval interval = mean_interval(row.values("contrast"));
    return printed("%+.3f", interval.mean) + (interval.count > 1 ? " ± " + printed("%.3f", interval.half_width) : "");
}

/// What rows are told apart by: how many answers are right, or how much of the targets' variance is explained.
struct Quality {
    const char* figure;
    const char* name;
    const char* format;
    double factor;
    const char* unit;
    const char* difference_unit;
};
constexpr Quality accuracy_quality{"test_accuracy", "Test accuracy", "%.2f", 100, " %", " points"};
constexpr Quality r2_quality{"test_r2", "Test R²", "%.4f", 1, "", ""};

std::string quality_words(const ReportRow& row, const Quality& quality) {
    const MeanInterval interval = mean_interval(row.values(quality.figure));
    return printed(quality.format, quality.factor * interval.mean) +
           (interval.count > 1 ? " ± " + printed(quality.format, quality.factor * interval.half_width) : "") +
           quality.unit;
}

double mean_of(const ReportRow& row, const std::string& figure) { return mean_interval(row.values(figure)).mean; }

std::string epochs_words(const ReportRows& rows) {
    const std::string text = epochs_text(rows);
    return "after " + text + (text == "1" ? " epoch" : " epochs");
}

std::string one_row(const ReportRows& rows) {
    const ReportRow& row = rows.rows.front();
    const std::vector<double> contrasts = row.values("contrast");
    const Learning learning = *row.learning();
    const double mean = mean_interval(contrasts).mean;
    const std::string evidence = "contrast " + contrast_words(row) +
                                 (contrasts.size() > 1
                                      ? ", 95 % interval over " + std::to_string(contrasts.size()) + " seeds"
                                      : ", permutation test of this run, " + p_words(row.runs.front()->sign->p_value));
    if (learning == Learning::undecided) {
        return "Undecided: " + epochs_words(rows) + " the map does not tell centre and margin apart (" + evidence +
               ").";
    }
    return std::string(learning == Learning::positive ? "Positive: " : "Negative: ") + epochs_words(rows) +
           " the centre has " + printed("%.1f", 100 * std::abs(mean)) + " % " +
           (mean > 0 ? "more" : "fewer") + " edges per pixel than the whole image (" + evidence + ")." +
           (contrasts.size() > 1 ? "" : " One run: that other seeds agree is not shown.");
}

/// Names of rows without repeating their only option: "weight-decay 0, 0.01 and 0.1".
std::string names_of(const std::vector<const ReportRow*>& rows, const std::string& axis) {
    constexpr std::size_t most = 4;
    std::string text;
    const std::size_t shown = std::min(rows.size(), rows.size() > most + 1 ? most : rows.size());
    for (std::size_t i = 0; i < shown; ++i) {
        std::string name = rows[i]->name;
        if (i > 0 && !axis.empty() && name.starts_with(axis + " ")) name = name.substr(axis.size() + 1);
        const bool last = i + 1 == rows.size();
        text += (i == 0 ? "" : last ? (axis.empty() ? "; " : " and ") : (axis.empty() ? "; " : ", ")) + name;
    }
    if (shown < rows.size()) text += " and " + std::to_string(rows.size() - shown) + " more";
    return text;
}

std::string extremes_of(const std::vector<const ReportRow*>& rows) {
    const auto farther = [](const ReportRow* a, const ReportRow* b) {
        return std::abs(mean_of(*a, "contrast")) < std::abs(mean_of(*b, "contrast"));
    };
    const ReportRow& farthest = **std::max_element(rows.begin(), rows.end(), farther);
    if (rows.size() == 1) return contrast_words(farthest);
    return "contrast up to " + contrast_words(farthest) + " at " + farthest.name;
}

std::string several_rows(const ReportRows& all) {
    std::string text = epochs_words(all);
    text.front() = 'A';
    text += " the topology is ";
    std::size_t judged = 0;
    for (const ReportRow& row : all.rows) judged += row.learning() ? 1 : 0;
    bool first = true;
    for (const Learning learning : {Learning::positive, Learning::negative, Learning::undecided}) {
        std::vector<const ReportRow*> rows;
        for (const ReportRow& row : all.rows) {
            if (row.learning() == learning) rows.push_back(&row);
        }
        if (rows.empty()) continue;
        if (!first) text += "; ";
        first = false;
        text += std::string(name(learning)) + " in ";
        if (rows.size() == judged) {
            text += "all " + std::to_string(judged) + " rows (" + extremes_of(rows) + ")";
        } else {
            text += std::to_string(rows.size()) + " of " + std::to_string(judged) + " rows (" +
                    names_of(rows, all.axis) + ": " + extremes_of(rows) + ")";
        }
    }
    return text + ".";
}

/// Does the contrast follow the axis?
std::string trend_words(const ReportRows& all) {
    if (all.axis.empty() || all.rows.size() < 3) return {};
    std::vector<std::vector<double>> groups;
    for (const ReportRow& row : all.rows) {
        if (auto contrasts = row.values("contrast"); !contrasts.empty()) groups.push_back(std::move(contrasts));
    }
    if (groups.size() < 3) return {};
    const RankTrend trend = rank_trend(groups);
    const std::string evidence = " (" + printed("%.0f", 100 * trend.ascending) +
                                 " % of the pairs of runs ascend, chance 50 %; " + p_words(trend.p_value) + ")";
    if (trend.p_value >= 0.05) return " That it changes with " + all.axis + " is not shown" + evidence + ".";
    return " It " + std::string(trend.ascending > 0.5 ? "rises" : "falls") + " with " + all.axis + evidence + ".";
}

}  // namespace

std::string verdict_sentence(const ReportRows& rows) {
    const bool judged =
        std::any_of(rows.rows.begin(), rows.rows.end(), [](const ReportRow& row) { return row.learning().has_value(); });
    if (!judged) return {};
    return rows.rows.size() == 1 ? one_row(rows) : several_rows(rows) + trend_words(rows);
}

namespace {

std::string quality_sentence(const ReportRows& all, const Quality& quality) {
    std::vector<const ReportRow*> rows;
    for (const ReportRow& row : all.rows) {
        if (!row.values(quality.figure).empty() && row.runs.front()->folder.experiment.model == ModelKind::mlp) {
            rows.push_back(&row);
        }
    }
    if (rows.empty()) return {};
    const std::string name = quality.name;
    if (rows.size() == 1) return name + " " + quality_words(*rows.front(), quality) + " " + epochs_words(all) + ".";
    const auto less = [&](const ReportRow* a, const ReportRow* b) {
        return mean_of(*a, quality.figure) < mean_of(*b, quality.figure);
    };
    const auto [lowest, highest] = std::minmax_element(rows.begin(), rows.end(), less);
    std::string text = name + " from " + quality_words(**lowest, quality) + " (" + (*lowest)->name + ") to " +
                       quality_words(**highest, quality) + " (" + (*highest)->name + ")";
    const auto high = (*highest)->values(quality.figure), low = (*lowest)->values(quality.figure);
    if (high.size() > 1 && low.size() > 1) {
        const MeanInterval difference = welch_difference(high, low);
        text += difference.low() > 0 ? "; apart by " + printed(quality.format, quality.factor * difference.mean) + " ± " +
                                           printed(quality.format, quality.factor * difference.half_width) +
                                           quality.difference_unit
                                     : "; the seeds do not tell the two apart";
    }
    return text + ".";
}

/// What the rows' runs have: accuracy, R², or both.
std::string quality_name(const ReportRows& all) {
    const auto regressions = std::count_if(all.rows.begin(), all.rows.end(), [](const ReportRow& row) {
        return row.runs.front()->folder.is_regression();
    });
    if (regressions == 0) return "accuracy";
    return regressions == std::ssize(all.rows) ? "R²" : "accuracy or R²";
}

}  // namespace

std::string accuracy_sentence(const ReportRows& all) {
    const std::string accuracy = quality_sentence(all, accuracy_quality), r2 = quality_sentence(all, r2_quality);
    return accuracy + (accuracy.empty() || r2.empty() ? "" : " ") + r2;
}

std::string question_of(const ReportRows& all) {
    if (all.rows.size() == 1) return "Where do the edges go, and what does the network learn?";
    if (!all.axis.empty()) return "How do topology and " + quality_name(all) + " change with " + all.axis + "?";
    std::string options;
    for (std::size_t i = 0; i < all.varied.size() && i < 4; ++i) options += (i == 0 ? "" : ", ") + all.varied[i];
    if (all.varied.size() > 4) options += " and " + std::to_string(all.varied.size() - 4) + " more";
    return "How do topology and " + quality_name(all) + " differ by " + options + "?";
}

}  // namespace espalier
