#include "host/data/targets.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <sstream>

#include "espalier/error.hpp"
#include "host/data/csv_fields.hpp"

namespace espalier {
namespace {

std::vector<std::string> words_of(const std::string& asked, const std::vector<std::string>& fields) {
    const auto is_asked = [&](const std::string& field) { return as_utf8(field) == asked; };
    if (std::any_of(fields.begin(), fields.end(), is_asked)) return {asked};
    std::vector<std::string> words;
    std::istringstream stream(asked);
    for (std::string word; std::getline(stream, word, ',');) words.emplace_back(trimmed_field(word));
    return words;
}

std::string listed_columns(const std::vector<std::string>& fields) {
    constexpr std::size_t most = 8;
    std::string text;
    for (std::size_t i = 0; i < std::min(fields.size(), most); ++i) {
        text += (i == 0 ? "'" : ", '") + as_utf8(fields[i].substr(0, 40)) + "'";
    }
    return text + (fields.size() > most ? ", ..." : "");
}

}  // namespace

std::optional<std::size_t> column_by_place(const std::string& text, std::size_t count) {
    if (text == "first") return 1;
    if (text == "last") return count;
    std::size_t column = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), column);
    if (fault == std::errc::result_out_of_range) return 0;
    return fault == std::errc{} && end == text.data() + text.size() ? std::optional(column) : std::nullopt;
}

TargetColumns find_targets(const std::string& asked, const std::vector<std::string>& fields, bool may_be_named,
                           const RefuseColumns& refuse) {
    TargetColumns found;
    for (const std::string& word : words_of(asked, fields)) {
        std::size_t column = column_by_place(word, fields.size()).value_or(0);
        if (const auto place = column_by_place(word, fields.size()); place && (*place < 1 || *place > fields.size())) {
            refuse("a target in column " + word, std::to_string(fields.size()) + " columns");
        }
        if (column == 0) {
            const auto named = std::find_if(fields.begin(), fields.end(),
                                            [&](const std::string& field) { return as_utf8(field) == word; });
            if (named == fields.end() || !may_be_named) {
                refuse("a header with a column '" + word + "', a target", listed_columns(fields));
            }
            column = static_cast<std::size_t>(named - fields.begin()) + 1;
            found.named = true;
        }
        if (std::find(found.columns.begin(), found.columns.end(), column) != found.columns.end()) {
            refuse("each target once", "column " + std::to_string(column) + " twice in '" + asked + "'");
        }
        found.columns.push_back(column);
    }
    return found;
}

std::vector<std::string> unnamed_targets(std::size_t count) {
    if (count == 1) return {"target"};
    std::vector<std::string> names;
    for (std::size_t t = 1; t <= count; ++t) names.push_back("target_" + std::to_string(t));
    return names;
}

ArrayTargets targets_of(const NpyArray& array, std::uint64_t samples, const std::string& asked, const std::string& where) {
    const auto& shape = array.shape;
    if (shape.empty() || shape.size() > 2 || shape[0] != samples || array.count() == 0) {
        std::string found;
        for (const std::uint64_t extent : shape) found += std::to_string(extent) + ",";
        throw UserError(ExitCode::data, where + ": expected targets [" + std::to_string(samples) + "] or [" +
                                            std::to_string(samples) + "][targets], found shape (" + found + ").");
    }
    if (array.type == NpyType::text) throw UserError(ExitCode::data, where + ": expected numbers, found texts.");
    const std::size_t width = array.count() / samples;
    std::vector<std::size_t> columns(width);
    std::iota(columns.begin(), columns.end(), std::size_t{1});
    if (asked != "all") {
        columns = find_targets(asked, std::vector<std::string>(width), false,
                               [&](const std::string& /*expected*/, const std::string& /*found*/) {
                                   throw UserError(ExitCode::usage,
                                                   "targets: '" + asked + "' names no columns of " + where +
                                                       "; expected all, or first, last or numbers from 1 to " +
                                                       std::to_string(width) + ", each once");
                               })
                      .columns;
    }
    std::vector<std::size_t> place(width, columns.size());  // of each column among the targets
    for (std::size_t t = 0; t < columns.size(); ++t) place[columns[t] - 1] = t;
    ArrayTargets targets{std::vector<double>(samples * columns.size()), columns.size()};
    for_items(array, [&](std::uint64_t i, auto value) {
        const std::size_t t = place[i % width];
        if (t == columns.size()) return;
        const auto number = static_cast<double>(value);
        if (!std::isfinite(number)) {
            throw UserError(ExitCode::data, where + ": expected finite numbers, found " + std::to_string(number) +
                                                " at index " + std::to_string(i / width) + ", column " +
                                                std::to_string(i % width + 1) + ".");
        }
        targets.values[i / width * columns.size() + t] = number;
    });
    return targets;
}

}  // namespace espalier
