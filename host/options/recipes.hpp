// Recipes: named sets of options that pin every choice published systems disagree on. Each is a file in host/recipes/,
// shipped inside the program; its first comment line is its summary. NAME-fixed and NAME-dense are the two controls of
// any recipe: the same run on a fixed random topology and without sparsity.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "host/options/option_table.hpp"

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

/// What was published about a recipe, from host/recipes/published.csv.
struct Published {
    std::string recipe;
    std::map<std::string, double> figures;  // by column: train_loss, test_accuracy (as fraction) ...
    std::string learning;                   // "positive", "negative" or empty
    std::string source;
};

/// The published figures of the recipe that an experiment repeats: the same settings, whatever its name, seed and
/// machine; null if there are none.
const Published* published(const Experiment& experiment);

}  // namespace espalier
