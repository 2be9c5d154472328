#include "host/report/rows.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "host/options/option_table.hpp"

namespace espalier {
namespace {

std::optional<double> as_plain_number(const std::string& text) {
    double value = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
    return fault == std::errc{} && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

/// Options in which the groups differ, in the table's order.
std::vector<std::string> varied_in(const std::vector<OptionTexts>& groups) {
    std::vector<std::string> varied;
    for (const ExperimentOption& option : experiment_options()) {
        const auto first = groups.front().find(option.name);
        if (first == groups.front().end()) continue;
        const bool differs = std::any_of(groups.begin(), groups.end(), [&](const OptionTexts& each) {
            return each.at(option.name) != first->second;
        });
        if (differs) varied.push_back(option.name);
    }
    return varied;
}

std::string name_of(const OptionTexts& group, const std::vector<std::string>& varied) {
    std::string text;
    for (const std::string& option : varied) {
        const std::string& value = group.at(option);
        text += (text.empty() ? "" : ", ") + (option == "recipe" ? value : option + " " + (value.empty() ? "none" : value));
    }
    return text;
}

/// Puts the rows on an axis if there is one.
void find_axis(ReportRows& all, const std::vector<OptionTexts>& groups) {
    if (all.varied.size() != 1) return;
    const std::string& option = all.varied.front();
    std::vector<double> places;
    for (const OptionTexts& group : groups) {
        const auto value = as_plain_number(group.at(option));
        if (!value) return;
        places.push_back(*value);
    }
    all.axis = option;
    for (std::size_t r = 0; r < places.size(); ++r) all.rows[r].place = places[r];
    std::sort(all.rows.begin(), all.rows.end(), [](const auto& a, const auto& b) { return *a.place < *b.place; });
    std::sort(places.begin(), places.end());
    const auto positive = std::upper_bound(places.begin(), places.end(), 0.0);
    constexpr double wide = 10;
    if (positive == places.end() || places.front() < 0 || places.back() / *positive < wide) return;
    all.logarithmic_axis = true;
    if (places.front() == 0) all.zero_at = *positive / 10;
}

}  // namespace

std::vector<double> ReportRow::values(const std::string& figure) const {
    std::vector<double> all;
    for (const ReportedRun* run : runs) {
        if (figure == "contrast") {
            if (run->sign) all.push_back(run->sign->contrast);
        } else if (run->folder.history.contains(figure)) {
            all.push_back(run->folder.last(figure));
        }
    }
    std::erase_if(all, [](double value) { return !std::isfinite(value); });
    return all;
}

std::optional<Learning> ReportRow::learning() const {
    const std::vector<double> contrasts = values("contrast");
    if (contrasts.empty()) return std::nullopt;
    if (contrasts.size() > 1) return verdict(mean_interval(contrasts));
    for (const ReportedRun* run : runs) {
        if (run->sign && std::isfinite(run->sign->contrast)) return run->sign->learning;
    }
    return std::nullopt;
}

Series ReportRows::series(std::size_t r, Mark mark) const {
    Series series;
    series.name = rows[r].name;
    series.mark = mark;
    series.colour = r;
    if (rows.size() > num_colours) {
        series.colour = neutral_colour;
        if (!axis.empty()) series.shade = static_cast<double>(r) / static_cast<double>(rows.size() - 1);
    }
    return series;
}

std::size_t ReportRows::most_runs() const {
    std::size_t most = 0;
    for (const ReportRow& row : rows) most = std::max(most, row.runs.size());
    return most;
}

ReportRows rows_of(Runs runs) {
    ReportRows all;
    std::vector<OptionTexts> groups;
    for (const ReportedRun& run : runs) {
        const OptionTexts texts = experiment_texts(run.folder.experiment);
        const auto known = std::find(groups.begin(), groups.end(), texts);
        const auto place = static_cast<std::size_t>(known - groups.begin());
        if (known == groups.end()) {
            groups.push_back(texts);
            all.rows.emplace_back();
            all.rows.back().published = published(run.folder.experiment);
        }
        all.rows[place].runs.push_back(&run);
    }
    all.varied = varied_in(groups);
    for (std::size_t r = 0; r < groups.size(); ++r) {
        ReportRow& row = all.rows[r];
        row.name = name_of(groups[r], all.varied);
        if (row.name.empty()) row.name = runs.size() == 1 ? runs.front().folder.name : "all seeds";
    }
    find_axis(all, groups);
    return all;
}

std::string epochs_text(const ReportRows& rows) {
    std::set<std::size_t> epochs;
    for (const ReportRow& row : rows.rows) {
        for (const ReportedRun* run : row.runs) epochs.insert(run->folder.epochs());
    }
    const std::string last = std::to_string(*epochs.rbegin());
    return epochs.size() == 1 ? last : std::to_string(*epochs.begin()) + " to " + last;
}

}  // namespace espalier
