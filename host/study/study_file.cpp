#include "host/study/study_file.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "espalier/error.hpp"
#include "espalier/number_text.hpp"
#include "host/options/config_lines.hpp"
#include "host/options/recipes.hpp"
#include "host/system/did_you_mean.hpp"

namespace espalier {
namespace {

constexpr struct {
    const char* name;
    const char* text;
} shipped[] = {
#include "study_table.inc"
};

[[noreturn]] void refuse_study(const std::string& message) { throw UserError(ExitCode::usage, message); }

/// An option with its values: several make an axis.
struct Choice {
    std::string name;
    std::vector<std::string> values;
};
using Choices = std::vector<Choice>;

struct Block {
    std::string name;  // empty: the lines above the first section
    Choices choices;
};

Choice* find(Choices& choices, const std::string& name) {
    const auto found =
        std::find_if(choices.begin(), choices.end(), [&](const Choice& each) { return each.name == name; });
    return found == choices.end() ? nullptr : &*found;
}

/// Puts `above` on top: its values take the place of the same options'.
Choices overlaid(Choices below, const Choices& above) {
    for (const Choice& choice : above) {
        if (Choice* same = find(below, choice.name)) {
            same->values = choice.values;
        } else {
            below.push_back(choice);
        }
    }
    return below;
}

std::vector<Block> parse_blocks(const std::string& text, const std::string& source) {
    std::vector<Block> blocks(1);
    const auto block_of = [&](const std::string& name) -> Block& {
        const auto found = std::find_if(blocks.begin(), blocks.end(), [&](const Block& b) { return b.name == name; });
        if (found != blocks.end()) return *found;
        return blocks.emplace_back(Block{name, {}});
    };
    for (const ConfigLine& line : read_config_lines(text, source)) {
        Block& block = block_of(line.section);
        if (line.name.empty()) continue;
        const ExperimentOption* option = find_option(line.name);
        const std::string name = option != nullptr ? option->name : line.name;
        if (find(block.choices, name) != nullptr) refuse_study(source + ": '" + name + "' is given twice");
        if (line.values.empty()) refuse_study(source + ": " + line.name + " has no value");
        block.choices.push_back({name, line.values});
    }
    return blocks;
}

Choices parse_given(const OptionTexts& given) {
    Choices choices;
    for (const auto& [name, text] : given) {
        if (!text.starts_with("[")) {
            choices.push_back({name, {text}});
            continue;
        }
        if (!text.ends_with("]")) refuse_study("command line: " + name + ": '" + text + "' lacks its closing bracket");
        const std::vector<Block> blocks = parse_blocks(name + " = " + text + "\n", "command line");
        choices.insert(choices.end(), blocks.front().choices.begin(), blocks.front().choices.end());
    }
    return choices;
}

/// Takes `name` out of the choices and reads it as a whole number from 1 up.
std::optional<std::uint32_t> take_count(Choices& choices, const std::string& name, const std::string& source) {
    Choice* choice = find(choices, name);
    if (choice == nullptr) return std::nullopt;
    const std::string text = choice->values.size() == 1 ? choice->values.front() : "a list";
    const auto count = number_from<std::uint32_t>(text).value_or(0);
    if (count == 0 || count > 10000) {
        refuse_study(source + ": " + name + ": '" + text + "' is not a whole number from 1 to 10000");
    }
    choices.erase(choices.begin() + (choice - choices.data()));
    return count;
}

Experiment resolved(OptionTexts texts, const std::string& source) {
    Experiment experiment;
    if (const auto recipe = texts.find("recipe"); recipe != texts.end() && !recipe->second.empty()) {
        apply(recipe_options(recipe->second), "recipe " + recipe->second, experiment);
    }
    apply(texts, source, experiment);
    validate(experiment);
    return experiment;
}

/// All rows of a block, the first axis varying slowest.
void add_rows(const Block& block, const std::string& source, std::vector<StudyRow>& rows) {
    std::vector<std::size_t> place(block.choices.size(), 0);
    while (true) {
        OptionTexts texts;
        std::string name = block.name;
        for (std::size_t c = 0; c < place.size(); ++c) {
            const Choice& choice = block.choices[c];
            const std::string& value = choice.values[place[c]];
            texts[choice.name] = value;
            if (choice.values.size() == 1) continue;
            name += (name.empty() ? "" : ", ") + (choice.name == "recipe" ? value : choice.name + " " + value);
        }
        rows.push_back({name, resolved(texts, source)});
        std::size_t c = place.size();
        while (c > 0 && ++place[c - 1] == block.choices[c - 1].values.size()) place[--c] = 0;
        if (c == 0) return;
    }
}

/// `text` as the name of a folder: readable, without anything a shell or a file system minds.
std::string folder_name(const std::string& text) {
    std::string name;
    for (const char letter : text) {
        const bool plain = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                           (letter >= '0' && letter <= '9') || letter == '.' || letter == '-' || letter == '=';
        if (plain) name += letter;
        if (!plain && !name.empty() && name.back() != '-') name += '-';
    }
    while (!name.empty() && name.back() == '-') name.pop_back();
    return name;
}

void add_cells(Study& study) {
    std::set<std::string> taken;
    std::vector<std::string> names;
    for (const StudyRow& row : study.rows) {
        const std::string plain = folder_name(row.name);
        std::string name = plain;
        for (int n = 2; !taken.insert(name).second; ++n) name = plain + "-" + std::to_string(n);
        names.push_back(name);
    }
    for (std::uint32_t s = 0; s < study.seeds; ++s) {
        for (std::size_t r = 0; r < study.rows.size(); ++r) {
            StudyCell cell{names[r], r, study.rows[r].experiment};
            cell.experiment.seed += s;
            cell.name += "-seed" + std::to_string(cell.experiment.seed);
            study.cells.push_back(cell);
        }
    }
}

StudyFile make_file(const std::string& name, const std::string& text) {
    const bool opens = text.starts_with("# ");
    return {name, opens ? text.substr(2, text.find('\n') - 2) : name, text};
}

}  // namespace

const std::vector<StudyFile>& study_files() {
    static const std::vector<StudyFile> all = [] {
        std::vector<StudyFile> list;
        for (const auto& [name, text] : shipped) list.push_back(make_file(name, text));
        return list;
    }();
    return all;
}

StudyFile find_study(const std::string& name_or_path) {
    std::vector<std::string> names;
    for (const StudyFile& file : study_files()) {
        if (file.name == name_or_path) return file;
        names.push_back(file.name);
    }
    const std::filesystem::path path = name_or_path;
    std::ifstream stream(path, std::ios::binary);
    std::ostringstream text;
    if (stream && (text << stream.rdbuf())) return make_file(path.stem().string(), text.str());
    const bool looks_like_path = path.has_parent_path() || path.has_extension();
    refuse_study((looks_like_path ? "cannot read the study file " + name_or_path
                                  : "unknown study '" + name_or_path + "'" + did_you_mean(name_or_path, names)) +
                 " (espalier study --list-studies shows those shipped)");
}

Study read_study(const StudyFile& file, OptionTexts given) {
    const std::string source = "study " + file.name;
    std::vector<Block> blocks = parse_blocks(file.text, source);
    Choices above = parse_given(given);
    Study study{file.name, file.summary, 1, {}, {}};
    if (const auto seeds = take_count(blocks.front().choices, "seeds", source)) study.seeds = *seeds;
    if (const auto seeds = take_count(above, "seeds", "command line")) study.seeds = *seeds;
    for (std::size_t b = blocks.size() > 1 ? 1 : 0; b < blocks.size(); ++b) {
        Block block{blocks[b].name, overlaid(b == 0 ? Choices{} : blocks.front().choices, blocks[b].choices)};
        block.choices = overlaid(std::move(block.choices), above);
        if (const Choice* seed = find(block.choices, "seed"); seed != nullptr && seed->values.size() > 1) {
            refuse_study(source + ": seed is no axis; seeds = N takes N of them, the first being seed");
        }
        add_rows(block, source, study.rows);
    }
    if (study.rows.size() == 1 && study.rows.front().name.empty()) study.rows.front().name = study.name;
    for (StudyRow& row : study.rows) {
        if (row.experiment.threads == 0) row.experiment.threads = 1;  // cells run side by side
    }
    add_cells(study);
    return study;
}

}  // namespace espalier
