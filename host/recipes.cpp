#include "host/recipes.hpp"

#include <algorithm>

#include "espalier/error.hpp"
#include "host/nearest.hpp"

namespace espalier {
namespace {

constexpr struct {
    const char* name;
    const char* text;
} shipped[] = {
#include "recipe_table.inc"
};

bool ends_with(const std::string& text, const std::string& end) {
    return text.size() > end.size() && text.ends_with(end);
}

OptionTexts lookup(const std::string& name, int depth) {
    expects(depth < 8, "recipes not to start from each other in a circle");
    for (const std::string control : {"fixed", "dense"}) {
        if (!ends_with(name, "-" + control)) continue;
        OptionTexts texts = lookup(name.substr(0, name.size() - control.size() - 1), depth + 1);
        texts["topology"] = control;
        texts["recipe"] = name;
        return texts;
    }
    const auto found =
        std::find_if(recipes().begin(), recipes().end(), [&](const Recipe& recipe) { return recipe.name == name; });
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
    texts["recipe"] = name;
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

OptionTexts recipe_options(const std::string& name) { return lookup(name, 0); }

}  // namespace espalier
