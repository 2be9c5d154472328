// Recipes: named sets of options that pin every choice published systems disagree on. Each is a file in host/recipes/,
// shipped inside the program; its first comment line is its summary. NAME-fixed and NAME-dense are the two controls of
// any recipe: the same run on a fixed random topology and without sparsity.
#pragma once

#include <string>
#include <vector>

#include "host/option_table.hpp"

namespace espalier {

struct Recipe {
    std::string name;
    std::string summary;
    std::string text;
};

const std::vector<Recipe>& recipes();

/// The options of a recipe with those of the recipes it starts from, "recipe" set to `name`.
/// Throws UserError (usage) with the nearest name if there is none such.
OptionTexts recipe_options(const std::string& name);

}  // namespace espalier
