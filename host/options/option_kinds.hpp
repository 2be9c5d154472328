// The kinds of options that option_table.cpp lists: numbers in a range, texts, true or false, rules, schedules, names of
// an enumeration. Each reads its text, refuses what is wrong (UserError, usage) and prints itself.
#pragma once

#include <algorithm>
#include <optional>
#include <sstream>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "espalier/number_text.hpp"
#include "host/options/option_table.hpp"

namespace espalier::option_kinds {

/// "a, b or c".
inline std::string alternatives_text(const std::vector<std::string>& names) {
    std::string text;
    for (std::size_t i = 0; i < names.size(); ++i) {
        text += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + names[i];
    }
    return text;
}

/// A name in small letters, with '-' for '_': how names are compared.
inline std::string folded(std::string name) {
    for (char& each : name) {
        if (each == '_') each = '-';
        if (each >= 'A' && each <= 'Z') each = static_cast<char>(each - 'A' + 'a');
    }
    return name;
}

inline bool same_name(const std::string& a, const std::string& b) { return folded(a) == folded(b); }

/// Reads a rule whatever the case of its letters. Throws UserError (usage).
template <class Variant>
Variant read_rule(const std::string& text) {
    const std::size_t open = std::min(text.find('('), text.size());
    std::string fields = text.substr(open);
    std::transform(fields.begin(), fields.end(), fields.begin(),
                   [](unsigned char each) { return each >= 'A' && each <= 'Z' ? each - 'A' + 'a' : each; });
    const std::string small = folded(text.substr(0, open)) + fields;
    if constexpr (std::is_same_v<Variant, Schedule>) {
        return parse_schedule(small);
    } else {
        return parse_rule<Variant>(small);
    }
}

/// The names of a variant's rules, in its order.
template <class... Rules>
std::vector<std::string> rule_list(const std::variant<Rules...>* /*type*/) {
    return {std::string(Rules::name)...};
}

/// "  momentum in [0, 1]"; empty where every number will do.
template <class Rule>
std::string ranges_text() {
    std::string ranges;
    const auto add = [&](const auto& each) {
        if (each.low <= -1e30 && each.high >= 1e30) return;
        ranges += (ranges.empty() ? "  " : ", ") + std::string(each.name) + " in [" + number_text(each.low) + ", " +
                  number_text(each.high) + "]";
    };
    std::apply([&](const auto&... each) { (add(each), ...); }, Rule::fields());
    return ranges;
}

/// What a variant's rules can be told, for a help text: the names of those without fields in one line, then a line for
/// each of the others with its fields, their defaults and ranges, "momentum(momentum=0.9)  momentum in [0, 1]".
template <class... Rules>
std::vector<std::string> rule_lines(const std::variant<Rules...>* /*type*/) {
    std::string plain;
    std::vector<std::string> lines;
    const auto describe = [&]<class Rule>(const Rule& rule) {
        if constexpr (std::tuple_size_v<decltype(Rule::fields())> == 0) {
            plain += (plain.empty() ? "" : ", ") + std::string(Rule::name);
        } else {
            lines.push_back(rule_text(rule) + ranges_text<Rule>());
        }
    };
    (describe(Rules{}), ...);
    if (!plain.empty()) lines.insert(lines.begin(), plain);
    return lines;
}

[[noreturn]] inline void refuse(const std::string& message) { throw UserError(ExitCode::usage, message); }

[[noreturn]] inline void refuse_unknown(const std::string& text, const std::vector<std::string>& expected) {
    refuse("unknown value '" + text + "'; expected " + alternatives_text(expected));
}

/// The place of a name in a list, whatever the case of its letters. Throws UserError (usage).
inline std::size_t place_of(const std::string& text, const std::vector<std::string>& names) {
    const auto found =
        std::find_if(names.begin(), names.end(), [&](const std::string& name) { return same_name(name, text); });
    if (found == names.end()) refuse_unknown(text, names);
    return static_cast<std::size_t>(found - names.begin());
}

/// A help text with what the rules of a variant can be told below it.
template <class Variant>
std::string with_rules(const std::string& help) {
    std::string text = help + ":";
    for (const std::string& line : rule_lines(static_cast<Variant*>(nullptr))) text += "\n  " + line;
    return text;
}

template <class Number>
Number read_number(const std::string& text, double low, double high) {
    const std::optional<Number> value = number_from<Number>(text);
    const std::optional<double> real = number_from<double>(text);
    if (!value && !real) refuse("'" + text + "' is not a number");
    const bool whole = text.find_first_not_of("+-0123456789") == std::string::npos;
    if (!value && !whole) refuse("'" + text + "' is not a whole number");
    const double compared = value ? static_cast<double>(*value) : *real;
    if (!value || !(compared >= low && compared <= high)) {
        refuse(text + " is outside [" + number_text(low) + ", " + number_text(high) + "]");
    }
    return *value;
}

/// Numbers with commas between them.
inline std::vector<double> read_numbers(const std::string& text, double low, double high) {
    std::vector<double> numbers;
    std::string word;
    std::istringstream words(text);
    while (std::getline(words, word, ',')) {
        numbers.push_back(read_number<double>(std::string(detail::trimmed(word)), low, high));
    }
    return numbers;
}

inline std::string numbers_text(const std::vector<double>& numbers) {
    std::string text;
    for (const double number : numbers) text += (text.empty() ? "" : ",") + number_text(number);
    return text;
}

template <class Number>
ExperimentOption number(std::string name, std::string group, std::string help, Number Experiment::*member, double low,
                        double high) {
    return {std::move(name), std::move(group), std::move(help),
            [=](Experiment& e, const std::string& text) { e.*member = read_number<Number>(text, low, high); },
            [=](const Experiment& e) { return number_text(e.*member); }};
}

inline ExperimentOption text_option(std::string name, std::string group, std::string help, std::string Experiment::*member) {
    return {std::move(name), std::move(group), std::move(help),
            [=](Experiment& e, const std::string& text) { e.*member = text; },
            [=](const Experiment& e) { return e.*member; }};
}

inline ExperimentOption boolean(std::string name, std::string group, std::string help, bool Experiment::*member) {
    return {std::move(name), std::move(group), std::move(help) + " (true or false)",
            [=](Experiment& e, const std::string& text) {
                const bool yes = same_name(text, "true");
                if (!yes && !same_name(text, "false")) refuse_unknown(text, {"true", "false"});
                e.*member = yes;
            },
            [=](const Experiment& e) { return e.*member ? "true" : "false"; },
            {"true", "false"}};
}

template <class Variant>
ExperimentOption rule(std::string name, std::string group, const std::string& help, Variant Experiment::*member) {
    return {std::move(name), std::move(group), with_rules<Variant>(help),
            [=](Experiment& e, const std::string& text) { e.*member = read_rule<Variant>(text); },
            [=](const Experiment& e) { return rule_text(e.*member); },
            rule_list(static_cast<Variant*>(nullptr))};
}

inline ExperimentOption schedule(std::string name, std::string group, std::string help, Schedule Experiment::*member,
                          double low, double high) {
    return {std::move(name), std::move(group), std::move(help) + " (a number or a schedule)",
            [=](Experiment& e, const std::string& text) {
                if (const std::size_t sign = text.size() - 1; text.ends_with('%')) {
                    const auto percent = number_from<double>(std::string_view(text).substr(0, sign));
                    if (percent) refuse("unknown value '" + text + "'; shares are numbers, here " + number_text(*percent / 100));
                }
                const Schedule parsed = read_rule<Schedule>(text);
                std::visit(
                    [&](const auto& each) {
                        bool good = each.value >= low && each.value <= high;
                        if constexpr (requires { each.end; }) good = good && each.end >= low && each.end <= high;
                        if (!good) {
                            refuse(text + " is outside [" + number_text(low) + ", " + number_text(high) + "]");
                        }
                    },
                    parsed);
                e.*member = parsed;
            },
            [=](const Experiment& e) { return schedule_text(e.*member); }};
}

template <class Enum>
ExperimentOption choice(std::string name, std::string group, std::string help, Enum Experiment::*member,
                        std::vector<std::string> names) {
    std::string listed;
    for (const std::string& each : names) listed += (listed.empty() ? ": " : ", ") + each;
    return {std::move(name), std::move(group), std::move(help) + listed,
            [=](Experiment& e, const std::string& text) {
                e.*member = static_cast<Enum>(place_of(text, names));
            },
            [=](const Experiment& e) { return names[static_cast<std::size_t>(e.*member)]; },
            names};
}

}  // namespace espalier::option_kinds
