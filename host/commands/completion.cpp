// espalier completion SHELL and espalier man: generated from the command line itself, and so from the option table.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>

#include "host/commands/command.hpp"
#include "host/commands/validators.hpp"
#include "host/options/option_table.hpp"
#include "host/options/recipes.hpp"
#include "espalier/version.hpp"

namespace espalier {
namespace {

using Words = std::vector<std::string>;

struct OptionWords {
    Words names;  // with their dashes
    std::string help;
    std::string initial;  // default, empty if there is none to tell
    bool takes_value = false;
    Words values;  // empty: a file or anything
};

struct CommandWords {
    Words path;  // {} for the program, {"data", "fetch"}
    std::string help, footer;
    std::vector<OptionWords> options;
    Words positionals;
    Words subcommands;
};

std::string joined(const Words& words, const std::string& between = " ") {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
    return text;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

Words values_of(const std::string& name) {
    if (name == "resume") return {"auto", "never"};
    if (name == "progress") return {"auto", "bar", "lines", "none"};
    if (name == "format") return {"safetensors", "scipy", "npy"};
    if (name == "backend") return {"auto", "cpu", "cuda"};
    if (name == "recipe") {
        Words names;
        for (const Recipe& recipe : recipes()) names.push_back(recipe.name);
        return names;
    }
    const ExperimentOption* option = find_option(name);
    return option != nullptr ? option->values : Words{};
}

OptionWords describe_option(const CLI::Option& option) {
    OptionWords words;
    for (const std::string& name : option.get_snames()) words.names.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) words.names.push_back("--" + name);
    words.help = option.get_description();
    words.initial = option.get_default_str();
    words.takes_value = option.get_items_expected_max() > 0;
    if (words.takes_value && !option.get_lnames().empty()) words.values = values_of(option.get_lnames().front());
    return words;
}

/// The program and all its commands, each after the one it belongs to.
void collect(const CLI::App& app, Words path, std::vector<CommandWords>& all) {
    CommandWords words{std::move(path), app.get_description(), app.get_footer(), {}, {}, {}};
    for (const CLI::Option* option : app.get_options()) {
        if (option->get_positional()) {
            words.positionals.push_back(option->get_name(true));
        } else {
            words.options.push_back(describe_option(*option));
        }
    }
    const auto commands =
        app.get_subcommands([](const CLI::App* command) { return command->get_group() != hidden_commands; });
    for (const CLI::App* command : commands) words.subcommands.push_back(command->get_name());
    const Words own_path = words.path;
    all.push_back(std::move(words));
    for (const CLI::App* command : commands) {
        Words below = own_path;
        below.push_back(command->get_name());
        collect(*command, below, all);
    }
}

std::vector<CommandWords> all_commands(const CLI::App& app) {
    std::vector<CommandWords> all;
    collect(app, {}, all);
    return all;
}

Words option_names(const CommandWords& command) {
    Words names;
    for (const OptionWords& option : command.options) {
        names.insert(names.end(), option.names.begin(), option.names.end());
    }
    return names;
}

/// Options with a list of values, once each whatever command has them.
std::vector<OptionWords> valued_options(const std::vector<CommandWords>& all) {
    std::vector<OptionWords> found;
    for (const CommandWords& command : all) {
        for (const OptionWords& option : command.options) {
            const bool known = std::any_of(found.begin(), found.end(),
                                           [&](const OptionWords& each) { return each.names == option.names; });
            if (!option.values.empty() && !known) found.push_back(option);
        }
    }
    return found;
}

std::string bash_completion(const std::vector<CommandWords>& all) {
    std::string text =
        "# bash completion of espalier: source it, or put it into a folder of bash-completion\n"
        "_espalier() {\n"
        "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= each words\n"
        "    for each in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
        "        case \"$command $each\" in\n";
    for (const CommandWords& command : all) {
        if (command.path.empty()) continue;
        text += "        ' " + joined(command.path) + "') command=' " + joined(command.path) + "' ;;\n";
    }
    text +=
        "        esac\n"
        "    done\n"
        "    case $before in\n";
    for (const OptionWords& option : valued_options(all)) {
        text += "    " + joined(option.names, "|") + ") words='" + joined(option.values) + "' ;;\n";
    }
    text +=
        "    *)\n"
        "        case $command in\n";
    for (const CommandWords& command : all) {
        const std::string path = command.path.empty() ? "''" : "' " + joined(command.path) + "'";
        text += "        " + path + ") words='" + joined(command.subcommands) +
                (command.subcommands.empty() ? "" : " ") + joined(option_names(command)) + "' ;;\n";
    }
    text +=
        "        esac ;;\n"
        "    esac\n"
        "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
        "}\n"
        "complete -o default -F _espalier espalier\n";
    return text;
}

/// A text inside single quotes of a shell.
std::string quoted(const std::string& text, const std::string& quote) {
    std::string escaped;
    for (const char letter : text) escaped += letter == '\'' ? quote : std::string(1, letter);
    return "'" + escaped + "'";
}

std::string zsh_completion(const std::vector<CommandWords>& all) {
    std::string text =
        "#compdef espalier\n"
        "# zsh completion of espalier: put it as _espalier into a folder of $fpath\n"
        "_espalier() {\n"
        "    local command= each\n"
        "    for each in \"${(@)words[2,CURRENT-1]}\"; do\n"
        "        case \"$command $each\" in\n";
    for (const CommandWords& command : all) {
        if (command.path.empty()) continue;
        text += "        ' " + joined(command.path) + "') command=' " + joined(command.path) + "' ;;\n";
    }
    text +=
        "        esac\n"
        "    done\n"
        "    case ${words[CURRENT-1]} in\n";
    for (const OptionWords& option : valued_options(all)) {
        text += "    " + joined(option.names, "|") + ") compadd -- " + joined(option.values) + "; return ;;\n";
    }
    text +=
        "    esac\n"
        "    local -a shown\n"
        "    case $command in\n";
    for (const CommandWords& command : all) {
        const std::string path = command.path.empty() ? "''" : "' " + joined(command.path) + "'";
        text += "    " + path + ") shown=(\n";
        for (const std::string& name : command.subcommands) {
            Words below = command.path;
            below.push_back(name);
            const auto found =
                std::find_if(all.begin(), all.end(), [&](const CommandWords& each) { return each.path == below; });
            text += "        " + quoted(name + ":" + first_line(found->help), "'\\''") + "\n";
        }
        for (const OptionWords& option : command.options) {
            for (const std::string& name : option.names) {
                text += "        " + quoted(name + ":" + first_line(option.help), "'\\''") + "\n";
            }
        }
        text += "    ) ;;\n";
    }
    text +=
        "    esac\n"
        "    _describe espalier shown\n"
        "    _files\n"
        "}\n"
        "if [ \"$funcstack[1]\" = _espalier ]; then _espalier; else compdef _espalier espalier; fi\n";
    return text;
}

std::string fish_completion(const std::vector<CommandWords>& all) {
    std::string text = "# fish completion of espalier: put it as espalier.fish into ~/.config/fish/completions\n";
    const Words first = all.front().subcommands;
    for (const CommandWords& command : all) {
        std::string condition = "not __fish_seen_subcommand_from " + joined(first);
        if (!command.path.empty()) {
            condition.clear();
            for (const std::string& word : command.path) {
                condition += (condition.empty() ? "" : "; and ") + std::string("__fish_seen_subcommand_from ") + word;
            }
        }
        const std::string head = "complete -c espalier -n " + quoted(condition, "\\'");
        for (const std::string& name : command.subcommands) {
            Words below = command.path;
            below.push_back(name);
            const auto found =
                std::find_if(all.begin(), all.end(), [&](const CommandWords& each) { return each.path == below; });
            text += head + " -a " + name + " -d " + quoted(first_line(found->help), "\\'") + "\n";
        }
        for (const OptionWords& option : command.options) {
            std::string line = head;
            for (const std::string& name : option.names) {
                line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
            }
            if (option.takes_value) line += option.values.empty() ? " -r" : " -x -a " + quoted(joined(option.values), "\\'");
            text += line + " -d " + quoted(first_line(option.help), "\\'") + "\n";
        }
    }
    return text;
}

/// A text in which troff sees no command of its own.
std::string roff(const std::string& text) {
    std::string escaped;
    for (const char letter : text) {
        if ((letter == '.' || letter == '\'') && (escaped.empty() || escaped.back() == '\n')) escaped += "\\&";
        if (letter == '-') escaped += "\\-";
        if (letter == '\\') escaped += "\\e";
        if (letter == '\n') escaped += "\n.br";
        if (letter != '-' && letter != '\\') escaped += letter;
    }
    return escaped;
}

std::string man_page(const std::vector<CommandWords>& all) {
    std::string text = ".TH ESPALIER 1 \"\" \"" + roff(version()) + "\"\n.ad l\n.SH NAME\nespalier \\- " +
                       roff(all.front().help) + "\n.SH SYNOPSIS\n.B espalier\n.I command\n[options]\n.SH COMMANDS\n";
    for (const CommandWords& command : all) {
        if (!command.path.empty()) {
            text += ".SS espalier " + roff(joined(command.path));
            for (const std::string& name : command.positionals) text += " " + roff(name);
            text += "\n" + roff(command.help) + "\n";
        }
        for (const OptionWords& option : command.options) {
            text += ".TP\n.B " + roff(joined(option.names, ", ")) + "\n" + roff(option.help) + "\n";
            if (!option.initial.empty()) text += ".br\nDefault: " + roff(option.initial) + "\n";
        }
        if (!command.footer.empty()) text += ".PP\n" + roff(command.footer) + "\n";
    }
    return text +
           ".SH EXIT STATUS\n"
           "0 done; 2 wrong usage; 3 data; 4 network or checkpoint; 5 a loss that is no number; 6 device or memory; "
           "7 cannot write; 75 stopped by a signal and saved.\n";
}

}  // namespace

void add_completion_commands(CLI::App& app, Action& action) {
    CLI::App* completion = app.add_subcommand("completion", "print the completion script of a shell");
    const auto shell = std::make_shared<std::string>();
    completion->add_option("shell", *shell, "bash, zsh or fish")->required()->check(one_of({"bash", "zsh", "fish"}));
    completion->callback([shell, &app, &action] {
        action = [shell, &app] {
            const std::vector<CommandWords> all = all_commands(app);
            std::cout << (*shell == "bash"  ? bash_completion(all)
                          : *shell == "zsh" ? zsh_completion(all)
                                            : fish_completion(all));
            return 0;
        };
    });
    CLI::App* man = app.add_subcommand("man", "print the manual page (espalier man | man -l -)");
    man->callback([&app, &action] {
        action = [&app] {
            std::cout << man_page(all_commands(app));
            return 0;
        };
    });
}

}  // namespace espalier
