#include "host/options/recipes.hpp"

#include <algorithm>
#include <sstream>
#include <utility>

#include "espalier/error.hpp"
#include "espalier/number_text.hpp"
#include "host/options/config_text.hpp"
#include "host/options/option_kinds.hpp"
#include "host/system/did_you_mean.hpp"

namespace espalier {
namespace {

constexpr struct {
    const char* name;
    const char* text;
} shipped[] = {
#include "recipe_table.inc"
};

constexpr struct {
    const char* name;
    const char* text;
} published_csv[] = {
#include "published_table.inc"
};

std::vector<Published> read_published() {
    std::istringstream lines(published_csv[0].text);
    std::vector<std::string> columns;
    std::vector<Published> all;
    for (std::string line; std::getline(lines, line);) {
        std::vector<std::string> cells;
        std::istringstream stream(line);
        for (std::string cell; std::getline(stream, cell, ',');) cells.push_back(cell);
        if (columns.empty()) {
            columns = cells;
            continue;
        }
        expects(cells.size() == columns.size(), "a cell in each column of published.csv");
        Published entry;
        for (std::size_t c = 0; c < cells.size(); ++c) {
            if (columns[c] == "recipe") {
                entry.recipe = cells[c];
            } else if (columns[c] == "learning") {
                entry.learning = cells[c];
            } else if (columns[c] == "source") {
                entry.source = cells[c];
            } else if (!cells[c].empty()) {
                entry.figures[columns[c]] = number_from<double>(cells[c]).value();
            }
        }
        all.push_back(entry);
    }
    return all;
}

/// The experiment's settings without its recipe's name.
OptionTexts settings(const Experiment& experiment) {
    OptionTexts texts = experiment_texts(experiment);
    texts.erase("recipe");
    return texts;
}

OptionTexts lookup(const std::string& name, int depth) {
    expects(depth < 8, "recipes not to start from each other in a circle");
    const auto found = std::find_if(recipes().begin(), recipes().end(),
                                    [&](const Recipe& recipe) { return option_kinds::same_name(recipe.name, name); });
    // a control with settings of its own is a recipe
    for (const std::string control : {"fixed", "dense"}) {
        if (found != recipes().end()) break;
        const std::size_t length = control.size() + 1;
        if (name.size() <= length || !option_kinds::same_name(name.substr(name.size() - length), "-" + control)) continue;
        OptionTexts texts = lookup(name.substr(0, name.size() - control.size() - 1), depth + 1);
        texts["topology"] = control;
        texts["recipe"] += "-" + control;
        return texts;
    }
    if (found == recipes().end()) {
        std::vector<std::string> names;
        for (const Recipe& recipe : recipes()) names.push_back(recipe.name);
        throw UserError(ExitCode::usage, "unknown recipe '" + name + "'" + did_you_mean(name, names) +
                                             " (espalier train --list-recipes shows them all)");
    }
    OptionTexts texts = parse_config(found->text, "recipe " + name);
    if (const auto base = texts.find("recipe"); base != texts.end()) {
        texts.merge(lookup(base->second, depth + 1));
    }
    texts["recipe"] = found->name;
    return texts;
}

}  // namespace

const std::vector<Recipe>& recipes() {
    static const std::vector<Recipe> all = [] {
        std::vector<Recipe> list;
        for (const auto& [name, text] : shipped) {
            const std::string body = text;
            const auto start = body.find("# ");
            list.push_back({name, body.substr(start + 2, body.find('\n', start) - start - 2), body});
        }
        return list;
    }();
    return all;
}

const Published* published(const Experiment& experiment) {
    static const std::vector<std::pair<Published, OptionTexts>> all = [] {
        std::vector<std::pair<Published, OptionTexts>> list;
        for (const Published& entry : read_published()) {
            Experiment repeated;
            apply(recipe_options(entry.recipe), "recipe " + entry.recipe, repeated);
            list.emplace_back(entry, settings(repeated));
        }
        return list;
    }();
    const OptionTexts wanted = settings(experiment);
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& each) { return each.second == wanted; });
    return found == all.end() ? nullptr : &found->first;
}

OptionTexts recipe_options(const std::string& name) { return lookup(name, 0); }

}  // namespace espalier
